//! What a brain's sparse checkout has taken from the disk comes back before anything is compared.
//!
//! The patterns are a view of the brain's own: they stand in its private git folder and end with its task. Files that they
//! keep away are deleted nowhere, but would be missing in the worktree, and the next task would take them for deleted.
//! Those that the user's own patterns keep away stay away. Without a sandbox the patterns are the worktree's, and stay.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    Run, RunnerError,
    commit::away,
    ground::{Ground, PATTERNS},
};
use crate::{
    guard::{
        beneath::Beneath,
        gitdir::{
            commit::{CommitError, check_out},
            uncommitted::{Mark, uncommitted},
        },
        sandbox::Confinement,
    },
    worktree::checkout::Checkout,
};

/// Longer patterns are nobody's.
const LIMIT: usize = 16 << 20;

/// Puts the files back; `scratch` is a folder of ours.
pub(super) fn fill(
    run: &Run<'_>,
    (checkout, ground): (&Checkout, &Ground),
    confinement: &Confinement,
    scratch: &Path,
) -> Result<(), RunnerError> {
    if ground.private.is_none() || !ground.has_patterns() {
        return Ok(());
    }
    let folder = Beneath::open(&ground.git_dir)?;
    let patterns = folder.read(PATTERNS, LIMIT)?;
    // The files are written by the user's filters. The patterns without the setting say nothing to git; to us, who may be
    // killed and begin again, that there is something to be done.
    ground.mend(run, checkout)?;
    if let Some(patterns) = patterns {
        folder.write(PATTERNS, &patterns)?;
    }
    match put_back(checkout, ground, confinement, scratch) {
        Err(error) if error.is_the_brains() => {
            tracing::warn!(%error, "what a sparse checkout took away stays away");
            Ok(())
        }
        done => Ok(done?),
    }
}

fn put_back(
    checkout: &Checkout,
    ground: &Ground,
    confinement: &Confinement,
    scratch: &Path,
) -> Result<(), CommitError> {
    let Some(away) = away(checkout) else {
        return Ok(());
    };
    let marked = uncommitted(confinement, &ground.git_dir, false)?.marked;
    let is_gone = |path: &[u8]| {
        let path = checkout.path.join(OsStr::from_bytes(path));
        path.symlink_metadata().is_err()
    };
    let skipped = marked.into_iter().filter(|(_, mark)| *mark == Mark::Skipped);
    let gone: Vec<_> = skipped
        .map(|(path, _)| path)
        .filter(|path| !away.contains(path) && is_gone(path))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    check_out(confinement, &ground.git_dir, scratch, &gone)
}
