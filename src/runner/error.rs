//! What can keep a runner from its work.

use std::io;

use crate::{
    brain::BrainError,
    delivery::advance::AdvanceError,
    guard::{
        gitdir::{GitdirError, commit::CommitError, import::ImportError},
        sandbox::{SandboxError, tier::NoSandbox},
        secrets::redact::BadPattern,
    },
    process::{ProcessError, RunDirError},
    refs::{ADOPT, LedgerError, RepoError, SiteError},
    task::{CloneName, IllegalMove, TaskId, explain},
    upkeep::adopt::AdoptError,
    worktree::{
        create::CreateError, place::PlaceError, restore::RestoreError, setup::SetupError,
        snapshot::SnapshotError,
    },
};

/// Why an attempt could not begin, or could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Someone else is at it.
    #[error("{0}: another attempt, or another task of the same clone, is still under way")]
    Busy(TaskId),
    /// Another site's or machine's.
    #[error("{0} belongs to another copy of this repository and is not run here")]
    Owner(TaskId),
    /// The zone's branch was deleted.
    #[error("branch {0} is gone")]
    NoZoneBranch(String),
    /// The clone's branch was deleted.
    #[error("branch {0} of the clone is gone")]
    NoCloneBranch(String),
    /// A commit that an attempt kept is gone.
    #[error("{0} is gone, which kept what the task began with")]
    NoPin(String),
    /// The clone was removed.
    #[error("clone {0} is gone")]
    NoClone(CloneName),
    /// The brain was killed, and not by us.
    #[error("the brain was killed ({0}), perhaps out of memory")]
    BrainKilled(String),
    /// The clone has work of its own, on which the user's files cannot be laid.
    #[error(
        "{0} has work of its own that is not landed; --with-changes needs a clone that stands at its zone's tip"
    )]
    WithChanges(CloneName),
    /// Files cannot be laid out.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The recorded configuration is of no use.
    #[error("the task's configuration cannot be read: {0}")]
    Config(serde_json::Error),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The site's folder cannot be used.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// No place for a worktree.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The worktree cannot be looked for where the repository was moved.
    #[error(transparent)]
    Moved(#[from] AdoptError),
    /// No worktree.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The clone's branch cannot be brought up to date.
    #[error(transparent)]
    Advance(#[from] AdvanceError),
    /// No snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// No brain.
    #[error(transparent)]
    Brain(#[from] BrainError),
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// None that was required or told works.
    #[error(transparent)]
    NoSandbox(#[from] NoSandbox),
    /// The same, where a dead brain's commits wait in its git.
    #[error("its commits can only be taken home in a sandbox, and none works here now: {0}")]
    SandboxGone(String),
    /// The clone's own git folder cannot be prepared.
    #[error(transparent)]
    Gitdir(#[from] GitdirError),
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What the brain committed cannot be brought home.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The worktree's setup cannot be looked at.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// `redact.allow` has a bad pattern.
    #[error(transparent)]
    Redact(#[from] BadPattern),
    /// No private folder for the control socket.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A helper program failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// git cannot read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl RunnerError {
    pub(super) fn illegal(id: &TaskId, source: IllegalMove) -> Self {
        Self::Ledger(LedgerError::Illegal {
            id: id.clone(),
            source,
        })
    }
}

explain! {
    RunnerError {
        transparent {
            Restore, Ledger, Repo, Site, Place, Moved, Create, Advance, Brain, Sandbox, NoSandbox, RunDir,
            Setup, Redact, Gitdir, Commit, Import, Snapshot,
        }
        Refused {
            Busy(id) => format!("git khlone show {id}"),
            Owner => ADOPT,
            WithChanges(clone) => format!(
                "git khlone act --with-changes --who {}++ \"what is to be done\"",
                clone.role
            ),
        }
        NotFound { NoZoneBranch, NoCloneBranch, NoPin, NoClone }
        Failed {
            SandboxGone => "git khlone doctor",
            BrainKilled, Config, Process, Git, Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Explain};

    #[test]
    fn what_is_gone_is_named_for_what_it_is() {
        let pin = RunnerError::NoPin("refs/khlone/pins/t-1/1-head-before".to_owned());
        assert!(
            pin.to_string()
                .starts_with("refs/khlone/pins/t-1/1-head-before is gone")
        );
        let branch = RunnerError::NoCloneBranch("refs/heads/khlone/main/foreman.1".to_owned());
        assert!(branch.to_string().contains("of the clone"), "{branch}");
        assert_eq!(branch.class(), Class::NotFound);
    }
}
