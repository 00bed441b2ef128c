//! Brings the files of a checkout from one commit to another, whole or not at all.
//!
//! Everything is checked before anything is touched: no operation half done, no tracked file changed or staged (in a
//! person's checkout: none of those that differ between the two commits), and nothing untracked, ignored files included,
//! where a new file would go (git itself overwrites ignored ones).
//! Then git moves index and files, with the user's filters and without hooks. Should that fail on the way (a
//! filter, a full disk), the old files are put back. Refs are not touched here.
//!
//! Limits: a file that appears between the check and the move can be overwritten if git ignores it; git's own
//! check, made again while it holds the index lock, catches every other.

mod error;
mod obstacle;

use std::{collections::HashSet, fs, io, path::Path, time::Duration};

use bstr::{BString, ByteSlice};
use git2::Oid;

pub use error::CarryError;
pub(crate) use error::{listed, quoted};
use obstacle::{Moved, in_the_way};

use super::{checkout::Checkout, gitlinks, index, lenient::status};
use crate::{
    process::{Cmd, ProcessError},
    refs::{Repo, Stuck, with_locks},
};

/// How long a checkout may take: filters may fetch large files.
const PATIENCE: Duration = Duration::from_hours(1);

/// Fills a new or emptied worktree with the files of its HEAD.
///
/// # Errors
/// If git fails, a filter included; what was written stays.
pub fn populate(checkout: &Checkout) -> Result<(), CarryError> {
    patiently(checkout, || {
        let read_tree = checkout.git().env("GIT_NO_LAZY_FETCH", "0").patience(PATIENCE);
        let read_tree = read_tree.args(["-c", "checkout.workers=2"]);
        read_tree.args(["read-tree", "--reset", "-u", "HEAD"]).output()
    })
    .map(drop)
}

/// The tracked files of a checkout that differ from its HEAD or are staged, and with `untracked` also those that
/// git neither tracks nor ignores. What lies inside submodules and nested repositories is not looked at.
///
/// # Errors
/// If git fails.
pub fn changes(checkout: &Checkout, untracked: bool) -> Result<Vec<BString>, ProcessError> {
    let records = records(checkout, untracked)?;
    let names = records.split_str(b"\0").filter_map(|record| record.get(3..));
    Ok(names.map(BString::from).collect())
}

/// `git status`: records of two state letters, a space and a name, each ended by NUL.
fn records(checkout: &Checkout, untracked: bool) -> Result<Vec<u8>, ProcessError> {
    let mode = if untracked {
        "--untracked-files=all"
    } else {
        "--untracked-files=no"
    };
    let args = [
        "--porcelain=v1",
        "-z",
        "--ignore-submodules=all",
        "--no-renames",
        mode,
    ];
    status(checkout, &args, |git| git.patience(PATIENCE))
}

/// The files of those `records` that count.
fn named(records: &[u8], counts: impl Fn(&[u8]) -> bool) -> Vec<(u8, &[u8])> {
    let records = records.split_str(b"\0").filter(|record| record.len() > 3);
    let named = records.map(|record| (record[1], &record[3..]));
    named.filter(|(_, name)| counts(name)).collect()
}

/// Whether those of a checkout's files that count are staged as `to` has them: a move that was cut short before the
/// branch followed.
fn is_carried(
    checkout: &Checkout,
    uncommitted: &[(u8, &[u8])],
    to: Oid,
    counts: impl Fn(&[u8]) -> bool,
) -> Result<bool, CarryError> {
    if uncommitted.is_empty() || uncommitted.iter().any(|(unstaged, _)| *unstaged != b' ') {
        return Ok(false);
    }
    let git = checkout.git().patience(PATIENCE);
    let git = git.args(["diff-index", "--cached", "--no-renames", "--name-only", "-z"]);
    let apart = git.arg(to.to_string()).output()?;
    let mut apart = apart.split_str(b"\0").filter(|name| !name.is_empty());
    Ok(!apart.any(counts))
}

/// Takes the files of a move from `head` to `staged` away again that was cut short before the branch followed. Files that
/// stand otherwise stay.
///
/// # Errors
/// If git fails.
pub fn restage(repo: &Repo, checkout: &Checkout, staged: Oid, head: Oid) -> Result<(), CarryError> {
    let moved = Moved::between(repo, head, staged)?;
    let records = records(checkout, false)?;
    let counts = |name: &[u8]| moved.touches(name);
    let uncommitted = named(&records, counts);
    if checkout.unfinished().is_some() || !is_carried(checkout, &uncommitted, staged, counts)? {
        return Ok(());
    }
    let carry = Carry {
        checkout: checkout.clone(),
        from: head,
        to: staged,
        moved,
        is_done: false,
    };
    carry.undo()
}

/// A checkout that may be brought from one commit to another.
#[derive(Debug)]
pub struct Carry {
    checkout: Checkout,
    from: Oid,
    to: Oid,
    moved: Moved,
    /// The files are at `to` already.
    is_done: bool,
}

impl Carry {
    /// Checks everything that could keep `checkout` from going from commit `from`, its HEAD, to `to`, a commit or a tree.
    ///
    /// # Errors
    /// [`CarryError`] naming what is in the way.
    pub fn check(repo: &Repo, checkout: Checkout, from: Oid, to: Oid) -> Result<Self, CarryError> {
        Self::unless(repo, checkout, (from, to), |_, _| true)
    }

    /// The same for a checkout in which somebody works: what is uncommitted and does not differ between the two commits
    /// stays as it is, as with `git merge`.
    ///
    /// # Errors
    /// As [`Carry::check`].
    pub fn check_around_changes(
        repo: &Repo,
        checkout: Checkout,
        from: Oid,
        to: Oid,
    ) -> Result<Self, CarryError> {
        Self::unless(repo, checkout, (from, to), Moved::touches)
    }

    /// Checks a move, which no uncommitted file that `counts` may be in the way of.
    fn unless(
        repo: &Repo,
        checkout: Checkout,
        (from, to): (Oid, Oid),
        counts: impl Fn(&Moved, &[u8]) -> bool,
    ) -> Result<Self, CarryError> {
        let path = checkout.path.clone();
        if let Some(what) = checkout.unfinished() {
            return Err(CarryError::Unfinished { path, what });
        }
        let moved = Moved::between(repo, from, to)?;
        let counts = |name: &[u8]| counts(&moved, name);
        let records = records(&checkout, false)?;
        let uncommitted = named(&records, counts);
        let is_done = is_carried(&checkout, &uncommitted, to, counts)?;
        if !uncommitted.is_empty() && !is_done {
            let files = uncommitted.iter().map(|(_, name)| BString::from(*name)).collect();
            return Err(CarryError::Dirty { path, files });
        }
        let files = if is_done {
            Vec::new()
        } else {
            in_the_way(repo, &path, from, moved.added())?
        };
        if !files.is_empty() {
            return Err(CarryError::InTheWay { path, files });
        }
        Ok(Self {
            checkout,
            from,
            to,
            moved,
            is_done,
        })
    }

    /// The checkout.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    /// Moves index and files.
    ///
    /// # Errors
    /// [`CarryError::Refused`] if it did not work; the files are as they were then.
    pub fn run(&self) -> Result<(), CarryError> {
        if self.is_done {
            return Ok(());
        }
        // git compares by stat first; entries that are only older than they look would stop it.
        patiently(&self.checkout, || index::refresh(&self.checkout))?;
        let two_way =
            |dry: &[&str]| patiently(&self.checkout, || self.two_way(dry, self.from, self.to).output());
        let refused = |source| CarryError::Refused {
            path: self.checkout.path.clone(),
            to: self.to,
            source,
        };
        match two_way(&["-n"]) {
            Ok(_) => {}
            Err(CarryError::Process(source)) => {
                let files = self.hidden()?;
                return Err(if files.is_empty() {
                    refused(source)
                } else {
                    let path = self.checkout.path.clone();
                    CarryError::Hidden { path, files }
                });
            }
            Err(other) => return Err(other),
        }
        let source = match two_way(&[]) {
            Ok(_) => {
                if gitlinks::is_marked(&self.checkout.git_dir) {
                    gitlinks::pass_over(&self.checkout)?;
                }
                return Ok(());
            }
            Err(CarryError::Process(source)) => source,
            Err(other) => return Err(other),
        };
        match self.put_back() {
            Ok(()) => Err(refused(source)),
            Err(then) => Err(CarryError::Half {
                path: self.checkout.path.clone(),
                source,
                then: Box::new(then),
            }),
        }
    }

    /// Files that would change and differ, and that git is told not to look at.
    fn hidden(&self) -> Result<Vec<BString>, CarryError> {
        let git = || self.checkout.git().patience(PATIENCE);
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let moved = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", &from, &to];
        let moved = git().args(moved).output()?;
        let moved: HashSet<&[u8]> = moved.split_str(b"\0").filter(|name| !name.is_empty()).collect();
        let listed = git().args(["ls-files", "-v", "-z"]).output()?;
        let mut found = Vec::new();
        for record in listed.split_str(b"\0") {
            let Some((tag, name)) = record.split_once_str(b" ") else {
                continue;
            };
            let is_hidden = tag == b"S" || tag.first().is_some_and(u8::is_ascii_lowercase);
            let file = self.checkout.path.join(name.to_path_lossy());
            if !is_hidden || !moved.contains(name) || file.symlink_metadata().is_err() {
                continue;
            }
            let at = format!("{from}:{}", name.to_str_lossy());
            let committed = git().args(["rev-parse", "--verify", "-q", &at]).finish()?;
            let path = name.to_os_str_lossy();
            let own = git()
                .arg("hash-object")
                .arg("--path")
                .arg(&path)
                .arg("--")
                .arg(&file)
                .finish()?;
            if committed.stdout.trim() != own.stdout.trim() {
                found.push(name.into());
            }
        }
        Ok(found)
    }

    /// Undoes a finished [`Carry::run`]; what it found in place stays.
    ///
    /// # Errors
    /// If git fails.
    pub fn undo(&self) -> Result<(), CarryError> {
        if !self.is_done {
            patiently(&self.checkout, || self.two_way(&[], self.to, self.from).output())?;
        }
        Ok(())
    }

    fn two_way(&self, dry: &[&str], from: Oid, to: Oid) -> Cmd {
        let git = self
            .checkout
            .git()
            .env("GIT_NO_LAZY_FETCH", "0")
            .patience(PATIENCE);
        let git = git
            .args(["-c", "checkout.workers=2"])
            .args(["read-tree", "-m", "-u"]);
        git.args(dry).args([from.to_string(), to.to_string()])
    }

    /// Puts the old files back after a move that failed half way: git writes the index last, so it has them still. Each
    /// that the move changes was unchanged before, and nothing stood where files were added, so nothing but the move's own
    /// work is undone.
    fn put_back(&self) -> Result<(), CarryError> {
        for name in self.moved.added() {
            let path = self.checkout.path.join(name.to_path_lossy());
            match fs::remove_file(&path) {
                Ok(()) => remove_empty_parents(&path, &self.checkout.path),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(source) => return Err(CarryError::Io { path, source }),
            }
        }
        let git = || {
            self.checkout
                .git()
                .env("GIT_NO_LAZY_FETCH", "0")
                .patience(PATIENCE)
        };
        // `S` of skip-worktree, in small letters if it is assume-unchanged as well: those were not written.
        let listed = git().args(["ls-files", "-v", "-z"]).output()?;
        let mut gone = Vec::new();
        for record in listed.split_str(b"\0") {
            if let Some((tag, name)) = record.split_once_str(b" ")
                && !tag.eq_ignore_ascii_case(b"S")
                && self.moved.is_old_file(name)
            {
                gone.extend_from_slice(name);
                gone.push(0);
            }
        }
        patiently(&self.checkout, || {
            let git = git().args(["checkout-index", "-f", "-u", "-q", "-z", "--stdin"]);
            git.input(gone.clone()).output()
        })?;
        Ok(())
    }
}

/// Runs a git step that locks the checkout's index; again while another git has it locked, or where one of ours that
/// was killed has left its lock.
///
/// # Errors
/// What git says last, or that the locks cannot be looked at.
pub(crate) fn patiently<T>(
    checkout: &Checkout,
    mut step: impl FnMut() -> Result<T, ProcessError>,
) -> Result<T, CarryError> {
    let lock = checkout.git_dir.join("index.lock");
    let done = with_locks(checkout.common_dir(), &[lock], Stuck::was_killed, || {
        step().map_err(Stuck::Git)
    });
    done.map_err(|error| match error {
        Stuck::Git(git) => git.into(),
        Stuck::Io(source) => CarryError::Io {
            path: checkout.git_dir.clone(),
            source,
        },
    })
}

/// Removes the folders above a removed file that are empty now, up to `top`.
fn remove_empty_parents(path: &Path, top: &Path) {
    let parents = path.ancestors().skip(1).take_while(|dir| *dir != top);
    for dir in parents {
        if fs::remove_dir(dir).is_err() {
            return;
        }
    }
}
