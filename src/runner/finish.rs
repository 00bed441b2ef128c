//! After the brain: its changes are committed and brought home, compared with before, and judged.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use super::{
    Run, RunnerError,
    checkpoint::{self, Store},
    claim::Claim,
    commit::{Books, Uncommitted, account, auto_commit, is_untouched},
    compare::{NAMED, Seen, compare, new_commits},
    conclude::conclude,
    doubt,
    files::{put_back, shot},
    follow::{Ended, Stop},
    ground::{Left, clear_locks},
    launch::Plan,
    pins,
    prepare::Prepared,
    record::{Finished, record},
    sparse,
    spool::Spool,
};
use crate::{
    brain::{Session, Trouble},
    config::Limits,
    guard::sandbox::tier::Tier,
    process::exit_word,
    refs::{Oid, Pack},
    task::{BranchMove, Effects, Evidence, Mode, Obstacle, Outcome, Task, a, few, judge},
    worktree::receipt::Receipt,
};

/// So many times a task that cannot reach its provider is parked, as for a limit; then it waits for a person.
const OFFLINE_TRIES: usize = 2;

/// What came home of a run, before it is compared.
struct Home {
    left: Left,
    uncommitted: Uncommitted,
    head: Oid,
    /// HEAD ended on no descendant of the clone's branch.
    moved: bool,
}

/// Brings an ended run home; gives its outcome.
pub(super) fn finish(
    run: &Run<'_>,
    claim: &mut Claim,
    prepared: &Prepared,
    plan: &Plan,
    (ended, spool, last): (&Ended, &Spool, Option<Receipt>),
) -> Result<Outcome, RunnerError> {
    // Before anything else: without refs there is no ledger.
    let around = prepared.around.as_ref();
    let mended = around.map(|around| around.mend(run.ledger.repo(), &claim.dir));
    let mended = mended.transpose()?.unwrap_or_default();
    claim.check(&run.ledger.task(&claim.task().id)?.task)?;
    let told = prepared.around.as_ref().map(|around| around.told(run));
    let mut told = told.unwrap_or_default();
    told.breach.extend(mended);
    let mut home = come_home(run, claim, prepared, plan, (ended, spool))?;
    let mut pack = Pack::begin(run.ledger.site())?;
    let store = Store::at(&claim.dir);
    let checkpoints = checkpoint::give(&store, &mut pack);
    // What the last checkpoint saw needs not be read again, now that its objects are in the same pack.
    let last = last.filter(|last| {
        let tree = last.snapshot.tree.to_string();
        checkpoints
            .last()
            .is_some_and(|checkpoint| checkpoint.tree == tree)
    });
    let previous = last.as_ref().unwrap_or(&prepared.before);
    let previous = Some(&previous.snapshot.manifest);
    let after = shot(run, &prepared.checkout, Some(home.head), previous, &mut pack)?;
    let mut effects = weigh_effects(run, claim.task(), prepared, &home, &after)?;
    let mut remarks = Vec::new();
    if claim.task().mode == Mode::Act {
        let books = Books {
            prepared,
            confinement: &plan.confinement,
            after: &after,
            head: (!home.left.rejected).then_some(home.head),
        };
        remarks = account((run, claim), &books, &mut home.uncommitted, &mut effects)?;
    }
    let refs = std::mem::take(&mut home.left.refs);
    pins::tell(&mut effects, refs, &|name| spool.clean(name.as_bytes()));
    if is_killed(ended) && claim.task().mode == Mode::Act {
        // Read back: a cut-off file is known by what it was.
        pack.publish()?;
        let base = last.as_ref().unwrap_or(&prepared.before);
        effects.in_doubt = doubt::late_files(run, &prepared.checkout, (base, &after));
    }
    if claim.task().mode == Mode::Ask && run.bwrap.is_none() && !effects.files.is_empty() {
        pack.publish()?;
        let before = (prepared.before.snapshot.tree, Some(prepared.head));
        put_back(run, &prepared.checkout, before, &after)?;
    }
    let mut evidence = evidence(claim.task(), ended, plan);
    // What an attempt that died had done counts for the one that goes on with it.
    let before = claim.task().attempts.iter().rev().skip(1);
    let mut before = before.take_while(|attempt| attempt.died.is_some());
    let inherited =
        evidence.act && before.any(|attempt| attempt.died.as_ref().is_some_and(|died| died.fresh));
    evidence.changed = !effects.files.is_empty() || home.head != prepared.head || inherited;
    evidence.sequencer = home.left.sequencer.is_some();
    evidence.left_out = home.uncommitted.is_partial() || home.left.rejected;
    evidence.moved = home.moved;
    effects.foreign.extend(told.breach);
    evidence.foreign = !effects.foreign.is_empty();
    effects.foreign.extend(told.perhaps);
    let forward = effects.branch.is_some() && run.bwrap.is_some();
    let mut finished = Finished {
        outcome: judge(&evidence),
        reasons: reasons((ended, &run.config.limits), prepared, &home, &effects),
        effects,
        after,
        checkpoints,
        import: forward.then_some((prepared.head, home.head)),
    };
    finished.reasons.extend(few(remarks, NAMED));
    finished.reasons.extend(told.unwatched);
    finished.reasons.extend(plan.refused_hosts());
    record(
        run,
        claim,
        &mut pack,
        (prepared, plan, ended, spool),
        &mut finished,
    )?;
    store.clear();
    let outcome = conclude(run.ledger, claim)?;
    if finished.import.is_some() && home.left.only_branch && outcome != Outcome::Diverged {
        prepared.ground.let_go(run.ledger.repo());
    }
    Ok(outcome)
}

/// The commit, and the way home for everything that the brain left in its git; all of it is pinned.
fn come_home(
    run: &Run<'_>,
    claim: &Claim,
    prepared: &Prepared,
    plan: &Plan,
    (ended, spool): (&Ended, &Spool),
) -> Result<Home, RunnerError> {
    let (checkout, ground) = (&prepared.checkout, &prepared.ground);
    let act = claim.task().mode == Mode::Act;
    // It may become the subject of a commit.
    let summary = plan.tells.then(|| spool.clean(ended.verdict.answer.as_bytes()));
    clear_locks(run.ledger, claim.task(), checkout)?;
    if act {
        sparse::fill(run, (checkout, ground), &plan.confinement, &claim.dir)?;
    }
    let uncommitted = if ended.stop == Some(Stop::Cancelled) {
        Uncommitted::untried("the task was cancelled")
    } else if !act || is_untouched(run, prepared) {
        Uncommitted::default()
    } else {
        auto_commit(run, claim, prepared, &plan.confinement, summary.as_deref())?
    };
    let mut left = Left::default();
    if act {
        left = ground.bring_home(run, claim, checkout, &plan.confinement)?;
    }
    let head = left.head.unwrap_or(prepared.head);
    left.head = Some(head);
    left.keep(run, claim)?;
    let repo = run.ledger.repo().git();
    let moved = head != prepared.head && !repo.graph_descendant_of(head, prepared.head)?;
    Ok(Home {
        left,
        uncommitted,
        head,
        moved,
    })
}

/// What changed, with the branch move that is still to come.
fn weigh_effects(
    run: &Run<'_>,
    task: &Task,
    prepared: &Prepared,
    home: &Home,
    after: &Receipt,
) -> Result<Effects, RunnerError> {
    let (act, confined) = (task.mode == Mode::Act, run.bwrap.is_some());
    let between = (&prepared.before, after);
    let clones = prepared.around.as_ref().map(|around| around.clones(run));
    let seen = Seen {
        confined,
        clones: clones.as_ref(),
    };
    let mut effects = compare(run, between, (&prepared.branch, &prepared.checkout), seen);
    if act && !home.moved && home.head != prepared.head {
        let (before, after) = (Some(prepared.head.to_string()), Some(home.head.to_string()));
        effects.branch = Some(BranchMove { before, after });
        effects.commits = new_commits(run.ledger.repo(), prepared.head, home.head)?;
    }
    if !act && confined {
        // Nothing that the brain could have done: its work tree was read-only.
        effects.external.extend(
            effects
                .files
                .drain(..)
                .map(|file| format!("{}: changed meanwhile", file.path)),
        );
    } else if !act {
        effects.foreign.extend(
            effects
                .files
                .iter()
                .map(|file| format!("an ask changed {}", file.path)),
        );
    }
    Ok(effects)
}

fn evidence(task: &Task, ended: &Ended, plan: &Plan) -> Evidence {
    let verdict = &ended.verdict;
    // Silence while it waits for a limit to pass is the limit's.
    let waits = ended.stop == Some(Stop::Silent) && verdict.at_limit;
    let offline = ended.offline() && tries_offline(task) < OFFLINE_TRIES;
    Evidence {
        act: task.mode == Mode::Act,
        cancelled: ended.stop == Some(Stop::Cancelled),
        timed_out: matches!(ended.stop, Some(Stop::TimedOut | Stop::Silent)) && !waits,
        auth_failed: verdict.auth_failed || verdict.no_credit,
        limited: verdict.limited || waits || offline,
        wrong_session: verdict.wrong_session && matches!(plan.session, Session::Resume { .. }),
        result: verdict.result,
        exit_ok: ended.status.success(),
        killed: is_killed(ended),
        denials: verdict.denials,
        last_denied: verdict.last_denied,
        ..Evidence::default()
    }
}

/// How many attempts in a row before this one could not reach the provider.
fn tries_offline(task: &Task) -> usize {
    let before = task.attempts.iter().rev().skip(1);
    before
        .take_while(|attempt| attempt.obstacle == Some(Obstacle::Offline))
        .count()
}

/// How the brain ended, if it was killed outright and not by us: by the kernel for want of memory, or by a person. No
/// program does that to itself, so its task goes on as after any other death. A sandbox tells the signal as 137; without
/// one that number is the program's own.
pub(super) fn was_killed(ended: &Ended, tier: Tier) -> Option<String> {
    let (kill, status) = (Signal::KILL.as_raw(), ended.status);
    let told = tier == Tier::T2 && status.code() == Some(128 + kill);
    let killed = ended.stop.is_none() && (told || status.signal() == Some(kill));
    killed.then(|| "SIGKILL".to_owned())
}

/// Whether the brain was ended by a signal, and not by us. A sandbox tells a signal as 128 and its number; of those numbers, the
/// ones that nobody exits with by himself.
fn is_killed(ended: &Ended) -> bool {
    const SIGNALS: [Signal; 7] = [
        Signal::KILL,
        Signal::ABORT,
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
        Signal::TERM,
    ];
    let told = |code: i32| SIGNALS.iter().any(|signal| code == 128 + signal.as_raw());
    ended.stop.is_none() && ended.status.code().is_none_or(told)
}

fn reasons(
    (ended, limits): (&Ended, &Limits),
    prepared: &Prepared,
    home: &Home,
    effects: &Effects,
) -> Vec<String> {
    let mut reasons = ended.verdict.reasons.clone();
    // The cause first: that it was stopped explains how it ended.
    let stopped = ended.stop.map(|stop| match stop {
        Stop::Cancelled => "cancelled".to_owned(),
        Stop::TimedOut => format!("took longer than {}, the limit (limits.task)", limits.task),
        Stop::Silent => format!("said nothing for {}, the limit (limits.silence)", limits.silence),
        Stop::Hopeless(Trouble::Network) => "stopped: its provider could not be reached".to_owned(),
        Stop::Hopeless(_) => "stopped: it would only have gone on trying".to_owned(),
    });
    let is_told = |reasons: &[String]| reasons.iter().any(|reason| reason.contains("exit code"));
    match stopped {
        Some(stopped) => reasons.insert(0, stopped),
        None if !ended.status.success() && !is_told(&reasons) => {
            reasons.push(format!("the brain exited with {}", exit_word(ended.status)));
        }
        None if ended.status.success() && ended.verdict.result.is_none() => {
            reasons.insert(0, "it ended without a result".to_owned());
        }
        None => {}
    }
    reasons.extend(open_calls(ended));
    reasons.extend(home.uncommitted.words());
    reasons.extend(
        home.left
            .sequencer
            .map(|what| format!("{} is not finished; nothing was committed for it", a(what))),
    );
    reasons.extend(home.left.refused.iter().cloned());
    let foreign = effects.foreign.iter();
    let foreign = foreign.map(|what| format!("foreign write: {what}"));
    reasons.extend(few(foreign.collect(), NAMED));
    if home.moved {
        let (head, branch) = (home.head, &prepared.branch);
        reasons.push(format!(
            "HEAD ended on {head}, which does not descend from {branch}; it is pinned"
        ));
    }
    reasons.extend(prepared.remarks.iter().cloned());
    reasons
}

/// What it had under way when it ended, in words.
fn open_calls(ended: &Ended) -> Option<String> {
    let open = &ended.verdict.open;
    let head = match ended.stop {
        None if ended.status.success() => "still running at the end, stopped",
        None | Some(Stop::Cancelled | Stop::TimedOut | Stop::Silent) => "under way when it was stopped",
        Some(Stop::Hopeless(_)) => return None,
    };
    (!open.is_empty()).then(|| format!("{head}: {}", open.join("; ")))
}
