//! Merges and picks in memory: a tree or the names of the files in conflict, and no work tree touched.
//!
//! git's own merge decides (`merge-tree --write-tree`, git 2.38 or newer), so renames, attributes and merge
//! drivers count as they do for `git merge`. New objects are synced before their name is returned. A merge that
//! conflicts leaves unreachable objects, which git's next gc takes; one that is only looked at leaves none.

mod commit;
mod outcome;
mod series;

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use bstr::ByteSlice;
use git2::Oid;

pub use outcome::{Conflict, Conflicted, Merged};
pub use series::{Replayed, Series, series};

pub(super) use commit::is_nobody;
pub use commit::{committer, replay};

use crate::{
    process::{Cmd, Finished, ProcessError, temp},
    refs::Repo,
    task::explain,
};

/// How often an object is written before the disk is to blame.
const TRIES: usize = 5;

/// The exit code of a git that does not understand its command line.
const USAGE: i32 = 129;

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
    /// There is no folder to work in.
    #[error("no folder to merge in: {0}")]
    Io(#[from] io::Error),
    /// The strategy cannot be told that.
    #[error("git cannot merge by `{told}`: {said}")]
    Strategy {
        /// What.
        told: String,
        /// What git says.
        said: String,
    },
    /// git said something that we cannot read.
    #[error("git {0} answered with something else than an object's name")]
    Unreadable(&'static str),
}

explain! {
    MergeError {
        transparent { Process }
        Refused {
            Nobody => "git config --global user.name NAME; git config --global user.email ADDRESS",
            Strategy => "git version    # that takes 2.44; else merge the clone's branch by hand",
            Unrelated,
        }
        Failed { Git, Io, Unreadable }
    }
}

/// Merges `theirs` into `ours`, both commits; from `base`, if one is given, else from where git finds that they parted.
///
/// # Errors
/// [`MergeError`] if they have no common history, or git fails.
pub fn merge(repo: &Repo, base: Option<Oid>, sides: (Oid, Oid)) -> Result<Merged, MergeError> {
    merge_by(repo, &[], base, sides)
}

/// The same with what git's strategy is told, as `git merge -X` does.
///
/// # Errors
/// As [`merge()`], and [`MergeError::Strategy`] if this git cannot be told anything.
pub fn merge_by(
    repo: &Repo,
    told: &[String],
    base: Option<Oid>,
    (ours, theirs): (Oid, Oid),
) -> Result<Merged, MergeError> {
    let words = || told.iter().map(|word| format!("-X{word}"));
    let git = || merge_tree(synced(repo.common_dir()), words(), base, (ours, theirs));
    let done = written(git)?;
    if done.status.code() == Some(USAGE) && !told.is_empty() {
        return Err(MergeError::Strategy {
            told: words().collect::<Vec<_>>().join(" "),
            said: done
                .stderr
                .lines()
                .next()
                .unwrap_or_default()
                .to_str_lossy()
                .into_owned(),
        });
    }
    outcome::read(&done, (ours, theirs))
}

/// The same for a look: what it writes is thrown away, so a tree that nothing else has is there no more.
///
/// # Errors
/// As [`merge()`], and if no folder can be made.
pub fn look(repo: &Repo, (ours, theirs): (Oid, Oid)) -> Result<Merged, MergeError> {
    let common = repo.common_dir();
    let away = common.join("khlone/tmp");
    let folder = tempfile::tempdir_in(away).or_else(|_| temp::dir())?;
    let git = Cmd::git(common)
        .dir(common)
        .env("GIT_NO_LAZY_FETCH", "0")
        .env("GIT_OBJECT_DIRECTORY", folder.path())
        .env(
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            nested(&common.join("objects")),
        )
        .args(["-c", "core.fsync=none"]);
    let done = merge_tree(git, [], None, (ours, theirs)).finish()?;
    outcome::read(&done, (ours, theirs))
}

/// Applies what `pick` changed against its first parent to `onto`.
///
/// # Errors
/// As [`merge()`]; a root commit has nothing that it changed.
pub fn pick(repo: &Repo, pick: Oid, onto: Oid) -> Result<Merged, MergeError> {
    let parent = repo.git().find_commit(pick)?.parent_id(0);
    let parent = parent.map_err(|_| MergeError::Unrelated(onto, pick))?;
    merge(repo, Some(parent), (onto, pick))
}

fn merge_tree(
    git: Cmd,
    told: impl IntoIterator<Item = String>,
    base: Option<Oid>,
    (ours, theirs): (Oid, Oid),
) -> Cmd {
    let git = git.args(["-c", &format!("attr.tree={ours}^{{tree}}")]);
    let git = git.args(["merge-tree", "--write-tree", "-z", "--name-only"]);
    let git = git.args(told);
    let git = git.args(base.map(|base| format!("--merge-base={base}")));
    git.args([ours.to_string(), theirs.to_string()])
}

/// A folder as git takes it in a list of such.
fn nested(folder: &Path) -> OsString {
    let bytes = folder.as_os_str().as_bytes();
    if !bytes.iter().any(|byte| b"\":\\\n".contains(byte)) {
        return folder.as_os_str().to_owned();
    }
    let mut quoted = vec![b'"'];
    for byte in bytes {
        match byte {
            b'\n' => quoted.extend(b"\\n"),
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

/// git on the common folder, with every object it writes synced.
fn synced(common: &Path) -> Cmd {
    Cmd::git(common)
        .as_user()
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
