//! The hands of a restore: every step relative to an open folder, nothing followed, nothing touched that is not
//! as the caller saw it.

use std::{
    fs::File,
    io::{self, Write},
};

use bstr::{BString, ByteSlice};
use git2::Repository;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::{Why, target::Want};
use crate::{
    refs::Kind,
    worktree::snapshot::{
        Entry, EntryKind, Manifest, Marker, StatKey,
        beneath::{self, Root},
        content::{self, Content},
        manifest::{join, split},
        placeholder::describe_large,
        scan::{classify, list},
    },
};

/// What a file is called until it is whole.
pub(super) const UNFINISHED: &[u8] = b".khlone-unfinished";
/// Ignored files up to here are compared before they are replaced.
const COMPARED: u64 = 50 << 20;

/// What the steps work on.
pub(super) struct Hands<'a> {
    pub(super) root: &'a Root,
    pub(super) repo: &'a Repository,
    pub(super) now: &'a Manifest,
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Errno> for Why {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl Hands<'_> {
    /// Puts one entry of the snapshot in its place; false if it is there already.
    pub(super) fn put(&self, path: &BString, want: &Want) -> Result<bool, Why> {
        let have = self.now.entry(path);
        if let Some(marker) = want.marker {
            let there = have.is_some_and(|have| is_marked(have, want, marker));
            return if there { Ok(false) } else { Err(Why::NotStored) };
        }
        let (folder, name) = split(path);
        if have.is_some_and(|have| is_same(have, want)) {
            return Ok(false);
        }
        if let Some(have) =
            have.filter(|have| have.kind == EntryKind::File && have.oid == Some(want.oid) && !want.link)
        {
            let fd = self.root.folder(folder)?;
            self.check(&fd, name, path)?;
            let (file, _) = beneath::open_file(fd.as_fd(), name)?;
            rustix::fs::fchmod(&file, mode(have.stat.mode, want.executable))?;
            return Ok(true);
        }
        if have.is_some_and(is_nowhere_else) {
            return Err(Why::NotStored);
        }
        let blob = self.repo.find_blob(want.oid).map_err(|_| Why::NotStored)?;
        let fd = self.make_folders(folder)?;
        let there = match beneath::stat(fd.as_fd(), name) {
            Ok(stat) => Some(stat),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(stat) = &there {
            if have.is_some_and(|have| have.ignored && have.is_file()) && holds(&fd, name, want) {
                return Ok(false);
            }
            if stat.file_type().is_dir() {
                self.clear(&fd, name, path)?;
            } else {
                self.check(&fd, name, path)?;
            }
        }
        let permissions = there
            .filter(|stat| stat.file_type().is_file())
            .map(|stat| stat.mode);
        write(&fd, name, want, blob.content(), permissions)?;
        Ok(true)
    }

    /// Removes a file that is not of the snapshot.
    pub(super) fn remove(&self, path: &[u8]) -> Result<(), Why> {
        let (folder, name) = split(path);
        let fd = self.root.folder(folder)?;
        if self.now.entry(path).is_some_and(is_nowhere_else) {
            return Err(Why::NotStored);
        }
        self.check(&fd, name, path)?;
        Ok(rustix::fs::unlinkat(&fd, name.as_bytes(), AtFlags::empty())?)
    }

    /// Removes what an earlier restore left when it was killed.
    pub(super) fn remove_unfinished(&self, path: &[u8]) {
        if let Ok(fd) = self.root.folder(split(path).0) {
            let _ = rustix::fs::unlinkat(fd, UNFINISHED, AtFlags::empty());
        }
    }

    /// Removes a folder if it is empty.
    pub(super) fn remove_folder(&self, path: &[u8]) {
        let (folder, name) = split(path);
        if let Ok(fd) = self.root.folder(folder)
            && !name.is_empty()
        {
            let _ = rustix::fs::unlinkat(fd, name.as_bytes(), AtFlags::REMOVEDIR);
        }
    }

    /// Whether a name is still what the caller saw there.
    fn check(&self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Why> {
        let stat = beneath::stat(folder.as_fd(), name)?;
        let known = self.now.entry(path).is_some_and(|entry| entry.stat == stat);
        if known { Ok(()) } else { Err(Why::Changed) }
    }

    /// Opens the folder `path`, making what is missing and clearing away what is no folder.
    fn make_folders(&self, path: &[u8]) -> Result<OwnedFd, Why> {
        match self.root.folder(path) {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
                ) => {}
            other => return Ok(other?),
        }
        let mut at = self.root.folder(b"")?;
        let mut done = BString::default();
        for name in path.split(|&byte| byte == b'/') {
            done = join(&done, name);
            if let Ok(stat) = beneath::stat(at.as_fd(), name)
                && !stat.file_type().is_dir()
            {
                self.check(&at, name, &done)?;
                rustix::fs::unlinkat(&at, name, AtFlags::empty())?;
            }
            match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            at = self.root.folder(&done)?;
        }
        Ok(at)
    }

    /// Removes a folder that stands where a file belongs, with everything in it, as long as the caller saw it.
    fn clear(&self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Why> {
        let (dir, names) = self.root.folder(path).and_then(list)?;
        let fd = dir.fd()?.try_clone_to_owned()?;
        for inner in names {
            let inside = join(path, &inner);
            let stat = beneath::stat(fd.as_fd(), &inner)?;
            match classify(fd.as_fd(), &inner, &stat) {
                EntryKind::Repository => return Err(Why::Repository),
                EntryKind::Folder => self.clear(&fd, &inner, &inside)?,
                _ if self.now.entry(&inside).is_some_and(is_nowhere_else) => return Err(Why::NotStored),
                _ => {
                    self.check(&fd, &inner, &inside)?;
                    rustix::fs::unlinkat(&fd, inner.as_slice(), AtFlags::empty())?;
                }
            }
        }
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }
}

/// Writes a file or link beside its place and renames it there.
fn write(
    folder: &OwnedFd,
    name: &[u8],
    want: &Want,
    bytes: &[u8],
    permissions: Option<u32>,
) -> Result<(), Why> {
    let _ = rustix::fs::unlinkat(folder, UNFINISHED, AtFlags::empty());
    let written = if want.link {
        rustix::fs::symlinkat(bytes, folder, UNFINISHED).map_err(Why::from)
    } else {
        write_file(folder, want.executable, bytes, permissions)
    };
    let moved = written.and_then(|()| Ok(rustix::fs::renameat(folder, UNFINISHED, folder, name)?));
    if moved.is_err() {
        let _ = rustix::fs::unlinkat(folder, UNFINISHED, AtFlags::empty());
    }
    moved
}

fn write_file(folder: &OwnedFd, executable: bool, bytes: &[u8], permissions: Option<u32>) -> Result<(), Why> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fresh = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
    let mut file = File::from(rustix::fs::openat(folder, UNFINISHED, flags, fresh)?);
    if let Some(permissions) = permissions {
        rustix::fs::fchmod(&file, mode(permissions, executable))?;
    }
    Ok(file.write_all(bytes)?)
}

/// Permission bits with the executable ones set where one may read, or cleared.
fn mode(old: u32, executable: bool) -> Mode {
    let plain = old & 0o666;
    Mode::from_raw_mode(if executable {
        plain | (plain & 0o444) >> 2
    } else {
        plain
    })
}

/// Whether a snapshot has no more of it than that it is there: what takes its place would be all that is left.
fn is_nowhere_else(have: &Entry) -> bool {
    matches!(
        have.kind,
        EntryKind::Large | EntryKind::Unreadable | EntryKind::Repository
    )
}

fn is_same(have: &Entry, want: &Want) -> bool {
    let content = have.oid == Some(want.oid);
    match have.kind {
        EntryKind::File | EntryKind::Large => {
            content && !want.link && have.stat.is_executable() == want.executable
        }
        EntryKind::Symlink => content && want.link,
        _ => false,
    }
}

fn is_marked(have: &Entry, want: &Want, marker: Marker) -> bool {
    let text = || describe_large(have);
    match marker {
        Marker::Name => false,
        Marker::Fifo => have.kind == EntryKind::Fifo,
        Marker::Socket => have.kind == EntryKind::Socket,
        Marker::Device => have.kind == EntryKind::Device,
        Marker::Unreadable => have.kind == EntryKind::Unreadable,
        Marker::Repository => have.kind == EntryKind::Repository && have.oid == Some(want.oid),
        Marker::Large => have.is_file() && Kind::Blob.hash(&text()).is_ok_and(|oid| oid == want.oid),
    }
}

/// Whether a file whose content nobody has noted is what the snapshot wants.
fn holds(folder: &OwnedFd, name: &[u8], want: &Want) -> bool {
    let taken = content::read(folder.as_fd(), name, COMPARED);
    let same_mode = |stat: &StatKey| stat.is_executable() == want.executable;
    taken.is_ok_and(|taken| match taken.content {
        Content::Bytes(bytes) => {
            !want.link && same_mode(&taken.stat) && Kind::Blob.hash(&bytes).is_ok_and(|oid| oid == want.oid)
        }
        Content::Large(_) => false,
    })
}
