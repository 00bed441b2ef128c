//! Holding a clone still: no task of it runs while its worktree is removed, mended or rebased.
//!
//! It is the lock that a runner holds for as long as it runs a task of the clone. It goes with the process.

use std::{fs, io, os::unix::fs::DirBuilderExt, time::Duration};

use crate::{
    process::{FileLock, Tried},
    refs::{Ledger, LedgerError, Site},
    task::{CloneName, Status, Task, TaskId, ZoneId, explain},
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
    /// A task of it died, or waits for a person, with work that is not taken up yet.
    #[error("{clone} still has work of {task}, which is {status}")]
    Unsettled {
        /// The clone.
        clone: CloneName,
        /// Its task.
        task: TaskId,
        /// Where that is in its life.
        status: Status,
    },
    /// Its tasks cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The site's folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

explain! {
    HoldError {
        transparent { Ledger }
        Refused {
            Busy =>
                "git khlone status    # names the task under way: git khlone await TASK, or git khlone cancel TASK",
            Unsettled { task, status, .. } if status.is_active() => format!("git khlone await {task}"),
            Unsettled { task, .. } => format!("git khlone resume {task}    # or git khlone cancel {task}"),
        }
        Failed { Io }
    }
}

/// Holds a clone.
///
/// # Errors
/// [`HoldError::Busy`] if a task of it is under way.
pub fn hold(site: &Site, zone: &ZoneId, clone: &CloneName) -> Result<Held, HoldError> {
    let layout = site.layout();
    let locks = layout.clone_locks();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&locks);
    made.tried("make the folder", &locks)?;
    let path = layout.clone_lock(zone, clone);
    let lock = FileLock::wait_for(&path, PATIENCE)?;
    lock.map(Held).ok_or_else(|| HoldError::Busy(clone.clone()))
}

/// Holds a clone whose branch or files are about to be moved. Where an attempt died, its lock is free, and what it left
/// must stay as it is until recovery has looked: what moves under it would be told as the brain's.
///
/// # Errors
/// As [`hold`]; [`HoldError::Unsettled`] if a task of it is not at rest.
pub fn hold_settled(
    ledger: &Ledger<'_>,
    (zone, clone): (&ZoneId, &CloneName),
    waiting: Waiting,
) -> Result<Held, HoldError> {
    let held = hold(ledger.site(), zone, clone)?;
    let heads = ledger.heads()?;
    let its = heads
        .iter()
        .filter(|head| head.zone == *zone && head.clone == *clone);
    for head in its {
        let is_unsettled = match head.status {
            Status::Interrupted if waiting == Waiting::May => is_in_recovery(&ledger.task(&head.id)?.task),
            status => status.is_active() || status == Status::Interrupted,
        };
        if is_unsettled {
            return Err(HoldError::Unsettled {
                clone: clone.clone(),
                task: head.id.clone(),
                status: head.status,
            });
        }
    }
    Ok(held)
}

/// Whether an interrupted task of the clone may be there, if recovery of it is over and a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Yes: what is done is what the person decides.
    May,
    /// No.
    MayNot,
}

/// Whether what an attempt left is still to be looked at or brought home.
fn is_in_recovery(task: &Task) -> bool {
    task.hold.is_none()
        || task.last_attempt().is_some_and(|attempt| {
            attempt.recovery.is_some() || attempt.died.as_ref().is_some_and(|death| death.open)
        })
}
