//! Why nothing landed.

use std::{io, path::PathBuf};

use git2::Oid;

use crate::{
    delivery::{
        advance::AdvanceError,
        merge::{Conflict, MergeError},
    },
    refs::LedgerError,
    task::{Class, Explain},
    worktree::carry::{CarryError, listed, quoted},
};

/// A landing that did not happen; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// A branch is not there.
    #[error("there is no branch {0}")]
    NoBranch(String),
    /// The commit is no longer part of the clone's branch.
    #[error("commit {commit:.10} is not on {branch} any more")]
    Rewritten {
        /// The commit.
        commit: Oid,
        /// The clone's branch.
        branch: String,
    },
    /// The two changed the same lines.
    #[error("{branch} conflicts with {zone} in {names}; nothing was changed", names = listed(&.conflict.names()))]
    Conflict {
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
        /// How.
        conflict: Box<Conflict>,
    },
    /// A locked worktree that is not there has the zone's branch.
    #[error("{zone} is checked out in {path}, which is locked and not there now", path = .path.display())]
    Away {
        /// The zone's branch.
        zone: String,
        /// The worktree.
        path: PathBuf,
    },
    /// The main checkout has the zone's branch and cannot be found.
    #[error("{zone} is checked out in the main work tree of {common}, and nothing there says where that is", common = .common.display())]
    Unplaced {
        /// The zone's branch.
        zone: String,
        /// The git folder.
        common: PathBuf,
    },
    /// A checkout is not clean, or a branch moved.
    #[error(transparent)]
    Move(#[from] AdvanceError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The site's folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Explain for LandError {
    fn class(&self) -> Class {
        match self {
            Self::NoBranch(_) => Class::NotFound,
            Self::Rewritten { .. } | Self::Conflict { .. } | Self::Away { .. } | Self::Unplaced { .. } => {
                Class::Refused
            }
            Self::Move(error) => error.class(),
            Self::Ledger(error) => error.class(),
            Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoBranch(_) => Some("git khlone list zones".to_owned()),
            Self::Rewritten { branch, .. } => Some(format!(
                "git khlone land {}",
                branch.rsplit('/').next().unwrap_or(branch)
            )),
            Self::Conflict { branch, zone, .. } => Some(format!("git switch {zone} && git merge {branch}")),
            Self::Away { path, .. } => Some(format!("git worktree unlock {}", quoted(path))),
            Self::Unplaced { .. } => Some("run `git khlone` once in the main work tree".to_owned()),
            Self::Move(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Io(_) => None,
        }
    }
}

impl From<git2::Error> for LandError {
    fn from(error: git2::Error) -> Self {
        Self::Move(error.into())
    }
}

impl From<MergeError> for LandError {
    fn from(error: MergeError) -> Self {
        Self::Move(error.into())
    }
}

impl From<CarryError> for LandError {
    fn from(error: CarryError) -> Self {
        Self::Move(error.into())
    }
}
