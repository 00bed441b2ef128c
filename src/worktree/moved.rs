//! Worktrees of a repository that was moved: found where they stand now, and linked with it again.
//!
//! git records both ways by absolute paths: the worktree's place in its git folder, the git folder in the worktree's
//! `.git` file. A folder is the worktree if its `.git` file names a git folder of the same id which is this one, or is
//! gone. So a copy never takes its original's worktrees.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::checkout::{Checkout, dot_git_target, is_others, leads_to, points_into};

/// Where a worktree stands: at its place if that is linked with it, else at the first of `candidates` that is it, else
/// at its place if somebody's files are there that are no other repository's.
pub fn whereabouts(checkout: &Checkout, candidates: &[PathBuf]) -> Option<PathBuf> {
    let own = &checkout.path;
    if leads_to(own, &checkout.git_dir) {
        return Some(own.clone());
    }
    let moved = candidates.iter().find(|place| is_it(checkout, place));
    let stays = || own.is_dir() && !is_others(own, &checkout.git_dir);
    moved.cloned().or_else(|| stays().then(|| own.clone()))
}

/// Whether what stands at `place` is linked with the repository at `common`.
pub fn is_here(place: &Path, common: &Path) -> bool {
    points_into(place, common)
}

/// Whether what stands at `place` is a worktree of another repository than the one at `common`.
pub fn is_anothers(place: &Path, common: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    let Some(target) = dot_git_target(place).filter(|target| target.exists()) else {
        return false;
    };
    let theirs = target.parent().and_then(Path::parent);
    theirs.and_then(id) != id(common)
}

fn is_it(checkout: &Checkout, place: &Path) -> bool {
    let is_folder = fs::symlink_metadata(place).is_ok_and(|meta| meta.is_dir());
    let names_it = || {
        let target = dot_git_target(place);
        target.is_some_and(|target| target.file_name() == checkout.git_dir.file_name())
    };
    is_folder && names_it() && !is_others(place, &checkout.git_dir)
}

/// Whether the `.git` file of a worktree is what [`relink`] makes it.
pub fn is_as_linked(checkout: &Checkout) -> bool {
    dot_git_target(&checkout.path).as_ref() == Some(&checkout.git_dir)
}

/// Whether the links of a worktree that stands at `place` are as they shall be, or there are none to be looked at.
pub fn is_linked(checkout: &Checkout, place: &Path) -> bool {
    checkout.path == place && (leads_to(place, &checkout.git_dir) || dot_git_target(place).is_none())
}

/// Records that a worktree stands, or shall stand, at `place`, in both directions.
///
/// # Errors
/// If the disk refuses.
pub fn relink(checkout: &Checkout, place: PathBuf) -> io::Result<()> {
    let checkout = Checkout {
        path: place,
        git_dir: checkout.git_dir.clone(),
    };
    checkout.record_place()?;
    if checkout.path.is_dir() {
        checkout.write_dot_git()?;
    }
    Ok(())
}
