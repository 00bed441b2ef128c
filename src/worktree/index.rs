//! The index of a checkout, written anew. The files are not touched, and need not be there.
//!
//! In a sparse checkout the index says of each file outside of the patterns that it need not be there. git forgets that
//! mark wherever a tree replaces an entry, and would show the file as deleted from then on. So it is kept.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bstr::{BString, ByteSlice, ByteVec};

use super::{checkout::Checkout, lenient::leniently};
use crate::{
    process::{Cmd, ProcessError},
    refs::Oid,
};

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
    let done = leniently(
        || checkout.git().patience(PATIENCE),
        |git| git.args(["update-index", "-q", "--refresh"]).output(),
    );
    match done {
        // It fails where something is modified. One that was killed has left its lock.
        Err(error @ ProcessError::Failed { .. }) if !error.was_killed() => Ok(()),
        done => done.map(drop),
    }
}

/// Brings the index of a checkout from commit `old` to `new`. What is staged in files that are the same in both stays
/// staged.
///
/// # Errors
/// If git fails.
pub fn follow(checkout: &Checkout, old: Oid, new: Oid) -> Result<(), ProcessError> {
    if !is_staged(checkout.git(), &old.to_string())? {
        return reset(checkout, &new.to_string());
    }
    let diff = checkout
        .git()
        .args(["diff-tree", "-r", "-z", "--raw", "--no-renames"]);
    let diff = diff.args([old.to_string(), new.to_string()]).output()?;
    let mut fields = diff.split_str(b"\0");
    let (mut gone, mut written) = (Vec::new(), Vec::new());
    // `:MODE MODE OBJECT OBJECT STATE`, and the path.
    while let (Some(entry), Some(path)) = (fields.next(), fields.next()) {
        let words: Vec<&[u8]> = entry.split_str(b" ").collect();
        let [_, mode, _, object, state] = words[..] else {
            continue;
        };
        let (list, mode) = match state {
            b"D" => (&mut gone, &b"0"[..]),
            _ => (&mut written, mode),
        };
        list.extend([mode, b" ", object, b"\t", path, b"\0"].concat());
    }
    // What goes makes room for what comes.
    gone.extend(written);
    keeping_marks(checkout, || {
        let update = |git: Cmd| {
            let git = git.args(["update-index", "--add", "--replace", "-z", "--index-info"]);
            git.input(gone.clone()).output().map(drop)
        };
        leniently(|| checkout.git(), update)
    })
}

/// Whether the index that `git` looks at has something else than `tree`.
///
/// # Errors
/// If git fails.
pub fn is_staged(git: Cmd, tree: &str) -> Result<bool, ProcessError> {
    let git = git.args(["diff-index", "--cached", "--quiet", "--ignore-submodules=all"]);
    let done = git.args([tree, "--"]).finish()?;
    match done.status.code() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(ProcessError::Failed {
            program: "git diff-index".to_owned(),
            status: done.status,
            stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        }),
    }
}

/// Takes out of `index`, a copy of the index of the worktree's git folder `admin`, what is staged.
///
/// # Errors
/// If git fails.
pub fn unstage(admin: &Path, index: &Path) -> Result<(), ProcessError> {
    let git = || {
        let git = Cmd::git(admin).env("GIT_INDEX_FILE", index);
        git.args(["-c", "core.splitIndex=false"])
    };
    if is_staged(git(), "HEAD")? {
        leniently(git, |git| {
            git.args(["read-tree", "--reset", "-i", "HEAD"]).output()
        })?;
    }
    Ok(())
}

/// The paths that are staged against `tree`.
///
/// # Errors
/// If git fails.
pub fn staged(checkout: &Checkout, tree: &str) -> Result<HashSet<Vec<u8>>, ProcessError> {
    let git = checkout
        .git()
        .args(["diff-index", "--cached", "--name-only", "--no-renames", "-z"]);
    let paths = git.args(["--ignore-submodules=all", tree, "--"]).output()?;
    let paths = paths.split_str(b"\0").filter(|path| !path.is_empty());
    Ok(paths.map(<[u8]>::to_vec).collect())
}

fn replace(checkout: &Checkout, how: &[&str]) -> Result<(), ProcessError> {
    keeping_marks(checkout, || {
        leniently(
            || checkout.git(),
            |git| git.arg("read-tree").args(how).output().map(drop),
        )
    })
}

/// Changes the index; what need not be there in a sparse checkout, need not be there after it.
fn keeping_marks(
    checkout: &Checkout,
    change: impl FnOnce() -> Result<(), ProcessError>,
) -> Result<(), ProcessError> {
    let passed_over = if is_sparse(checkout) {
        marked(checkout, b"S ")?
    } else {
        HashSet::new()
    };
    change()?;
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
    let mark = |git: Cmd| {
        let git = git.args(["update-index", "-z", "--skip-worktree", "--stdin"]);
        git.input(paths.clone()).output().map(drop)
    };
    leniently(|| checkout.git(), mark)
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
