//! After a death: what a runner left when it, its brain's machine or its daemon was killed.
//!
//! With both locks of the attempt free, and held by us from here on: what it daemonised is ended, what its private
//! git holds comes home and is pinned, its files are compared with the last checkpoint, all of that is written to
//! the task, its branch follows, and then the policy decides. Killed anywhere in between, the next one does it
//! again. Nothing is replayed, and no brain runs here.

mod autopsy;
mod decide;

use super::{
    Run, RunnerError,
    claim::Claim,
    conclude::{bring, note_commits},
    doubt,
    files::{checkout_of, find_again, last_seen, shot},
    ground::{clear_locks, host_head},
    postpone::{Cause, postpone},
};
use crate::{
    guard::{sandbox::survivors::end_marked, secrets::redact::Redactor},
    refs::{LedgerError, MemorySink, Update, now},
    task::{Effects, How, IllegalMove, Move, Outcome, Status, Task, TaskId},
};
use decide::{Decision, Facts, deaths, decide};

/// The variable that everything of a task carries.
const MARK: &str = "KHLONE_TASK";

/// What comes next.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The next attempt.
    GoOn,
    /// Nothing: it is over.
    Over(Outcome),
    /// Nothing, until a time has come or a person has spoken.
    Waits,
}

/// Looks after the last attempt of an interrupted task.
pub(super) fn recover(run: &Run<'_>, id: &TaskId) -> Result<Verdict, RunnerError> {
    let mut claim = Claim::take_over(run.ledger, id)?;
    if claim.task().status != Status::Interrupted {
        return Err(RunnerError::Busy(id.clone()));
    }
    end_marked(MARK, id.as_str());
    let error = match look(run, &mut claim) {
        Err(RunnerError::Ledger(error @ LedgerError::Fenced { .. })) => return Err(error.into()),
        Err(error) => error,
        Ok(external) => {
            let broken = None;
            return write(run, &mut claim, &Looked { external, broken });
        }
    };
    let why = format!("recovery failed: {error}");
    tracing::warn!(task = %id, why);
    let anew = claim.task().next == Some(How::Retry);
    let cancel = claim.task().cancel;
    let cause = match Cause::of(&error, &claim) {
        Cause::Unclear | Cause::Person if run.has_lost_sandbox() => Cause::Sandbox,
        cause => cause,
    };
    match cause {
        Cause::Unclear if !anew => {}
        Cause::Sandbox if !anew && !cancel => {}
        Cause::Machine => {}
        Cause::Unclear | Cause::Sandbox | Cause::Person => {
            let looked = Looked {
                external: false,
                broken: Some(why),
            };
            return write(run, &mut claim, &looked);
        }
    }
    postpone(run.ledger, &claim, &why)?;
    Ok(Verdict::Waits)
}

/// What the look at the last attempt gave.
struct Looked {
    /// Somebody else changed what the clone works with since the last checkpoint.
    external: bool,
    /// What cannot be mended without a person.
    broken: Option<String>,
}

fn facts(run: &Run<'_>, task: &Task, looked: &Looked) -> Facts {
    Facts {
        cancel: task.cancel,
        asked: task.next.is_some(),
        anew: task.next == Some(How::Retry),
        policy: run.config.resume,
        limit: run.config.limits.attempts.get(),
        rested: task.parked_until.is_some_and(|until| until <= now()),
        external: looked.external,
        broken: looked.broken.clone(),
        deaths: deaths(&task.attempts),
    }
}

/// Whether somebody else changed what the clone works with since the last checkpoint.
fn look(run: &Run<'_>, claim: &mut Claim) -> Result<bool, RunnerError> {
    let known = claim
        .task()
        .last_attempt()
        .is_some_and(|last| last.died.is_some());
    find_again(run, claim.task())?;
    if let Some(checkout) = checkout_of(run, claim.task())? {
        clear_locks(run.ledger, claim.task(), &checkout)?;
    }
    if !known {
        autopsy::write(run, claim)?;
    }
    // They are pinned, whatever becomes of the branch.
    note_commits(run.ledger, claim.task(), &effects_of(run, claim)?.commits)?;
    if let Some(import) = claim.task().import.clone()
        && !bring(run.ledger, claim.task(), &import)?
    {
        let words = format!(
            "{} moved on the host; the clone's {} is pinned",
            import.name, import.new
        );
        note_external(run, claim, external(words))?;
    }
    if known {
        let since = since(run, claim)?;
        if !since.external.is_empty() {
            note_external(run, claim, since)?;
        }
    }
    Ok(effects_of(run, claim)?.concern_the_clone())
}

fn external(words: String) -> Effects {
    Effects {
        external: vec![words],
        ..Effects::default()
    }
}

/// What changed since recovery last looked: no brain of ours ran, so it is somebody else's doing.
fn since(run: &Run<'_>, claim: &Claim) -> Result<Effects, RunnerError> {
    let Some(checkout) = checkout_of(run, claim.task())? else {
        return Ok(external("the clone's worktree is gone".to_owned()));
    };
    let Some(then) = last_seen(&claim.dir) else {
        return Ok(Effects::default());
    };
    let head = host_head(run.ledger.repo(), &checkout)?;
    let mut unkept = MemorySink::default();
    let today = shot(run, &checkout, head, Some(&then.snapshot.manifest), &mut unkept)?;
    let ours = effects_of(run, claim)?.branch;
    Ok(doubt::external(run, &checkout, (&then, &today), ours.as_ref()))
}

fn effects_of(run: &Run<'_>, claim: &Claim) -> Result<Effects, RunnerError> {
    let bytes = run.ledger.file(&claim.stored, &claim.path("effects.json"))?;
    Ok(bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

fn note_external(run: &Run<'_>, claim: &mut Claim, meanwhile: Effects) -> Result<(), RunnerError> {
    let mut effects = effects_of(run, claim)?;
    effects.note_external(meanwhile);
    let redactor = Redactor::new(&[], &run.config.redact.allow)?;
    effects.reword(|name| *name = redactor.redact(name).0.into_owned());
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let stored = run.ledger.update(&id, "runner", |update: &mut Update<'_>| {
        claimed.check(update.task)?;
        update.edit.json(claimed.path("effects.json"), &effects)?;
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(())
}

/// Decides by what the task says now, a person's word in the meantime with it, and writes that down.
fn write(run: &Run<'_>, claim: &mut Claim, looked: &Looked) -> Result<Verdict, RunnerError> {
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let mut verdict = Verdict::Waits;
    let stored = run.ledger.update(&id, "runner", |update: &mut Update<'_>| {
        claimed.check(update.task)?;
        // What somebody else has done with it stands.
        if update.task.status != Status::Interrupted {
            return Err(RunnerError::Busy(id.clone()));
        }
        let decision = decide(&facts(run, update.task, looked));
        let fresh = update
            .task
            .attempts
            .iter()
            .any(|it| it.died.as_ref().is_some_and(|death| death.fresh));
        let outcome = if fresh { Outcome::Partial } else { Outcome::Crashed };
        let illegal = |source| RunnerError::illegal(&id, source);
        if looked.broken.is_none() {
            update.transition(Move::Recovered, "").map_err(illegal)?;
        }
        verdict = apply(update, decision, outcome).map_err(illegal)?;
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(verdict)
}

/// Writes a decision to a task that ends with `outcome` if it is given up.
fn apply(update: &mut Update<'_>, decision: Decision, outcome: Outcome) -> Result<Verdict, IllegalMove> {
    let (to, reason, verdict) = match decision {
        Decision::GoOn => (Move::GoOn, String::new(), Verdict::GoOn),
        Decision::Later(pause) => {
            let seconds = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
            let until = now().saturating_add(seconds);
            let last = update.task.last_attempt();
            let broke = last.and_then(|last| last.broke.as_deref());
            let why = broke.unwrap_or("its attempt died").to_owned();
            (Move::Rest { until, why }, String::new(), Verdict::Waits)
        }
        Decision::Hold(why) => (Move::Hold { why }, String::new(), Verdict::Waits),
        Decision::GiveUp(why) => {
            let exit = update.task.last_attempt().and_then(|last| last.exit.clone());
            let mut reasons = vec![why.clone()];
            reasons.extend(exit.map(|exit| RunnerError::BrainKilled(exit).to_string()));
            (Move::Fail { outcome, reasons }, why, Verdict::Over(outcome))
        }
        Decision::Cancel => {
            let why = "cancelled; its runner died meanwhile".to_owned();
            let over = Verdict::Over(Outcome::Cancelled);
            (Move::Cancel { why: why.clone() }, why, over)
        }
    };
    update.transition(to, reason)?;
    Ok(verdict)
}
