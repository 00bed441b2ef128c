//! Holding a clone still: no task of it runs while its worktree is removed, mended or rebased.
//!
//! It is the lock that a runner holds for as long as it runs a task of the clone. It goes with the process.

use std::{fs, io, os::unix::fs::DirBuilderExt, time::Duration};

use crate::{
    process::FileLock,
    refs::Site,
    task::{Class, CloneName, Explain, ZoneId},
};

/// A runner still holds its lock for a moment when its task is over, or when it was just killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A clone that no runner works in for as long as this lives.
#[must_use = "the clone is free again when this is dropped"]
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held, not read")] FileLock);

/// A clone that cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A task of it is under way.
    #[error("{0} is at work")]
    Busy(CloneName),
    /// The site's folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Explain for HoldError {
    fn class(&self) -> Class {
        match self {
            Self::Busy(_) => Class::Refused,
            Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Busy(_) => {
                Some("git khlone status, then git khlone await TASK or git khlone cancel TASK".to_owned())
            }
            Self::Io(_) => None,
        }
    }
}

/// Holds a clone.
///
/// # Errors
/// [`HoldError::Busy`] if a task of it is under way.
pub fn hold(site: &Site, zone: &ZoneId, clone: &CloneName) -> Result<Held, HoldError> {
    let layout = site.layout();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(layout.clone_locks())?;
    let path = layout.clone_lock(zone, clone);
    let lock = FileLock::wait_for(&path, PATIENCE)?;
    lock.map(Held).ok_or_else(|| HoldError::Busy(clone.clone()))
}
