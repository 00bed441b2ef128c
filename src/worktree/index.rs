//! The index of a checkout, written anew. The files are not touched, and need not be there.
//!
//! The index says of a file that git need not look at it (`assume-unchanged`), or that it need not be there
//! (`skip-worktree`: a person's, or outside of the patterns of a sparse checkout). git forgets such a mark wherever a tree
//! replaces an entry. So it is kept.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bstr::{BString, ByteSlice};
use gix::index::entry::Flags;

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

/// Brings the index of a checkout from commit `old` to `new`. What is staged, or to be added, of files that are the same in
/// both stays so.
///
/// # Errors
/// If git fails.
pub fn follow(checkout: &Checkout, old: Oid, new: Oid) -> Result<(), ProcessError> {
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

/// Changes the index; its marks stay. What need not be there in a sparse checkout need not be there after it, but for a
/// file that is there now.
fn keeping_marks(
    checkout: &Checkout,
    change: impl FnOnce() -> Result<(), ProcessError>,
) -> Result<(), ProcessError> {
    let before = if may_have_marks(checkout) {
        marked(checkout)?
    } else {
        Marks::default()
    };
    change()?;
    if before.is_empty() {
        return Ok(());
    }
    let (after, is_sparse) = (marked(checkout)?, is_sparse(checkout));
    let is_there = |path: &&BString| {
        checkout
            .path
            .join(path.to_path_lossy())
            .symlink_metadata()
            .is_ok()
    };
    let lost = |mark: Mark| {
        let (then, now) = (before.of(mark), after.of(mark));
        let lost = then.difference(now).filter(|path| after.paths.contains(*path));
        lost.filter(|path| mark == Mark::Assumed || !is_sparse || !is_there(path))
            .flat_map(|path| [path.as_slice(), b"\0"].concat())
            .collect::<Vec<u8>>()
    };
    for (mark, option) in [
        (Mark::Assumed, "--assume-unchanged"),
        (Mark::Skipped, "--skip-worktree"),
    ] {
        let paths = lost(mark);
        if paths.is_empty() {
            continue;
        }
        let set = |git: Cmd| {
            let git = git.args(["update-index", "-z", option, "--stdin"]);
            git.input(paths.clone()).output().map(drop)
        };
        leniently(|| checkout.git(), set)?;
    }
    Ok(())
}

/// A mark by which git does not look at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Assumed,
    Skipped,
}

/// The files of an index, and those with marks.
#[derive(Debug, Default)]
struct Marks {
    paths: HashSet<BString>,
    assumed: HashSet<BString>,
    skipped: HashSet<BString>,
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.assumed.is_empty() && self.skipped.is_empty()
    }

    fn of(&self, mark: Mark) -> &HashSet<BString> {
        match mark {
            Mark::Assumed => &self.assumed,
            Mark::Skipped => &self.skipped,
        }
    }
}

/// Whether an index may have marks: nearly none has, and that is told without a process.
fn may_have_marks(checkout: &Checkout) -> bool {
    let options = gix::index::decode::Options::default();
    let file = gix::index::File::at(
        checkout.git_dir.join("index"),
        gix::hash::Kind::Sha1,
        true,
        options,
    );
    let marks = Flags::ASSUME_VALID | Flags::SKIP_WORKTREE;
    file.map_or(true, |file| {
        file.entries().iter().any(|entry| entry.flags.intersects(marks))
    })
}

/// The marks, as `git ls-files -v` has them.
fn marked(checkout: &Checkout) -> Result<Marks, ProcessError> {
    let listed = checkout.git().args(["ls-files", "-v", "-z"]).output()?;
    let mut marks = Marks::default();
    for record in listed.split_str(b"\0") {
        let [tag, b' ', path @ ..] = record else {
            continue;
        };
        let path = BString::from(path);
        if tag.is_ascii_lowercase() {
            marks.assumed.insert(path.clone());
        }
        if tag.eq_ignore_ascii_case(&b's') {
            marks.skipped.insert(path.clone());
        }
        marks.paths.insert(path);
    }
    Ok(marks)
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
