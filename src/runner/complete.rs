//! Completing an attempt whose runner died after it had written everything down: only the branch, the notes and
//! the last word are missing. Nothing of the brain runs again.

use super::{RunnerError, claim::Claim, ground::clear_locks, settle::note_commits};
use crate::{
    guard::import::rebuild_index,
    refs::{Ledger, LedgerError, Oid, RefError, move_branch},
    task::{Effects, Event, Import, Outcome, Status, Task, TaskId},
    worktree::checkout::Checkout,
};

/// Whether a task waits for nothing but its completion.
pub(super) fn is_due(task: &Task) -> bool {
    matches!(task.status, Status::Interrupted | Status::Finishing) && task.outcome.is_some()
}

/// Completes the last attempt of a task.
pub(super) fn complete(ledger: &Ledger<'_>, id: &TaskId) -> Result<Outcome, RunnerError> {
    let claim = Claim::take_over(ledger, id)?;
    let task = claim.task();
    let mut outcome = task.outcome.ok_or_else(|| RunnerError::Busy(id.clone()))?;
    let mut reasons = task.reasons.clone();
    if let Some(import) = &task.import
        && !bring(ledger, task, import)?
    {
        outcome = Outcome::Diverged;
        reasons.push(format!(
            "{} moved on the host meanwhile; the clone's {} is pinned",
            import.name, import.new
        ));
    }
    let effects = ledger
        .file(&claim.stored, &claim.path("effects.json"))?
        .unwrap_or_default();
    let effects: Effects = serde_json::from_slice(&effects).unwrap_or_default();
    note_commits(ledger, task, &effects.commits)?;
    ledger.update(id, "runner", |update| {
        claim.check(update.task)?;
        update.task.import = None;
        update.task.outcome = Some(outcome);
        update.task.reasons.clone_from(&reasons);
        update.task.parked_until = update.task.parked_until.filter(|_| outcome == Outcome::Limited);
        let illegal = |source| RunnerError::illegal(id, source);
        if update.task.status == Status::Interrupted {
            update.transition(Event::Start, "").map_err(illegal)?;
            update.transition(Event::End, "").map_err(illegal)?;
        }
        update
            .transition(
                outcome.event(),
                format!("{outcome}, completed after its runner died"),
            )
            .map_err(illegal)
    })?;
    Ok(outcome)
}

/// Moves the branch as the task says, unless that was done; false if it stands elsewhere.
pub(super) fn bring(ledger: &Ledger<'_>, task: &Task, import: &Import) -> Result<bool, RunnerError> {
    let repo = ledger.repo();
    let (old, new): (Oid, Oid) = (import.old.parse()?, import.new.parse()?);
    if repo.ref_target(&import.name)? != Some(new) {
        match move_branch(repo, &import.name, Some(old), new, "khlone: import") {
            Ok(()) => {}
            Err(RefError::Moved { .. }) => return Ok(false),
            Err(error) => return Err(LedgerError::from(error).into()),
        }
    }
    let zone = ledger.zone(&task.zone)?;
    let path = zone.and_then(|zone| zone.crew.get(&task.clone).and_then(|member| member.path.clone()));
    if let Some(checkout) = path.and_then(|path| Checkout::linked_at(repo.common_dir(), path.as_ref())) {
        clear_locks(ledger, task, &checkout)?;
        rebuild_index(repo.common_dir(), &checkout, new)?;
    }
    Ok(true)
}
