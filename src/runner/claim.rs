//! Taking a task: locks first, then the claim in the ledger.
//!
//! Three locks, all flocks that go with the process: the clone's (one task of a clone at a time), `runner.lock`
//! (this runner), and `attempt.lock`, which the sandbox inherits and so holds as long as anything of the brain
//! lives. A killed runner's own locks are free about 100 ms before the last write of its brain; the attempt's is
//! not. The claim raises the task's generation, and every later write of this attempt checks it.

use std::{fs::File, io, path::PathBuf};

use super::{RunnerError, spool};
use crate::{
    guard::sandbox::{survivors, tier::Tier},
    process::{FileLock, lock::take_for_all, runs},
    refs::{Crew, Ledger, LedgerError, Stored, Update},
    task::{Attempt, Event, How, Move, Status, Task, TaskId},
};

/// A task that this process runs.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) stored: Stored,
    /// The attempt's number.
    pub(super) n: u32,
    /// The attempt's local folder.
    pub(super) dir: PathBuf,
    /// Inherited by the sandbox.
    pub(super) attempt_lock: File,
    generation: u64,
    _locks: [FileLock; 2],
}

impl Claim {
    /// Claims a task for its next attempt.
    ///
    /// # Errors
    /// [`RunnerError::Busy`] if someone else runs it, its clone, or its last attempt still; [`RunnerError::Owner`]
    /// if the task is another site's.
    pub(super) fn take(ledger: &Ledger<'_>, id: &TaskId, tier: Option<Tier>) -> Result<Self, RunnerError> {
        let (stored, clone_lock) = Self::alone(ledger, id)?;
        let busy = || RunnerError::Busy(id.clone());
        let task = &stored.task;
        task.status
            .next(Event::Start)
            .map_err(|source| RunnerError::illegal(id, source))?;
        let n = task.last_attempt().map_or(0, |last| last.n) + 1;
        let dir = ledger.site().layout().attempt(id, n);
        spool::make_dir(&dir)?;
        let runner_lock = FileLock::try_take(&dir.join("runner.lock"))?.ok_or_else(busy)?;
        let attempt_lock = take_for_all(&dir.join("attempt.lock"))?.ok_or_else(busy)?;
        let seen = (task.generation, task.status);
        let goes_on = task.status == Status::Interrupted && n > 1;
        let asked = task.next.is_some();
        let how = task.next.or(goes_on.then_some(How::Resume));
        let stored = ledger.update(id, "runner", |update: &mut Update<'_>| {
            // Cancelled meanwhile, perhaps, or someone else's.
            if (update.task.generation, update.task.status) != seen {
                return Err(busy());
            }
            update
                .transition(Move::Start, format!("attempt {n}"))
                .map_err(|source| LedgerError::Illegal {
                    id: id.clone(),
                    source,
                })?;
            update.task.generation += 1;
            update.task.attempts.push(Attempt {
                n,
                pid: Some(std::process::id()),
                started: Some(crate::refs::now()),
                tier: tier.map(|tier| tier.as_str().to_owned()),
                how,
                asked,
                ..Attempt::default()
            });
            Ok(())
        })?;
        let generation = stored.task.generation;
        Ok(Self {
            stored,
            n,
            dir,
            attempt_lock,
            generation,
            _locks: [clone_lock, runner_lock],
        })
    }

    /// Takes over a task whose last attempt has died after writing all of it down: no new attempt begins.
    ///
    /// # Errors
    /// As [`Claim::take`].
    pub(super) fn take_over(ledger: &Ledger<'_>, id: &TaskId) -> Result<Self, RunnerError> {
        let (stored, clone_lock) = Self::alone(ledger, id)?;
        let busy = || RunnerError::Busy(id.clone());
        let n = stored.task.last_attempt().map_or(1, |last| last.n);
        let dir = ledger.site().layout().attempt(id, n);
        spool::make_dir(&dir)?;
        let runner_lock = FileLock::try_take(&dir.join("runner.lock"))?.ok_or_else(busy)?;
        let attempt_lock = take_for_all(&dir.join("attempt.lock"))?.ok_or_else(busy)?;
        let seen = stored.task.generation;
        let stored = ledger.update(
            id,
            "runner",
            |update: &mut Update<'_>| -> Result<_, RunnerError> {
                if update.task.generation != seen {
                    return Err(busy());
                }
                update.task.generation += 1;
                // Written before anything is tried: what is killed from here on pauses, too.
                update
                    .transition(Move::Recover(crate::refs::now()), "")
                    .map_err(|source| RunnerError::illegal(id, source))
            },
        )?;
        let generation = stored.task.generation;
        Ok(Self {
            stored,
            n,
            dir,
            attempt_lock,
            generation,
            _locks: [clone_lock, runner_lock],
        })
    }

    /// The task and its clone's lock, with nothing of its last attempt alive.
    fn alone(ledger: &Ledger<'_>, id: &TaskId) -> Result<(Stored, FileLock), RunnerError> {
        let stored = ledger.task(id)?;
        let task = &stored.task;
        if !ledger.site().owns(&task.owner) {
            return Err(RunnerError::Owner(id.clone()));
        }
        let busy = || RunnerError::Busy(id.clone());
        let layout = ledger.site().layout();
        spool::make_dir(&layout.clone_locks())?;
        let lock = FileLock::try_take(&layout.clone_lock(&task.zone, &task.clone))?.ok_or_else(busy)?;
        if let Some(last) = task.last_attempt()
            && !is_free(ledger, id, last.n)?
        {
            return Err(busy());
        }
        Ok((stored, lock))
    }

    /// The task as this attempt last wrote it.
    pub(super) fn task(&self) -> &Task {
        &self.stored.task
    }

    /// Checks that the attempt may still write.
    pub(super) fn check(&self, task: &Task) -> Result<(), LedgerError> {
        check(&task.id, task.generation, self.generation)
    }

    /// The generation that this attempt writes in.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// A path of this attempt in the task's tree.
    pub(super) fn path(&self, name: &str) -> String {
        format!("attempts/{}/{name}", self.n)
    }
}

/// Checks that an attempt of generation `ours` may still write.
pub(super) fn check(id: &TaskId, current: u64, ours: u64) -> Result<(), LedgerError> {
    if current == ours {
        return Ok(());
    }
    Err(LedgerError::Fenced {
        id: id.clone(),
        current,
        ours,
    })
}

/// Whether nothing of attempt `n` lives any more: neither its runner nor its brain. What a brain has left behind a
/// dead runner is ended.
///
/// # Errors
/// If the locks cannot be opened.
pub fn is_free(ledger: &Ledger<'_>, id: &TaskId, n: u32) -> io::Result<bool> {
    let dir = ledger.site().layout().attempt(id, n);
    if !dir.join("runner.lock").exists() {
        // Never begun, or taken away under a runner that lives on.
        if is_alive(ledger, id, n) {
            return Ok(false);
        }
        if !dir.exists() {
            return Ok(true);
        }
    }
    let Some(_runner_is_dead) = FileLock::try_take(&dir.join("runner.lock"))? else {
        return Ok(false);
    };
    let lock = dir.join("attempt.lock");
    if FileLock::try_take(&lock)?.is_none() {
        // In a sandbox it dies with its runner; without one it has to be ended.
        let ended = survivors::end_attempt(id.as_str(), &lock);
        tracing::info!(%id, ended, "left by a dead runner");
    }
    Ok(FileLock::try_take(&lock)?.is_some())
}

/// Whether the process that runs attempt `n`, by what the ledger says of it, is there and is that runner.
fn is_alive(ledger: &Ledger<'_>, id: &TaskId, n: u32) -> bool {
    let task = ledger.task(id).ok().map(|stored| stored.task);
    let attempts = task.map(|task| task.attempts).unwrap_or_default();
    let attempt = attempts.iter().find(|attempt| attempt.n == n);
    let pid = attempt.and_then(|attempt| attempt.pid);
    pid.is_some_and(|pid| runs(pid, &["runner", id.as_str()]))
}

/// Changes what the zone remembers of the task's clone.
pub(super) fn remember(
    ledger: &Ledger<'_>,
    task: &Task,
    change: impl Fn(&mut Crew),
) -> Result<(), RunnerError> {
    ledger.update_zone(&task.zone, None, |zone| {
        let member = zone
            .crew
            .get_mut(&task.clone)
            .ok_or_else(|| RunnerError::NoClone(task.clone.clone()))?;
        change(member);
        Ok(())
    })
}
