//! Opening what lies beneath a folder, never following a symbolic link and never waiting.
//!
//! Paths are opened with `openat2(RESOLVE_BENEATH)` where the kernel has it, else one component at a time. Files
//! are opened without blocking, so that a named pipe put in a file's place cannot hang us; whoever reads checks
//! the type on the open descriptor.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::stat::StatKey;

/// A folder from which everything is reached.
#[derive(Debug)]
pub(in crate::worktree) struct Root {
    fd: OwnedFd,
    stepwise: AtomicBool,
}

impl Root {
    /// Opens the folder. Links on the way to it are followed: the path is ours, not the brain's.
    pub(in crate::worktree) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    /// What the file system says of the folder itself.
    pub(in crate::worktree) fn stat(&self) -> io::Result<StatKey> {
        Ok(StatKey::of(&rustix::fs::fstat(&self.fd)?))
    }

    /// Opens the folder at `path` below the root; the empty path is the root itself.
    pub(in crate::worktree) fn folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags =
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if path.is_empty() {
            return Ok(rustix::fs::openat(&self.fd, c".", flags, Mode::empty())?);
        }
        if !self.stepwise.load(Ordering::Relaxed) {
            match open_beneath(self.fd.as_fd(), path, flags) {
                Err(Errno::NOSYS | Errno::PERM) => self.stepwise.store(true, Ordering::Relaxed),
                other => return Ok(other?),
            }
        }
        let mut at: Option<OwnedFd> = None;
        for name in path.split(|&byte| byte == b'/') {
            let from = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            at = Some(rustix::fs::openat(from, name, flags, Mode::empty())?);
        }
        at.ok_or_else(|| Errno::NOENT.into())
    }
}

impl From<OwnedFd> for Root {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            stepwise: AtomicBool::new(!cfg!(target_os = "linux")),
        }
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_root: BorrowedFd<'_>, _path: &[u8], _flags: OFlags) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// What the file system says of `name`, itself and not what it may point to.
pub(in crate::worktree) fn stat(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<StatKey> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(StatKey::of(&stat))
}

/// Opens the regular file `name` and says what it is; anything else there is an error.
pub(in crate::worktree) fn open_file(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<(File, StatKey)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let key = stat_open(&file)?;
    if !key.file_type().is_file() {
        return Err(io::Error::from(Errno::LOOP));
    }
    Ok((file, key))
}

/// What the file system says of an open file.
pub(in crate::worktree) fn stat_open(file: &File) -> io::Result<StatKey> {
    Ok(StatKey::of(&rustix::fs::fstat(file)?))
}

/// Reads the small regular file `name`, at most `limit` bytes of it; `None` where there is no such file.
pub(in crate::worktree) fn read_small(folder: BorrowedFd<'_>, name: &[u8], limit: u64) -> Option<Vec<u8>> {
    use std::io::Read;
    let (file, _) = open_file(folder, name).ok()?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Where the symbolic link `name` points.
pub(in crate::worktree) fn read_link(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes())
}
