//! Merges and picks in memory: a tree or the names of the files in conflict, and no work tree touched.
//!
//! git's own merge decides (`merge-tree --write-tree`, git 2.38 or newer), so renames, attributes and merge
//! drivers count as they do for `git merge`. New objects are synced before their name is returned. A merge that
//! conflicts leaves unreachable objects, which git's next gc takes.

mod commit;

use std::path::Path;

use bstr::{BString, ByteSlice};
use git2::Oid;

pub use commit::{Kin, commit, replay};

use crate::{
    process::{Cmd, Finished, ProcessError},
    refs::Repo,
    task::{Class, Explain},
};

/// How often an object is written before the disk is to blame.
const TRIES: usize = 5;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The merged tree.
    Clean(Oid),
    /// The files that need a hand.
    Conflict(Vec<BString>),
}

/// A merge that could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// git failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The two have no common history.
    #[error("{0:.10} and {1:.10} have no common history")]
    Unrelated(Oid, Oid),
    /// git knows nobody to make commits as.
    #[error("git does not know who you are, so no commit can be made")]
    Nobody,
    /// git said something that we cannot read.
    #[error("git {0} answered with something else than an object's name")]
    Unreadable(&'static str),
}

impl Explain for MergeError {
    fn class(&self) -> Class {
        match self {
            Self::Process(error) => error.class(),
            Self::Unrelated(..) | Self::Nobody => Class::Refused,
            Self::Git(_) | Self::Unreadable(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Nobody => {
                Some("git config --global user.name NAME; git config --global user.email ADDRESS".to_owned())
            }
            Self::Process(error) => error.hint(),
            Self::Unrelated(..) | Self::Git(_) | Self::Unreadable(_) => None,
        }
    }
}

/// Merges `theirs` into `ours`, both commits.
///
/// # Errors
/// [`MergeError`] if they have no common history, or git fails.
pub fn merge(repo: &Repo, ours: Oid, theirs: Oid) -> Result<Merged, MergeError> {
    let tree = ours.to_string();
    let done = written(|| {
        let merge = synced(repo.common_dir()).args(["-c", &format!("attr.tree={tree}^{{tree}}")]);
        let merge = merge.args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"]);
        merge.args([tree.clone(), theirs.to_string()])
    })?;
    let mut lines = done.stdout.split_str(b"\0").filter(|line| !line.is_empty());
    match done.status.code() {
        Some(0) => Ok(Merged::Clean(read_oid("merge-tree", lines.next())?)),
        Some(1) => Ok(Merged::Conflict(lines.skip(1).map(BString::from).collect())),
        _ if done.stderr.contains_str("unrelated histories") => Err(MergeError::Unrelated(ours, theirs)),
        _ => Err(failed("git merge-tree", &done).into()),
    }
}

/// Applies what `pick` changed against its first parent to `onto`.
///
/// # Errors
/// As [`merge`]; a root commit has nothing that it changed.
pub fn pick(repo: &Repo, pick: Oid, onto: Oid) -> Result<Merged, MergeError> {
    let git = repo.git();
    let parent = git.find_commit(pick)?.parent(0);
    let parent = parent.map_err(|_| MergeError::Unrelated(onto, pick))?;
    // A commit with the files of `onto` on the parent of `pick`: merging the two has just that parent as its base.
    let stand_in = Kin {
        tree: git.find_commit(onto)?.tree_id(),
        parents: &[parent.id()],
    };
    let stand_in = commit(repo, &stand_in, "stand-in")?;
    merge(repo, stand_in, pick)
}

/// git on the common folder, with every object it writes synced.
fn synced(common: &Path) -> Cmd {
    Cmd::git(common)
        .dir(common)
        .env("GIT_NO_LAZY_FETCH", "0")
        .args(["-c", "core.fsync=loose-object,pack,pack-metadata"])
}

/// Runs a git that writes objects; again where a gc of the user's has just removed the folder that it writes in.
fn written(git: impl Fn() -> Cmd) -> Result<Finished, ProcessError> {
    for _ in 1..TRIES {
        let done = git().finish()?;
        let swept = done.stderr.contains_str("unable to create temporary file")
            || done.stderr.contains_str("unable to write file");
        if done.status.success() || !swept {
            return Ok(done);
        }
    }
    git().finish()
}

fn read_oid(verb: &'static str, text: Option<&[u8]>) -> Result<Oid, MergeError> {
    let text = text.and_then(|text| text.trim().to_str().ok());
    text.and_then(|text| text.parse().ok())
        .ok_or(MergeError::Unreadable(verb))
}

fn failed(program: &str, done: &Finished) -> ProcessError {
    ProcessError::Failed {
        program: program.to_owned(),
        status: done.status,
        stderr: done.stderr.to_str_lossy().trim().to_owned(),
    }
}
