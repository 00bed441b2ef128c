//! Temporary files and folders, where the folder that `TMPDIR` names has gone, too: a daemon outlives the login session
//! or the job that it was started in, and each runner has the environment of its daemon.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// What there is besides.
const ALWAYS: &str = "/tmp";

/// A file without a name.
///
/// # Errors
/// If the disk refuses.
pub fn file() -> io::Result<File> {
    within(std::env::temp_dir(), |dir| tempfile::tempfile_in(dir))
}

/// A folder that goes with its handle.
///
/// # Errors
/// If the disk refuses.
pub fn dir() -> io::Result<TempDir> {
    within(std::env::temp_dir(), |dir| tempfile::tempdir_in(dir))
}

fn within<T>(first: PathBuf, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    match open(&first) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => open(Path::new(ALWAYS)),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_has_gone_is_passed_over() {
        let gone = tempfile::tempdir().unwrap().path().join("gone");
        let made = within(gone, |dir| tempfile::tempdir_in(dir)).unwrap();
        assert!(made.path().starts_with(ALWAYS));
        let there = tempfile::tempdir().unwrap();
        let made = within(there.path().to_owned(), |dir| tempfile::tempdir_in(dir)).unwrap();
        assert!(made.path().starts_with(there.path()));
    }
}
