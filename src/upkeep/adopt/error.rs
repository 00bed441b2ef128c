//! Why tasks are not taken over.

use std::io;

use super::original::Alive;
use crate::{
    refs::LedgerError,
    task::{Class, Explain},
    worktree::place::PlaceError,
    zone::hold::HoldError,
};

/// Tasks that are not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// No task is owned by such a site.
    #[error("no task here belongs to a site `{0}`")]
    NoSite(String),
    /// A prefix of several.
    #[error("`{prefix}` is the beginning of several sites: {}", .sites.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it could be.
        sites: Vec<String>,
    },
    /// The site may be alive; its tasks would run twice.
    #[error("site {} may be alive: {sign}; its tasks would run twice", short(.site))]
    Alive {
        /// Which site.
        site: String,
        /// What speaks for it.
        sign: Alive,
    },
    /// It is another machine's, and was never this one.
    #[error("site {} is on another machine; whether it is alive cannot be seen from here", short(.0))]
    Away(String),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A worktree has no place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A clone cannot be held still.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// As much of a site's id as people need.
fn short(site: &str) -> &str {
    site.get(..8).unwrap_or(site)
}

impl Explain for AdoptError {
    fn class(&self) -> Class {
        match self {
            Self::NoSite(_) => Class::NotFound,
            Self::Ambiguous { .. } => Class::Usage,
            Self::Alive { .. } | Self::Away(_) => Class::Refused,
            Self::Ledger(error) => error.class(),
            Self::Place(error) => error.class(),
            Self::Hold(error) => error.class(),
            Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSite(_) | Self::Ambiguous { .. } => Some("git khlone sites".to_owned()),
            Self::Alive { site, .. } | Self::Away(site) => Some(format!(
                "git khlone sites adopt {} --force    # once you are sure that it is never used again",
                short(site)
            )),
            Self::Ledger(error) => error.hint(),
            Self::Place(error) => error.hint(),
            Self::Hold(error) => error.hint(),
            Self::Io(_) => None,
        }
    }
}
