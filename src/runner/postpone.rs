//! Recovery that did not come to its end: it is tried again, or a person has to look.
//!
//! A kill, a shortage (disk, memory, processes, files) or a sandbox that does not work now says nothing about the task,
//! so it is tried again without end, with pauses up to ten minutes. What is unclear is tried [`TRIES`] times. Only what a person has to undo
//! waits for one at once. The pause stands in the ledger already, see [`Claim::take_over`]: where the disk refuses
//! the reason, too, only the reason is missing.

use super::{RunnerError, claim::Claim};
use crate::{
    process::is_shortage,
    refs::{Ledger, Update, now},
    task::{Move, Status},
    worktree::create::CreateError,
};

/// How often recovery is tried where the cause is unclear, which takes about half a minute.
const TRIES: u32 = 4;

/// What an error of recovery asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing but patience: a process was killed, or the machine was short of something.
    Machine,
    /// The same, but what a person says first counts: it may never come back.
    Sandbox,
    /// It may go away by itself.
    Unclear,
    /// A person has to change something.
    Person,
}

impl Cause {
    /// Of an error, in the try that is under way.
    pub(super) fn of(error: &RunnerError, claim: &Claim) -> Self {
        let tried = claim.task().recovery().map_or(0, |retry| retry.tries);
        match error {
            RunnerError::NoZoneBranch(_)
            | RunnerError::NoClone(_)
            | RunnerError::Create(CreateError::HalfDone { .. })
            | RunnerError::WithChanges(_)
            | RunnerError::Config(_)
            | RunnerError::Redact(_) => Self::Person,
            RunnerError::SandboxGone(_) => Self::Sandbox,
            error if is_shortage(&error.to_string()) => Self::Machine,
            _ if tried >= TRIES => Self::Person,
            _ => Self::Unclear,
        }
    }
}

/// Writes down that recovery of a task failed, and when it is tried again.
///
/// # Errors
/// If that could not be written; the pause counts all the same.
pub(super) fn postpone(ledger: &Ledger<'_>, claim: &Claim, why: &str) -> Result<(), RunnerError> {
    let (now, why) = (now(), why.to_owned());
    make(ledger, claim, &Move::RecoverLater { now, why })
}

/// Leaves a task to a person.
///
/// # Errors
/// If that could not be written.
pub(super) fn hold(ledger: &Ledger<'_>, claim: &Claim, why: &str) -> Result<(), RunnerError> {
    make(ledger, claim, &Move::Hold { why: why.to_owned() })
}

fn make(ledger: &Ledger<'_>, claim: &Claim, to: &Move) -> Result<(), RunnerError> {
    let id = &claim.task().id;
    ledger.update(id, "runner", |update: &mut Update<'_>| {
        claim.check(update.task)?;
        // A daemon that finds one finishing, and its runner gone, makes it interrupted first.
        if update.task.status != Status::Interrupted {
            return Ok(());
        }
        update
            .transition(to.clone(), "")
            .map_err(|source| RunnerError::illegal(id, source))
    })?;
    Ok(())
}
