//! The daemon's own log: bounded, rotated once.
//!
//! `daemon.log` grows to [`MAX_LOG`] and becomes `daemon.log.1`. What runners, libraries or panics write to stderr
//! goes there too, and counts. Lines carry ids, never prompts, environment or secrets.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::process::{file::append, lock::is_same_file};

/// Size at which the log is rotated.
const MAX_LOG: u64 = 1 << 20;

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
    /// This process's stderr goes there too.
    is_stderr: bool,
}

impl Log {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            path: path.to_owned(),
            file,
            is_stderr: false,
        }))))
    }

    /// Sends this process's stderr into the log as well.
    pub(crate) fn take_stderr(&self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::stdio::dup2_stderr(&inner.file)?;
        inner.is_stderr = true;
        Ok(())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let data = inner.file.metadata()?;
        if data.len() + bytes.len() as u64 > MAX_LOG {
            inner.rotate()?;
        } else if data.nlink() > 1 || !is_same_file(&inner.file, &inner.path)? {
            // A copy of the repository shares it, or has it by now.
            inner.open()?;
        }
        inner.file.write_all(bytes)?;
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
        self.open()
    }

    fn open(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        if self.is_stderr {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
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

    #[test]
    fn however_much_is_written_two_bounded_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        let mut log = Log::new(&path).unwrap();
        let line = "x".repeat(999);
        for _ in 0..2500 {
            writeln!(log, "{line}").unwrap();
            // A runner writes there as well.
            append(&path).unwrap().write_all(b"runner\n").unwrap();
        }
        writeln!(log, "last").unwrap();
        let mut sizes: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= MAX_LOG + 7), "{sizes:?}");
        assert!(tail(&path, 1).unwrap().ends_with("last\n"));
    }
}
