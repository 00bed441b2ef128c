//! Putting man pages and completions where man and shells look for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{config::HomeError, task::explain};

/// Files that could not be put in place.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallError {
    /// There is no home to put them in.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The program's own place cannot be told.
    #[error("cannot tell where this program is: {0}")]
    Program(io::Error),
    /// The disk refuses.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// The command that was given, without `git khlone`.
        command: String,
    },
    /// No page of the manual has that name.
    #[error("there is no page {0}")]
    NoPage(String),
}

explain! {
    InstallError {
        transparent { Home }
        Refused {
            Write { source, command, .. } if source.kind() == io::ErrorKind::PermissionDenied =>
                format!("sudo \"$(command -v git-khlone)\" {command}"),
            Write,
        }
        NotFound { NoPage => "git khlone -h" }
        Failed { Program }
    }
}

/// A file that another program looks for, and what it should hold.
#[derive(Debug)]
pub(super) struct Placed {
    /// Where it belongs.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) bytes: Vec<u8>,
}

impl Placed {
    /// Whether it is there as this version of the program writes it, or a package brought it.
    pub(super) fn is_there(&self) -> bool {
        let mut packaged = self.path.clone().into_os_string();
        packaged.push(".gz");
        Path::new(&packaged).exists() || fs::read(&self.path).is_ok_and(|found| found == self.bytes)
    }

    /// Writes it; `command` is what was given, for a next step.
    pub(super) fn put(&self, command: &str) -> Result<(), InstallError> {
        put(&self.path, &self.bytes, command)
    }
}

/// Writes `path` and the folders above it. A reader sees the old file or the new one, never a part.
pub(super) fn put(path: &Path, bytes: &[u8], command: &str) -> Result<(), InstallError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, bytes)?;
        // Temporary files are for their owner alone; these are for everyone.
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::fchmod(file.as_file(), mode)?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|source| InstallError::Write {
        path: path.to_owned(),
        source,
        command: command.to_owned(),
    })
}
