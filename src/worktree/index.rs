//! The index of a checkout, written anew. The files are not touched, and need not be there.
//!
//! In a sparse checkout the index says of each file outside of the patterns that it need not be there. git forgets that
//! mark wherever a tree replaces an entry, and would show the file as deleted from then on. So it is kept.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bstr::{BString, ByteSlice, ByteVec};

use super::checkout::Checkout;
use crate::process::ProcessError;

/// How long all files may take to be looked at.
const PATIENCE: Duration = Duration::from_hours(1);

/// Makes the index agree with a commit or tree, keeping what is known of unchanged files.
///
/// # Errors
/// If git fails.
pub fn reset(checkout: &Checkout, tree: &str) -> Result<(), ProcessError> {
    replace(checkout, &["--reset", "-i", tree])
}

/// The same where files were replaced: each is looked at anew. By its size alone git takes one for modified that is as
/// the tree has it but for line ends.
///
/// # Errors
/// If git fails.
pub fn reset_and_look(checkout: &Checkout, tree: &str) -> Result<(), ProcessError> {
    replace(checkout, &[tree])?;
    refresh(checkout)
}

/// Compares the files of the index with those on the disk; where they are as they were, their stat is brought up to date.
///
/// # Errors
/// If git cannot be run, or was killed.
pub fn refresh(checkout: &Checkout) -> Result<(), ProcessError> {
    let git = checkout.git().patience(PATIENCE);
    match git.args(["update-index", "-q", "--refresh"]).output() {
        // It fails where something is modified. One that was killed has left its lock.
        Err(error @ ProcessError::Failed { .. }) if !error.was_killed() => Ok(()),
        done => done.map(drop),
    }
}

fn replace(checkout: &Checkout, how: &[&str]) -> Result<(), ProcessError> {
    let passed_over = if is_sparse(checkout) {
        marked(checkout, b"S ")?
    } else {
        HashSet::new()
    };
    checkout.git().arg("read-tree").args(how).output()?;
    if passed_over.is_empty() {
        return Ok(());
    }
    let mut paths = Vec::new();
    for path in marked(checkout, b"H ")?.intersection(&passed_over) {
        if checkout
            .path
            .join(path.to_path_lossy())
            .symlink_metadata()
            .is_err()
        {
            paths.push_str(path);
            paths.push(0);
        }
    }
    let git = checkout
        .git()
        .args(["update-index", "-z", "--skip-worktree", "--stdin"]);
    git.input(paths).output().map(drop)
}

/// Makes an index that was lost again, from the commit that is checked out.
///
/// # Errors
/// If git fails.
pub fn rebuild(checkout: &Checkout) -> Result<(), ProcessError> {
    checkout.git().args(["read-tree", "HEAD"]).output()?;
    if is_sparse(checkout) {
        refresh(checkout)?;
        checkout.git().args(["sparse-checkout", "reapply"]).output()?;
    }
    Ok(())
}

/// Whether it has, or had, patterns of a sparse checkout.
fn is_sparse(checkout: &Checkout) -> bool {
    let patterns: &Path = "info/sparse-checkout".as_ref();
    fs::metadata(checkout.git_dir.join(patterns)).is_ok_and(|data| data.len() > 0)
}

/// The entries with a mark of `git ls-files -t`.
fn marked(checkout: &Checkout, mark: &[u8]) -> Result<HashSet<BString>, ProcessError> {
    let listed = checkout.git().args(["ls-files", "-t", "-z"]).output()?;
    let records = listed.split_str(b"\0");
    Ok(records
        .filter_map(|record| record.strip_prefix(mark))
        .map(BString::from)
        .collect())
}
