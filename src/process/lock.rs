//! One at a time: a lock file of ours, held.
//!
//! The kernel frees an flock when the last copy of its descriptor is closed, and a child that another thread has just
//! forked has a copy until it executes its program. So a lock that was only dropped can still be held for a moment,
//! and whoever tries it then takes it for somebody's. Here it is let go by name.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fs4::{FileExt, TryLockError};

use super::{Tried, file};

/// A held lock file. Not for locks that a child inherits to hold them on: letting go frees those, too.
#[derive(Debug)]
#[must_use = "the lock is free again when this is dropped"]
pub struct FileLock(File);

impl FileLock {
    /// Waits for the lock at `path`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn wait(path: &Path) -> io::Result<Self> {
        let file = open_lock(path)?;
        FileExt::lock(&file)?;
        Ok(Self(file))
    }

    /// As [`FileLock::wait`], for a file that is written in place: it has no other name, so no copy of it changes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn wait_to_write(path: &Path) -> io::Result<Self> {
        loop {
            let lock = Self::wait(path)?;
            if file::is_shared(path) {
                // Nobody holds the old one but us, and who waits for it finds that it is not there any more.
                file::unshare(path)?;
            }
            if is_same_file(&lock.0, path)? {
                return Ok(lock);
            }
        }
    }

    /// Waits for the lock on the folder `dir` itself. A folder has one name, so a hard-linked copy of what is in it has
    /// another lock.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn wait_folder(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir)?;
        FileExt::lock(&file)?;
        Ok(Self(file))
    }

    /// Waits for the lock at `path`, at most for `patience`; `None` if it is not free by then.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn wait_for(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let deadline = Instant::now() + patience;
        loop {
            let lock = Self::try_take(path)?;
            if lock.is_some() || Instant::now() >= deadline {
                return Ok(lock);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until nobody holds the lock at `path` alone, and keeps it from being held so.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn wait_shared(path: &Path) -> io::Result<Self> {
        let file = open_lock(path)?;
        FileExt::lock_shared(&file)?;
        Ok(Self(file))
    }

    /// Takes the lock at `path` if it is free.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open_lock(path)?;
        Ok(is_locked_now(&file)?.then_some(Self(file)))
    }

    /// Whether somebody holds the lock at `path`. A look that is shared: it never takes the lock away from one of ours
    /// that tries in the same instant and waits.
    pub fn is_taken(path: &Path) -> bool {
        let file = file::open(OpenOptions::new().read(true), path);
        file.is_ok_and(|file| FileExt::try_lock_shared(&file).is_err())
    }

    /// The file, to read and write what the lock guards.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing it does the same, only perhaps later.
        let _ = FileExt::unlock(&self.0);
    }
}

/// Takes the lock at `path`, if it is free, to hold it for as long as any process lives that inherits the file.
///
/// # Errors
/// If the disk refuses.
pub fn take_for_all(path: &Path) -> io::Result<Option<File>> {
    let file = open_lock(path)?;
    Ok(is_locked_now(&file)?.then_some(file))
}

/// Locks an open file, if nobody else has; gives whether it did.
///
/// # Errors
/// If the disk refuses.
pub fn is_locked_now(file: &File) -> io::Result<bool> {
    match FileExt::try_lock(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an open file is the one at `path`.
///
/// # Errors
/// If the disk refuses.
pub fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a file to lock.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    file::open(&mut options, path).tried("lock", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_at_once_though_a_child_has_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let held = FileLock::wait(&path).unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_some());
        drop(copy);
    }
}
