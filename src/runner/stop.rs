//! Stopping a task: what waits is cancelled at once, what runs is told to stop.
//!
//! That a running task is to stop is written down before its runner is told: a runner that does not listen yet is
//! told again by the daemon, and one that died in between does not start its task again.

use super::control;
use crate::{
    refs::{Ledger, LedgerError, Stored, Update},
    task::{Move, Status, Task, TaskId},
    zone::DISRUPTS,
};

/// Cancels a task for `reason`, in the name of `by`. Cancelling it again is no error while it is being stopped.
///
/// # Errors
/// [`LedgerError::Illegal`] if it is over, or brings its work home already; [`LedgerError::Owner`] if it runs elsewhere.
pub fn stop(ledger: &Ledger<'_>, id: &TaskId, (by, reason): (&str, &str)) -> Result<Stored, LedgerError> {
    let stored = ledger.update(id, by, |update: &mut Update<'_>| -> Result<(), LedgerError> {
        if !ledger.site().owns(&update.task.owner) {
            return Err(LedgerError::Owner(id.clone()));
        }
        if update.task.status == Status::Cancelling {
            return Ok(());
        }
        // What a dead attempt left is looked after first; recovery cancels it then.
        let open = update.task.status == Status::Interrupted && !update.task.is_recovered();
        let why = reason.to_owned();
        let to = if open {
            Move::CancelRecovered
        } else {
            Move::Cancel { why }
        };
        update
            .transition(to, reason)
            .map_err(|source| LedgerError::Illegal {
                id: id.clone(),
                source,
            })
    })?;
    if stored.task.status == Status::Cancelling {
        urge(ledger, &stored.task);
    }
    Ok(stored)
}

/// Tells the runner of a task that is being stopped, if it listens.
pub fn urge(ledger: &Ledger<'_>, task: &Task) {
    let n = task.last_attempt().map_or(0, |attempt| attempt.n);
    match control::cancel(&ledger.site().layout().attempt(&task.id, n)) {
        Ok(heard) => tracing::debug!(task = %task.id, heard, "told to stop"),
        Err(error) => tracing::debug!(task = %task.id, %error, "the runner does not answer"),
    }
}

/// Stops what `task` disrupts: the task of its clone that is under way, if it is to take its place.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read or written.
pub fn disrupted_by(ledger: &Ledger<'_>, task: &Task, by: &str) -> Result<Vec<TaskId>, LedgerError> {
    let mut stopped = Vec::new();
    if task.priority < DISRUPTS {
        return Ok(stopped);
    }
    let ours = ledger
        .open_heads()?
        .into_iter()
        .filter(|head| head.zone == task.zone && head.clone == task.clone);
    for head in ours.filter(|head| head.id != task.id && may_stop(head.status)) {
        let reason = format!("{} takes its place (--when disrupt)", task.id);
        match stop(ledger, &head.id, (by, &reason)) {
            Ok(_) => stopped.push(head.id),
            // It has just ended by itself.
            Err(LedgerError::Illegal { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(stopped)
}

/// An attempt is under way, or would be the next thing its clone does.
fn may_stop(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Interrupted)
}
