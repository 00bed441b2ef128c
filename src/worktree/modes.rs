//! Permissions that git does not know, and folders that are empty: a tree has neither.
//!
//! Kept as a text: `MODE PATH`, each ended by NUL, with the mode in octal and the type in it, as git writes modes. Only what
//! a checkout would not make so by itself stands there.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use bstr::ByteSlice;
use rustix::fs::{Mode, OFlags};

use super::{
    checkout::Checkout,
    snapshot::{EntryKind, Manifest, beneath::Root, manifest::split},
};

const FOLDER: u32 = 0o040_000;

/// The modes of a worktree that are not those of a checkout.
pub fn keep(manifest: &Manifest) -> Vec<u8> {
    let mask = mask();
    let mut text = Vec::new();
    for (path, entry) in manifest.entries().filter(|(_, entry)| !entry.ignored) {
        let mode = entry.stat.mode & 0o7777;
        let is_usual = match entry.kind {
            EntryKind::Folder => {
                let is_empty = manifest
                    .folder(&path)
                    .is_some_and(|it| it.tree.is_none() && !it.cut);
                mode == 0o777 & !mask && !is_empty
            }
            EntryKind::File => {
                let full = if entry.stat.is_executable() { 0o777 } else { 0o666 };
                mode == full & !mask
            }
            _ => true,
        };
        if !is_usual {
            let kind = if entry.kind == EntryKind::Folder {
                FOLDER
            } else {
                0o100_000
            };
            text.extend(format!("{:o} ", kind | mode).bytes());
            text.extend(path.as_bytes());
            text.push(0);
        }
    }
    text
}

/// Gives files and folders their modes again, and makes folders that are missing. What is of another kind by now stays as
/// it is.
///
/// # Errors
/// If the disk refuses.
pub fn put_back(checkout: &Checkout, text: &[u8]) -> io::Result<()> {
    let root = Root::open(&checkout.path)?;
    let mut modes = Vec::new();
    for record in text.split_str(b"\0") {
        let Some((mode, path)) = record.split_once_str(b" ") else {
            continue;
        };
        let mode = mode
            .to_str()
            .ok()
            .and_then(|mode| u32::from_str_radix(mode, 8).ok());
        let Some(mode) = mode else { continue };
        if mode & FOLDER != 0 && root.folder(path).is_err() && root.folder(split(path).0).is_ok() {
            match fs::create_dir(checkout.path.join(OsStr::from_bytes(path))) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        modes.push((mode, path));
    }
    // The deepest first: a folder may let nobody in.
    for (mode, path) in modes.into_iter().rev() {
        let (folder, name) = split(path);
        let Ok(folder) = root.folder(folder) else { continue };
        let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if mode & FOLDER != 0 {
            flags |= OFlags::DIRECTORY;
        }
        let Ok(fd) = rustix::fs::openat(&folder, name.as_bytes(), flags, Mode::empty()) else {
            continue;
        };
        let file = fs::File::from(fd);
        if mode & FOLDER != 0 || file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
        }
    }
    Ok(())
}

/// What new files are made without.
fn mask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}
