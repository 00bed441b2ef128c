//! The conclusion of an attempt: its branch, the notes, what its clone remembers, and the last word.
//!
//! Everything comes from the ledger, where [`super::record`] has written it, so a run that came to its end is concluded
//! by the same steps as one whose runner was killed after that: each step finds out whether it was done. Nothing of
//! the brain runs here. Where the branch moved on the host meanwhile, the clone's tip stays pinned and the outcome is
//! `diverged`. The host's index follows from commit to
//! commit with what a person has staged, and is never taken from the clone.

use super::{
    RunnerError,
    claim::{Claim, remember},
    ground::clear_locks,
    postpone::{Cause, hold, postpone},
    tidy::tidy,
};
use crate::{
    guard::gitdir::import::rebuild_index,
    refs::{Ledger, LedgerError, Oid, RefError, annotate, move_branch, note_of},
    task::{Effects, Import, Move, Obstacle, Outcome, Status, Task, TaskId},
    worktree::checkout::Checkout,
};

/// Concludes the last attempt of a task whose runner died before it could; none where it has to be tried again, or a
/// person has to look.
pub(super) fn complete(ledger: &Ledger<'_>, id: &TaskId) -> Result<Option<Outcome>, RunnerError> {
    let mut claim = Claim::take_over(ledger, id)?;
    let error = match conclude(ledger, &mut claim) {
        Err(RunnerError::Ledger(error @ LedgerError::Fenced { .. })) => return Err(error.into()),
        Err(error) => error,
        Ok(outcome) => {
            tidy(ledger, claim.task());
            return Ok(Some(outcome));
        }
    };
    let why = format!("its end cannot be completed: {error}");
    tracing::warn!(task = %id, why);
    match Cause::of(&error, &claim) {
        Cause::Machine | Cause::Sandbox | Cause::Unclear => postpone(ledger, &claim, &why)?,
        Cause::Person => hold(ledger, &claim, &why)?,
    }
    Ok(None)
}

/// Concludes an attempt that is written down; gives the outcome, which the branch may still have changed.
pub(super) fn conclude(ledger: &Ledger<'_>, claim: &mut Claim) -> Result<Outcome, RunnerError> {
    let task = claim.task();
    let id = task.id.clone();
    if !task.ended() {
        // Nothing was to come, and the last word is said.
        remember_session(ledger, task)?;
        return Ok(task.outcome.unwrap_or(Outcome::Crashed));
    }
    let mut diverged = None;
    if let Some(import) = &task.import
        && !bring(ledger, task, import)?
    {
        diverged = Some(format!(
            "{} moved on the host meanwhile; the clone's {} is pinned",
            import.name, import.new
        ));
    }
    let effects = ledger
        .file(&claim.stored, &claim.path("effects.json"))?
        .unwrap_or_default();
    let effects: Effects = serde_json::from_slice(&effects).unwrap_or_default();
    note_commits(ledger, task, &effects.commits)?;
    remember_session(ledger, task)?;
    let stored = ledger.update(&id, "runner", |update| {
        claim.check(update.task)?;
        let recorded = update.task.outcome.unwrap_or(Outcome::Crashed);
        let mut words = diverged
            .as_ref()
            .map_or(recorded, |_| Outcome::Diverged)
            .to_string();
        if update.task.status == Status::Interrupted {
            words.push_str(", completed after its runner died");
        }
        let diverged = diverged.clone();
        update
            .transition(Move::Conclude { diverged }, words)
            .map_err(|source| RunnerError::illegal(&id, source))
    })?;
    claim.stored = stored;
    Ok(claim.task().outcome.unwrap_or(Outcome::Crashed))
}

/// The clone goes on with the session in its next task.
fn remember_session(ledger: &Ledger<'_>, task: &Task) -> Result<(), RunnerError> {
    let Some(last) = task.last_attempt() else {
        return Ok(());
    };
    let remembered = if last.obstacle == Some(Obstacle::Full) {
        // Whoever goes on with it only finds that again.
        remember(ledger, task, |member| {
            member.session = None;
            member.unknown.remove("session_total");
            member.full.clone_from(&last.session);
        })
    } else if let Some(session) = &last.session {
        remember(ledger, task, |member| {
            member.session = Some(session.clone());
            member.session_folder.clone_from(&task.folder);
            member.full = None;
            if let Some(total) = &last.session_total {
                member.unknown.insert("session_total".to_owned(), total.clone());
            }
        })
    } else {
        Ok(())
    };
    match remembered {
        // It was removed meanwhile, and remembers nothing.
        Err(RunnerError::NoClone(_) | RunnerError::Ledger(LedgerError::NoZone(_))) => Ok(()),
        other => other,
    }
}

/// Notes on a task's commits say whose they are.
pub(super) fn note_commits(ledger: &Ledger<'_>, task: &Task, commits: &[String]) -> Result<(), RunnerError> {
    let note = note_of(task);
    let notes: Vec<_> = commits
        .iter()
        .filter_map(|commit| Some((commit.parse().ok()?, note.clone())))
        .collect();
    Ok(annotate(ledger.repo(), ledger.site(), &notes)?)
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
        rebuild_index(repo.common_dir(), &checkout, (old, new))?;
    }
    Ok(true)
}
