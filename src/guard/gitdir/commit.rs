//! The commit of what a brain left uncommitted, the last thing that happens inside the sandbox.
//!
//! Exactly the given paths go into one commit on HEAD, with the repository's filters applied, without hooks and
//! signatures, whatever else the brain may have staged. On T0 the same commands run in the worktree on the host's
//! own git folder for it.

use std::{ffi::OsString, io, path::Path, time::Duration};

use crate::{
    guard::{beneath::Beneath, sandbox::Confinement},
    process::{Finished, ProcessError, is_shortage, was_killed},
    task::{Class, Explain},
};

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Identity {
    /// Who commits for a brain.
    pub fn ours() -> Self {
        Self {
            name: "git-khlone".to_owned(),
            email: "git-khlone@localhost".to_owned(),
        }
    }
}

/// What to commit.
#[derive(Debug, Clone)]
pub struct CommitPlan {
    /// Paths from the top of the work tree, as raw bytes; deleted ones too.
    pub paths: Vec<Vec<u8>>,
    /// The whole message.
    pub message: String,
    /// The author; the committer is git-khlone.
    pub author: Option<Identity>,
}

/// How a commit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// A commit was made.
    Made,
    /// The paths hold nothing that the last commit has not.
    Nothing,
    /// Files of the index are in conflict: nothing was committed.
    Conflicted,
}

/// A commit that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Git or a filter failed.
    #[error("cannot commit what the brain left: {0}")]
    Git(String),
    /// It took too long.
    #[error("cannot commit what the brain left: {0}")]
    Process(#[from] ProcessError),
    /// The disk did not let us.
    #[error("cannot commit what the brain left: {0}")]
    Disk(#[from] io::Error),
}

impl CommitError {
    /// From how git ended, and the end of what it said.
    pub(super) fn of(finished: &Finished) -> Self {
        let said = String::from_utf8_lossy(&finished.stderr);
        let start = said.len().saturating_sub(2000);
        let said = said.get(start..).unwrap_or(&said).trim().to_owned();
        if was_killed(finished.status) {
            return Self::Process(ProcessError::Failed {
                program: "git in the clone".to_owned(),
                status: finished.status,
                stderr: said,
            });
        }
        Self::Git(said)
    }

    /// Whether it is the doing of whoever left the files and the git folder so: trying again would end the same way.
    pub fn is_the_brains(&self) -> bool {
        matches!(self, Self::Git(said) if !is_shortage(said))
    }
}

impl Explain for CommitError {
    fn class(&self) -> Class {
        Class::Failed
    }
}

/// How long filters may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Works on an index of its own, so that what the brain staged stays out; then brings the real one up to date for the
/// committed paths. `$1` has the paths, `$2` the message, `$3` is a writable folder. Exit 8: nothing; 9: conflict.
const SCRIPT: &str = r#"
set -e
git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c commit.gpgSign=false -c gc.auto=0 -c maintenance.auto=false -c advice.addEmbeddedRepo=false "$@"; }
test -z "$(git ls-files -u)" || exit 9
head=$(git rev-list -1 --no-commit-header --format='%H %T' HEAD -- 2>/dev/null || true)
old=${head% *}
new_index=$3/khlone-index-$$
trap 'rm -f "$new_index" "$new_index.lock"' EXIT
if test -n "$old"; then GIT_INDEX_FILE=$new_index git read-tree "$old"; fi
GIT_INDEX_FILE=$new_index git update-index --add --remove --replace -z --stdin < "$1"
tree=$(GIT_INDEX_FILE=$new_index git write-tree)
if test -n "$old"; then
  test "$tree" != "${head#* }" || exit 8
  commit=$(git commit-tree "$tree" -p "$old" -F "$2")
  git update-ref -m "commit: git-khlone" HEAD "$commit" "$old"
else
  commit=$(git commit-tree "$tree" -F "$2")
  git update-ref -m "commit (initial): git-khlone" HEAD "$commit"
fi
git update-index --add --remove --replace -z --stdin < "$1"
"#;

/// Commits `plan`. `git_dir` is the private git folder on T2 and the host's worktree folder on T0; `scratch` is a
/// folder of ours for the paths and the message.
///
/// # Errors
/// [`CommitError`]; then nothing was committed.
pub fn commit(
    confinement: &Confinement,
    git_dir: &Path,
    scratch: &Path,
    plan: &CommitPlan,
) -> Result<Committed, CommitError> {
    if confinement.bwrap.is_some() {
        super::unblock(&Beneath::open(git_dir)?)?;
    }
    let (paths, message) = (scratch.join("commit-paths"), scratch.join("commit-message"));
    let mut list = Vec::new();
    for path in &plan.paths {
        list.extend_from_slice(path);
        list.push(0);
    }
    std::fs::write(&paths, list)?;
    std::fs::write(&message, &plan.message)?;
    let mut inside = confinement.for_git(true);
    inside.read_only.extend([paths.clone(), message.clone()]);
    for (name, value) in [("GIT_DIR", git_dir), ("GIT_WORK_TREE", &confinement.work_dir)] {
        inside.env.push((name.into(), value.into()));
    }
    let committer = Identity::ours();
    let author = plan.author.clone().unwrap_or_else(Identity::ours);
    for (name, value) in [
        ("GIT_AUTHOR_NAME", author.name),
        ("GIT_AUTHOR_EMAIL", author.email),
        ("GIT_COMMITTER_NAME", committer.name),
        ("GIT_COMMITTER_EMAIL", committer.email),
    ] {
        inside.env.push((name.into(), value.into()));
    }
    let argv: [OsString; 7] = [
        "sh".into(),
        "-c".into(),
        SCRIPT.into(),
        "commit".into(),
        paths.into(),
        message.into(),
        if inside.bwrap.is_some() {
            "/tmp".into()
        } else {
            scratch.into()
        },
    ];
    let finished = inside.command(&argv).patience(PATIENCE).finish()?;
    match finished.status.code() {
        Some(0) => Ok(Committed::Made),
        Some(8) => Ok(Committed::Nothing),
        Some(9) => Ok(Committed::Conflicted),
        _ => Err(CommitError::of(&finished)),
    }
}
