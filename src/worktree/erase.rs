//! Folders in which a brain could arrange everything: entered and removed whatever their rights and depth.
//!
//! Whoever owns a folder may take its rights away from themselves, and tools do (Go's module cache is read-only), so
//! that neither opening nor removing it succeeds until they are given back. Nothing here follows a link, and nothing
//! recurses.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes a file, link or whole folder; what is absent already is fine. Links on the way to it are followed.
///
/// # Errors
/// If the disk refuses; part of a folder may be gone then.
pub fn erase(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = FOLDER.difference(OFlags::NOFOLLOW);
    match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        parent => erase_at(&parent?, name.as_bytes()),
    }
}

/// Removes `name` of a folder.
///
/// # Errors
/// As [`erase`].
pub fn erase_at(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match is_folder(folder, name)? {
        None => Ok(()),
        Some(false) => unlink(folder, name, AtFlags::empty()),
        Some(true) => {
            empty(&enter(folder, name)?)?;
            unlink(folder, name, AtFlags::REMOVEDIR)
        }
    }
}

/// Opens a folder of ours, with all rights in it.
///
/// # Errors
/// If there is none, or it is another user's.
pub fn enter(parent: impl AsFd + Copy, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let folder = match rustix::fs::openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            give_back(parent, name, Mode::RWXU)?;
            rustix::fs::openat(parent, name, FOLDER, Mode::empty())?
        }
        folder => folder?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&folder, mode | Mode::RWXU)?;
    }
    Ok(folder)
}

/// Sets the rights of a file or folder of ours. Never those of what a link names, even if one takes its place now.
///
/// # Errors
/// If there is none, or it is another user's.
pub fn give_back(parent: impl AsFd, name: &[u8], mode: Mode) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    // A descriptor of this kind has no `fchmod`, and of a link's own this is refused.
    rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), mode)
}

/// Whether `name` is a folder; `None` if there is nothing of that name.
fn is_folder(folder: &OwnedFd, name: &[u8]) -> io::Result<Option<bool>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Empties a folder of any depth with two open folders and no recursion: what lies two levels down is moved up one
/// until nothing is left.
fn empty(folder: &OwnedFd) -> io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = names_in(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if is_folder(folder, &name)? != Some(true) {
                unlink(folder, &name, AtFlags::empty())?;
                continue;
            }
            let inner = enter(folder, &name)?;
            for deep in names_in(&inner)? {
                if is_folder(&inner, &deep)? == Some(true) {
                    // A folder is renamed only by who may write in it.
                    drop(enter(&inner, &deep)?);
                    moved += 1;
                    let up = format!(".khlone-{moved}-{}", std::process::id());
                    rustix::fs::renameat(&inner, &*deep, folder, up.as_str())?;
                } else {
                    unlink(&inner, &deep, AtFlags::empty())?;
                }
            }
            unlink(folder, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

/// Somebody else may be removing the same.
fn unlink(folder: &OwnedFd, name: &[u8], flags: AtFlags) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, flags) {
        Err(error) if error != Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
}

/// The names in a folder.
///
/// # Errors
/// If it cannot be read.
pub fn names_in(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for item in Dir::read_from(folder)? {
        let item = item?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;
    use crate::worktree::testing::without_power;

    #[test]
    fn whatever_stands_there_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["a/x/y/z", "a/u/v", "kept"] {
            fs::create_dir_all(at(folder)).unwrap();
            fs::write(at(folder).join("f"), "").unwrap();
        }
        symlink(at("kept"), at("a/x/link")).unwrap();
        for (folder, mode) in [("a/x/y", 0o500), ("a/x", 0), ("a/u", 0o400), ("a", 0o111)] {
            fs::set_permissions(at(folder), Permissions::from_mode(mode)).unwrap();
        }
        without_power(|| {
            fs::remove_dir_all(at("a")).unwrap_err();
            erase(&at("a")).unwrap();
        });
        assert!(!at("a").exists());
        fs::write(at("file"), "").unwrap();
        symlink(at("kept"), at("link")).unwrap();
        for name in ["file", "link", "nothing", "nothing/at/all", "kept/f/x"] {
            erase(&at(name)).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A link that takes the place of a folder.
        symlink(at("kept"), at("link")).unwrap();
        let mode = || fs::metadata(at("kept")).unwrap().permissions().mode();
        let (before, top) = (mode(), fs::File::open(dir.path()).unwrap());
        give_back(&top, b"link", Mode::empty()).unwrap_err();
        assert_eq!(mode(), before);
        assert!(at("kept/f").exists());
    }
}
