//! Why tasks are not taken over.

use std::io;

use super::original::Alive;
use crate::{refs::LedgerError, task::explain, worktree::place::PlaceError, zone::hold::HoldError};

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

explain! {
    AdoptError {
        transparent { Ledger, Place, Hold }
        NotFound { NoSite => "git khlone sites" }
        Usage { Ambiguous => "git khlone sites" }
        Refused {
            Alive { site, .. } | Away(site) => format!(
                "git khlone sites adopt {} --force    # once you are sure that it is never used again",
                short(site)
            ),
        }
        Failed { Io }
    }
}
