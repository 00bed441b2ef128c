//! The daemon's own log: bounded, rotated once.
//!
//! `daemon.log` grows to [`MAX_LOG`] and becomes `daemon.log.1`. What libraries or panics write to stderr goes
//! there too. Lines carry ids, never prompts, environment or secrets.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

/// Size at which the log is rotated.
const MAX_LOG: u64 = 1 << 20;

/// Opens the log for appending, private to its user.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// The last `lines` lines of the log; fewer where it is shorter.
///
/// # Errors
/// If it cannot be read. A missing log is an empty one.
pub fn tail(path: &Path, lines: usize) -> io::Result<String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(256 << 10)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let skip = text.lines().count().saturating_sub(lines);
    Ok(text
        .lines()
        .skip(skip)
        .fold(String::new(), |text, line| text + line + "\n"))
}

/// A log that rotates itself.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let size = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Inner {
            path: path.to_owned(),
            file,
            size,
        }))))
    }

    /// Sends this process's stderr into the log as well.
    pub(crate) fn take_stderr(&self) -> io::Result<()> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rustix::stdio::dup2_stderr(&inner.file)?)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size + bytes.len() as u64 > MAX_LOG {
            inner.rotate()?;
        }
        inner.file.write_all(bytes)?;
        inner.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(rustix::stdio::dup2_stderr(&self.file)?)
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_of_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        assert_eq!(tail(&path, 5).unwrap(), "");
        let mut log = Log::new(&path).unwrap();
        for n in 0..20 {
            writeln!(log, "line {n}").unwrap();
        }
        assert_eq!(tail(&path, 2).unwrap(), "line 18\nline 19\n");
    }
}
