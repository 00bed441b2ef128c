//! The runner: one attempt of one task, from its claim to its outcome.
//!
//! It is a process of its own, detached from the daemon that started it, and single-threaded where it starts the
//! brain. The order: claim (locks, then the ledger), worktree, receipt before, brain, commit, receipt after,
//! `finishing` with the branch move that is still to come, the move, the notes, the outcome. Killed anywhere, the
//! ledger says how far it came, and [`is_free`] says whether anything of it still lives.

mod around;
mod between;
mod capped;
mod checkpoint;
mod claim;
mod commit;
mod compare;
mod conclude;
mod control;
mod doubt;
mod error;
mod figures;
mod files;
mod finish;
mod follow;
mod ground;
mod handover;
mod launch;
mod limits;
mod lost;
mod our_refs;
mod pins;
mod postpone;
mod prepare;
mod record;
mod recover;
mod run;
mod setup;
mod sparse;
mod spool;
mod stop;
mod tidy;

use std::path::{Path, PathBuf};

pub use capped::piece_at;
pub use claim::is_free;
pub use control::bury;
pub use error::RunnerError;
pub use figures::figures;
pub use spool::transcript_of;
pub use stop::{disrupted_by, stop, urge};

use checkpoint::{Checkpoints, Subject};
use claim::Claim;
use control::Control;
use follow::{Ears, Ended, Patience, follow};
use launch::{Memory, Plan};
use prepare::Prepared;
use recover::Verdict;
use run::Run;
use spool::Spool;

use crate::{
    config::{Config, Paths},
    guard::{
        sandbox::{
            self, survivors,
            tier::{NoSandbox, Probe},
        },
        secrets::redact::Redactor,
    },
    process::run_dir,
    refs::{Ledger, LedgerError, Update},
    task::{Explain, Move, Outcome, Status, TaskId},
    worktree::receipt::Receipt,
};

/// The exit code of a runner that could not do its work for a shortage of the machine's (`EX_TEMPFAIL`): it is no fault
/// of the task's.
pub const TRY_AGAIN: u8 = 75;

/// What a runner needs of its surroundings.
#[derive(Debug)]
pub struct Surroundings {
    /// The user's folders.
    pub paths: Paths,
    /// The user's home.
    pub home: PathBuf,
}

/// Runs the next attempt of a task to its end; none where a task whose attempt died has to wait.
///
/// # Errors
/// [`RunnerError`] if the attempt could not be claimed, or the ledger could not be written any more. What goes
/// wrong in between is the attempt's outcome.
pub fn run(ledger: &Ledger<'_>, id: &TaskId, around: &Surroundings) -> Result<Option<Outcome>, RunnerError> {
    let stored = ledger.task(id)?;
    if stored.task.ended() {
        return conclude::complete(ledger, id);
    }
    let config = ledger
        .file(&stored, "config.json")?
        .unwrap_or_else(|| b"{}".to_vec());
    let config: Config = serde_json::from_slice(&config).map_err(RunnerError::Config)?;
    let told = stored.task.protection.as_ref();
    let probe = Probe::again(told, &around.paths.khlone_home.join("cache"));
    let chosen = probe.keep(told, (config.sandbox, &config.network));
    let chosen = chosen.map(|bwrap| bwrap.map(Path::to_owned));
    let bwrap = chosen.as_ref().ok().cloned().flatten();
    let run = Run {
        ledger,
        paths: &around.paths,
        home: around.home.clone(),
        config,
        bwrap,
        probe,
    };
    if stored.task.status == Status::Interrupted {
        match recover::recover(&run, id)? {
            Verdict::GoOn => {}
            Verdict::Over(outcome) => {
                tidy::tidy(ledger, &stored.task);
                return Ok(Some(outcome));
            }
            Verdict::Waits => return Ok(None),
        }
    }
    let tier = chosen.is_ok().then(|| run.tier());
    let mut claim = Claim::take(ledger, id, tier)?;
    match chosen {
        Ok(_) => {}
        // It begins again once there is one, and never with less.
        Err(now @ NoSandbox::Now(_)) => {
            die(&run, &claim, &now.into())?;
            return Ok(None);
        }
        Err(refused) => {
            give_up(&run, &mut claim, Outcome::Setup, (&refused, refused.hint()))?;
            return Ok(Some(over(&run, claim, Outcome::Setup)));
        }
    }
    match attempt(&run, &mut claim) {
        Ok(outcome) => Ok(Some(over(&run, claim, outcome))),
        Err(RunnerError::Ledger(error @ LedgerError::Fenced { .. })) => Err(error.into()),
        // All of it is written down: it is completed once the disk allows it, and nothing runs again.
        Err(error) if ledger.task(id)?.task.status == Status::Finishing => Err(error),
        // What a brain left that has run is looked after like that of any other death. What the machine was short of
        // is no end of a task: it begins again.
        Err(error) if has_begun(&run, &claim) || run.is_passing(&error) => {
            match die(&run, &claim, &error) {
                Ok(()) => Ok(None),
                // It stays as it is, with its locks free: the daemon finds it so.
                Err(_) => Err(error),
            }
        }
        Err(error) => {
            give_up(&run, &mut claim, Outcome::Crashed, (&error, error.hint()))?;
            Ok(Some(over(&run, claim, Outcome::Crashed)))
        }
    }
}

/// Lets the clone go, and tidies up. No task that wants the clone waits for that: it can take as long as the brain has
/// made files.
fn over(run: &Run<'_>, claim: Claim, outcome: Outcome) -> Outcome {
    let task = claim.task().clone();
    drop(claim);
    tidy::tidy(run.ledger, &task);
    outcome
}

fn attempt(run: &Run<'_>, claim: &mut Claim) -> Result<Outcome, RunnerError> {
    let task = claim.task().clone();
    files::find_again(run, &task)?;
    let zone = run
        .ledger
        .zone(&task.zone)?
        .ok_or_else(|| RunnerError::NoClone(task.clone.clone()))?;
    let member = zone
        .crew
        .get(&task.clone)
        .ok_or_else(|| RunnerError::NoClone(task.clone.clone()))?;
    let made = prepare::worktree(run, &task, member)?;
    let prepared = prepare::receipt(run, claim, made)?;
    let mut plan = launch::plan(run, claim, &prepared, (member, Memory::Kept))?;
    let redactor = Redactor::new(&plan.secrets(run, &prepared.checkout), &run.config.redact.allow)?;
    let mut spool = Spool::open(&claim.dir, run.config.limits.transcript.as_u64(), redactor)?;
    if let Some(failed) = setup::run(run, &prepared, &plan, &mut spool)? {
        give_up(run, claim, Outcome::Setup, (&failed, None))?;
        return Ok(Outcome::Setup);
    }
    let (mut ended, mut seen) = sandbox::set_up(|| {
        let (ended, seen) = drive(run, claim, &prepared, &mut plan, &mut spool)?;
        let has_started = ended.has_started || ended.stop.is_some();
        if !has_started {
            plan = launch::plan(run, claim, &prepared, (member, Memory::Kept))?;
        }
        Ok::<_, RunnerError>(((ended, seen), has_started))
    })?;
    let cancelled = ended.stop == Some(follow::Stop::Cancelled);
    if let Some(why) = gone(&ended.verdict).filter(|_| plan.resumes() && !cancelled) {
        spool.event(setup::say(format!("the session {why}; a new one begins")))?;
        let session = plan.session.id().to_owned();
        plan = launch::plan(run, claim, &prepared, (member, Memory::Gone(&session)))?;
        (ended, seen) = drive(run, claim, &prepared, &mut plan, &mut spool)?;
    }
    if let Some(exit) = finish::was_killed(&ended, run.tier()) {
        return Err(RunnerError::BrainKilled(exit));
    }
    finish::finish(run, claim, &prepared, &plan, (&ended, &spool, seen))
}

/// Why a session is of no use any more, where nothing was done in it: a new one can begin at once then.
fn gone(verdict: &crate::brain::Verdict) -> Option<&'static str> {
    if verdict.lost_session {
        return Some("is lost");
    }
    (verdict.full && verdict.calls == 0).then_some("has no room left")
}

/// Runs the brain to its end; gives what came of it, and the receipt of the last checkpoint.
fn drive(
    run: &Run<'_>,
    claim: &Claim,
    prepared: &Prepared,
    plan: &mut Plan,
    spool: &mut Spool,
) -> Result<(Ended, Option<Receipt>), RunnerError> {
    let control = Control::listen(&run_dir()?, spool.dir(), &claim.task().id, claim.n)?;
    let patience = Patience {
        task: run.config.limits.task.duration(),
        silence: run.config.limits.silence.duration(),
    };
    spool::begin(&claim.dir, run.tier().as_str(), plan.known_session())?;
    if run.bwrap.is_none() {
        survivors::adopt();
    }
    // Before the brain starts, as is all that can be: what it says from then on is lost with us until it is read.
    let least = run.config.limits.checkpoint.duration();
    let mut checkpoints = Checkpoints::begin(subject(run, claim, prepared), least)?;
    let started = plan.start(claim);
    if started.is_err() {
        spool::never_begun(&claim.dir)?;
    }
    let running = started?;
    let mut limited = |until| limits::told(run, claim, until);
    let ears = Ears {
        limited: &mut limited,
        translator: &mut plan.translator,
        spool,
        control: &control,
        checkpoints: &mut checkpoints,
    };
    let ended = follow(running, ears, patience)?;
    if run.bwrap.is_none() {
        // Nothing else of ours runs now, and nothing of the brain may.
        survivors::end_children();
    }
    Ok((ended, checkpoints.end()))
}

/// What checkpoints of this attempt are taken of.
fn subject(run: &Run<'_>, claim: &Claim, prepared: &Prepared) -> Subject {
    Subject {
        site: run.ledger.site().clone(),
        task: claim.task().id.clone(),
        generation: claim.generation(),
        checkout: prepared.checkout.clone(),
        pinned: prepared.head,
        max_blob: run.config.limits.blob.as_u64(),
        private: prepared.ground.private.clone(),
        dir: claim.dir.clone(),
        last: prepared.before.clone(),
    }
}

/// Whether the attempt's brain may have run.
fn has_begun(run: &Run<'_>, claim: &Claim) -> bool {
    spool::begun(&claim.dir).is_some() || lost::is_lost(run, claim).unwrap_or(true)
}

/// Breaks off an attempt that is not brought home yet.
fn die(run: &Run<'_>, claim: &Claim, why: &RunnerError) -> Result<(), RunnerError> {
    let id = claim.task().id.clone();
    run.ledger.update(&id, "runner", |update: &mut Update<'_>| {
        claim.check(update.task)?;
        if update.task.status == Status::Finishing {
            return Err(RunnerError::Busy(id.clone()));
        }
        if let Some(last) = update.task.attempts.last_mut() {
            match why {
                RunnerError::BrainKilled(exit) => last.exit = Some(exit.clone()),
                why @ RunnerError::NoSandbox(_) => last.broke = Some(why.to_string()),
                why if run.is_passing(why) => {}
                why => last.broke = Some(why.to_string()),
            }
        }
        update
            .transition(Move::Die, why.to_string())
            .map_err(|source| RunnerError::illegal(&id, source))
    })?;
    Ok(())
}

/// Ends an attempt that broke, with the reason.
fn give_up(
    run: &Run<'_>,
    claim: &mut Claim,
    outcome: Outcome,
    (why, next): (&dyn std::fmt::Display, Option<String>),
) -> Result<(), RunnerError> {
    let id = claim.task().id.clone();
    let claimed = &*claim;
    run.ledger.update(&id, "runner", |update: &mut Update<'_>| {
        claimed.check(update.task)?;
        if let Some(attempt) = update.task.attempts.last_mut() {
            attempt.ended = Some(crate::refs::now());
        }
        update
            .transition(
                Move::Fail {
                    outcome,
                    reasons: [why.to_string()].into_iter().chain(next.clone()).collect(),
                },
                why.to_string(),
            )
            .map_err(|source| RunnerError::illegal(&id, source))
    })?;
    Ok(())
}
