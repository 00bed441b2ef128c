//! Takes a worktree away.
//!
//! The folder is renamed aside within its holder, which is quick whatever it holds, then git forgets it, and the
//! renamed folder is deleted at leisure: creating and deleting in one folder slows ext4 down for everybody. What a
//! killed deletion leaves is found by its name and swept later.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{checkout::Checkout, erase::erase, holder::remove_empty};

/// How folders on their way out are named.
const DOOMED: &str = ".khlone-removed-";

/// A folder that is out of the way but still on the disk.
#[must_use = "the folder stays on the disk until it is swept"]
#[derive(Debug)]
pub struct Doomed(Option<PathBuf>);

impl Doomed {
    /// Deletes the folder. What cannot be deleted stays for the next sweep.
    pub fn sweep(self) {
        if let Some(dir) = self.0 {
            drop(erase(&dir));
        }
    }
}

/// Takes a worktree away, whatever is in it. See [`super::create`] for the marks this respects.
///
/// # Errors
/// If the disk refuses; the worktree is whole then, or its folder gone and known to git, which the next call or
/// `git worktree prune` finishes.
pub fn discard(checkout: &Checkout) -> io::Result<Doomed> {
    let doomed = aside(&checkout.path)?;
    match fs::remove_dir_all(&checkout.git_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(doomed),
    }
}

/// Deletes what earlier removals below `holder` have left.
pub fn sweep(holder: &Path) {
    let entries = fs::read_dir(holder).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(DOOMED) {
            drop(erase(&entry.path()));
        }
    }
    // An empty holder of ours goes too; one that the user named stays.
    remove_empty(holder);
}

fn aside(path: &Path) -> io::Result<Doomed> {
    for number in 0.. {
        let mut name = OsString::from(format!("{DOOMED}{number}-"));
        name.push(path.file_name().unwrap_or_default());
        let doomed = path.with_file_name(name);
        if doomed.symlink_metadata().is_ok() {
            continue;
        }
        match fs::rename(path, &doomed) {
            Ok(()) => return Ok(Doomed(Some(doomed))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Doomed(None))
}
