//! `resume` and `retry`: a task that ended without success, or waits for a person, is tried once more; one that waits
//! for a limit waits no longer.
//!
//! It stands in its clone's queue again. What a dead attempt left and nobody has looked after yet is looked after
//! first; the person's word then counts over the policy.

use crate::{
    refs::{ADOPT, Ledger, LedgerError, Stored, Update},
    task::{CloneName, How, Move, Status, Task, TaskId, act_of, explain},
};

/// A task that is not tried again.
#[derive(Debug, thiserror::Error)]
pub enum AgainError {
    /// Another site's or machine's.
    #[error("{0} belongs to another copy of this repository and is not run here")]
    Owner(TaskId),
    /// It went well.
    #[error("{0} is done")]
    Done(TaskId),
    /// It is on its way.
    #[error("{0} is {1} already")]
    UnderWay(TaskId, Status),
    /// It waited for a task that was not done.
    #[error("{0} was skipped: a task that it waits for was not done")]
    Skipped(TaskId),
    /// Its clone was removed; the last is the way back, or on.
    #[error("{0} was done by {1}, which was removed")]
    NoClone(TaskId, CloneName, String),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

explain! {
    AgainError {
        transparent { Ledger }
        Refused {
            Owner => ADOPT,
            Skipped(id) => format!("git khlone show {id}"),
            Done(id) => format!("git khlone rollback {id}    # takes back what it did"),
            UnderWay(id, _) => format!("git khlone await {id}"),
        }
        NotFound { NoClone(_, _, next) => next.clone() }
    }
}

/// Has a task tried once more; its history says by whom, and in which words.
///
/// # Errors
/// [`AgainError`]; nothing has changed then.
pub fn again(
    ledger: &Ledger<'_>,
    id: &TaskId,
    how: How,
    (by, words): (&str, &str),
) -> Result<Stored, AgainError> {
    has_clone(ledger, &ledger.task(id)?.task)?;
    ledger.update(id, by, |update: &mut Update<'_>| {
        let task = &*update.task;
        if !ledger.site().owns(&task.owner) {
            return Err(AgainError::Owner(id.clone()));
        }
        match task.status {
            Status::Done => return Err(AgainError::Done(id.clone())),
            Status::Skipped => return Err(AgainError::Skipped(id.clone())),
            Status::Queued | Status::Running | Status::Finishing | Status::Paused | Status::Cancelling => {
                return Err(AgainError::UnderWay(id.clone(), task.status));
            }
            Status::Parked | Status::Interrupted | Status::Failed | Status::Cancelled => {}
        }
        let to = if task.status == Status::Parked {
            // It goes on as it would have by itself.
            Move::Unpark
        } else {
            Move::Again(how)
        };
        update.transition(to, words).map_err(|source| {
            LedgerError::Illegal {
                id: id.clone(),
                source,
            }
            .into()
        })
    })
}

/// Refuses a task whose clone was removed: it would crash each time. Where the removal can be undone, that is the way
/// back.
///
/// # Errors
/// [`AgainError::NoClone`].
pub fn has_clone(ledger: &Ledger<'_>, task: &Task) -> Result<(), AgainError> {
    let zone = ledger.zone(&task.zone)?;
    if zone.is_some_and(|zone| zone.crew.contains_key(&task.clone)) {
        return Ok(());
    }
    let saved = ledger.undos()?.into_iter().map(|(undo, _)| undo);
    let removal = saved
        .filter(|undo| {
            undo.zone.id == task.zone
                && undo
                    .clones
                    .iter()
                    .any(|kept| kept.left.is_none() && kept.crew.name == task.clone)
        })
        .map(|undo| undo.n)
        .max();
    let next = match removal {
        Some(n) => format!("git khlone undo {n}"),
        None => act_of(&task.clone.to_string(), &task.branch),
    };
    Err(AgainError::NoClone(task.id.clone(), task.clone.clone(), next))
}
