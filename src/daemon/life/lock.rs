//! The lock that makes one daemon a site.
//!
//! An flock on `<common>/khlone/daemon.lock`. Whoever wants to start a daemon takes it first and hands the open
//! file to the daemon as its stdin: there is no moment at which nobody holds it, and when both die the kernel
//! frees it. The file is never unlinked: unlinking one gave two holders.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Stdio,
};

use crate::process::lock::{is_locked_now, is_same_file};

/// Holding it is being the daemon of the site, or being about to start one.
#[derive(Debug)]
#[must_use = "dropping it lets another daemon start"]
pub(crate) struct DaemonLock(File);

impl DaemonLock {
    /// Takes the lock at `path` if it is free.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(path)?;
        Self::lock(file, path)
    }

    /// Takes over the lock that the starter handed to this process as its stdin; `None` if stdin is another file
    /// or somebody else holds the lock. Stdin is `/dev/null` afterwards, so that no child inherits the lock.
    pub(crate) fn from_stdin(path: &Path) -> io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        let file = File::from(rustix::io::fcntl_dupfd_cloexec(stdin, 3)?);
        let null = File::open("/dev/null")?;
        if !is_same_file(&file, path)? {
            return Ok(None);
        }
        rustix::stdio::dup2_stdin(&null)?;
        Self::lock(file, path)
    }

    /// Whether the lock is still the one at `path`. One whose file was taken away keeps no other daemon from starting.
    pub(crate) fn stands(&self, path: &Path) -> bool {
        is_same_file(&self.0, path).unwrap_or(true)
    }

    /// The lock as the stdin of a child that takes it over. The command that was given it holds it too, until
    /// that is dropped.
    pub(crate) fn into_stdin(self) -> Stdio {
        Stdio::from(self.0)
    }

    fn lock(file: File, path: &Path) -> io::Result<Option<Self>> {
        // Someone may have put another file in its place against all rules.
        Ok((is_locked_now(&file)? && is_same_file(&file, path)?).then_some(Self(file)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn one_holder_and_free_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        let held = DaemonLock::try_take(&path).unwrap().unwrap();
        assert!(DaemonLock::try_take(&path).unwrap().is_none());
        drop(held);
        is_free_soon(&path);
        assert!(path.exists());
    }

    #[test]
    fn a_child_keeps_what_it_was_handed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.lock");
        let held = DaemonLock::try_take(&path).unwrap().unwrap();
        let mut command = crate::process::Cmd::new("sleep").arg("60").into_inner();
        let mut child = command.stdin(held.into_stdin()).spawn().unwrap();
        drop(command);
        assert!(DaemonLock::try_take(&path).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        is_free_soon(&path);
    }

    /// A child that another test forks has a copy of the lock until it executes its program.
    fn is_free_soon(path: &Path) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while DaemonLock::try_take(path).unwrap().is_none() {
            assert!(Instant::now() < deadline, "the lock is still held");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
