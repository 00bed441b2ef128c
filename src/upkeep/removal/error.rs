//! Why a zone was not removed.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Stake;
use crate::{
    delivery::advance::AdvanceError,
    process::ProcessError,
    refs::LedgerError,
    task::{CloneName, Status, TaskId, explain, of_clone, zone_remove},
    worktree::carry::quoted,
    zone::{hold::HoldError, saving::SaveError},
};

/// A zone that was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Something would go that is nowhere else.
    #[error("{}; it would be saved, and go", .stakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AtStake {
        /// What, clone by clone.
        stakes: Vec<Stake>,
        /// The zone's branch.
        zone: String,
        /// The one clone that was to go, if not all.
        only: Option<CloneName>,
    },
    /// No such clone.
    #[error("zone {1} has no clone {0}")]
    NoClone(CloneName, String),
    /// A task is under way.
    #[error("{0} is {1}")]
    Active(TaskId, Status),
    /// The branch of a clone is checked out somewhere else: its removal would leave nothing there to commit on.
    #[error("{branch} is checked out at {path}", path = .path.display())]
    CheckedOut {
        /// The clone's branch.
        branch: String,
        /// Where.
        path: PathBuf,
        /// The zone's branch.
        zone: String,
    },
    /// Another worktree of somebody's stands in that of a clone.
    #[error("{path} is another worktree, and would go with the clone's", path = .path.display())]
    Worktree {
        /// Where.
        path: PathBuf,
        /// Where it would not be in the way.
        aside: PathBuf,
        /// The zone's branch.
        zone: String,
        /// The one clone that was to go, if not all.
        only: Option<CloneName>,
    },
    /// A clone is at work.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// It cannot be told what has landed.
    #[error(transparent)]
    Standing(#[from] AdvanceError),
    /// The state could not be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// git failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

explain! {
    RemovalError {
        transparent { Hold, Standing, Save, Ledger, Process }
        Refused {
            AtStake { stakes, zone, only } => {
                let force = again(zone, only.as_ref()) + " --force";
                let saves = "saves it; git khlone undo brings it back";
                let unlanded = stakes.iter().find(|stake| stake.unlanded > 0);
                match unlanded {
                    Some(stake) => {
                        let land = of_clone("land", &stake.clone.to_string(), zone);
                        format!("{land}    # or {force}: {saves}")
                    }
                    None => format!("{force}    # {saves}"),
                }
            },
            Active(id, _) => format!("git khlone cancel {id}"),
            CheckedOut { path, zone, .. } => format!(
                "git -C {} switch {}",
                quoted(path),
                quoted(Path::new(zone))
            ),
            Worktree { path, aside, zone, only } => format!(
                "git -C {0} worktree move {0} {1} && {2}",
                quoted(path),
                quoted(aside),
                again(zone, only.as_ref())
            ),
        }
        NotFound { NoClone => "git khlone list crew" }
        Failed { Git, Io }
    }
}

/// The removal that was asked for.
fn again(zone: &str, only: Option<&CloneName>) -> String {
    let only = only.map(|clone| format!(" --clone {clone}"));
    zone_remove(zone) + &only.unwrap_or_default()
}
