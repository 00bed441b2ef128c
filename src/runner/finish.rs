//! After the brain: its changes are committed and brought home, compared with before, judged, and written down.

use crate::refs::Oid;
use bstr::ByteSlice;

use super::{
    Run, RunnerError,
    claim::Claim,
    follow::{Ended, Stop},
    launch::Plan,
    prepare::{Prepared, pin, remember, shot},
    spool::Spool,
};
use crate::{
    brain::Session,
    config::AutoCommit,
    process::exit_word,
    refs::{Pack, annotate},
    task::{
        Attempt, BranchMove, Effects, Event, Evidence, FORMAT, Import, Mode, Outcome, Task, Usage, judge,
    },
    worktree::{carry::changes, checkout::Checkout},
};

/// What a run left behind.
struct Outcomes {
    outcome: Outcome,
    reasons: Vec<String>,
    effects: Effects,
    /// The clone's branch, as a full ref name.
    branch: String,
}

/// Brings an ended run home; gives its outcome.
pub(super) fn finish(
    run: &Run<'_>,
    claim: &mut Claim,
    prepared: &Prepared,
    plan: &Plan,
    ended: &Ended,
    spool: &Spool,
) -> Result<Outcome, RunnerError> {
    let checkout = &prepared.checkout;
    let left_out = if claim.task().mode == Mode::Act && ended.stop != Some(Stop::Cancelled) {
        commit(run, claim.task(), checkout)?
    } else {
        Vec::new()
    };
    let head = run
        .ledger
        .repo()
        .ref_target(&prepared.branch)?
        .unwrap_or(prepared.head);
    pin(run.ledger, &claim.pin("head-after"), head)?;

    let mut pack = Pack::begin(run.ledger.site())?;
    let after = shot(run, checkout, head, &mut pack)?;
    let effects = Effects {
        format: FORMAT,
        branch: (head != prepared.head).then(|| BranchMove {
            before: Some(prepared.head.to_string()),
            after: Some(head.to_string()),
        }),
        ..Effects::default()
    };
    let evidence = evidence(
        claim.task(),
        ended,
        plan,
        after.tree != prepared.before.tree || head != prepared.head,
        &left_out,
    );
    let outcomes = Outcomes {
        outcome: judge(&evidence),
        reasons: reasons(ended, prepared, &left_out),
        effects,
        branch: prepared.branch.clone(),
    };
    record(run, claim, &mut pack, (after.tree, plan, ended, spool), &outcomes)?;
    settle(run, claim, &outcomes)?;
    if let Some(session) = &ended.verdict.session {
        let total = serde_json::to_value(&ended.verdict.total).unwrap_or_default();
        remember(run.ledger, claim.task(), |member| {
            member.session = Some(session.clone());
            member.unknown.insert("session_total".to_owned(), total.clone());
        })?;
    }
    Ok(outcomes.outcome)
}

/// Commits what the brain left uncommitted; names what it must not take.
fn commit(run: &Run<'_>, task: &Task, checkout: &Checkout) -> Result<Vec<String>, RunnerError> {
    if run.config.commit.mode == AutoCommit::Never || checkout.unfinished().is_some() {
        return Ok(Vec::new());
    }
    let files = changes(checkout, true)?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let list = bstr::join(b"\0", files.iter().map(|file| file.as_bytes()));
    checkout
        .git()
        .args(["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"])
        .env("GIT_LITERAL_PATHSPECS", "1")
        .input(list)
        .output()?;
    checkout
        .git()
        .env("GIT_COMMITTER_NAME", "git-khlone")
        .env("GIT_COMMITTER_EMAIL", "git-khlone@localhost")
        .args([
            "-c",
            "commit.gpgSign=false",
            "commit",
            "--quiet",
            "--no-verify",
            "--file=-",
        ])
        .input(message(task))
        .output()?;
    Ok(Vec::new())
}

fn message(task: &Task) -> String {
    format!("{}\n\nKhlone-Task: {}\n", task.title, task.id)
}

fn evidence(task: &Task, ended: &Ended, plan: &Plan, changed: bool, left_out: &[String]) -> Evidence {
    let verdict = &ended.verdict;
    Evidence {
        act: task.mode == Mode::Act,
        cancelled: ended.stop == Some(Stop::Cancelled),
        timed_out: matches!(ended.stop, Some(Stop::TimedOut | Stop::Silent)),
        auth_failed: verdict.auth_failed,
        limited: verdict.limited,
        wrong_session: verdict.wrong_session && matches!(plan.session, Session::Resume { .. }),
        result: verdict.result,
        exit_ok: ended.status.success(),
        killed: ended.status.code().is_none() && ended.stop.is_none(),
        denials: verdict.denials,
        last_denied: verdict.last_denied,
        changed,
        left_out: !left_out.is_empty(),
        ..Evidence::default()
    }
}

fn reasons(ended: &Ended, prepared: &Prepared, left_out: &[String]) -> Vec<String> {
    let mut reasons = ended.verdict.reasons.clone();
    match ended.stop {
        Some(Stop::Cancelled) => reasons.push("cancelled".to_owned()),
        Some(Stop::TimedOut) => reasons.push("took longer than limits.task".to_owned()),
        Some(Stop::Silent) => reasons.push("said nothing for longer than limits.silence".to_owned()),
        Some(Stop::Hopeless(_)) => reasons.push("stopped: it would only have gone on trying".to_owned()),
        None if !ended.status.success() => {
            reasons.push(format!("the brain exited with {}", exit_word(ended.status)))
        }
        None => {}
    }
    reasons.extend(left_out.iter().map(|file| format!("left uncommitted: {file}")));
    reasons.extend(prepared.remarks.iter().cloned());
    reasons
}

/// Writes what is known, and the branch move that is still to come: from here on, recovery can finish alone.
fn record(
    run: &Run<'_>,
    claim: &mut Claim,
    pack: &mut Pack,
    (after, plan, ended, spool): (Oid, &Plan, &Ended, &Spool),
    outcomes: &Outcomes,
) -> Result<(), RunnerError> {
    let transcript = spool.transcript()?;
    let errors = spool.errors()?;
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let verdict = &ended.verdict;
    let stored = run.ledger.update_with(pack, &id, "runner", |update| {
        claimed.check(update.task)?;
        update
            .transition(Event::End, outcomes.outcome.as_str())
            .map_err(|source| RunnerError::illegal(&id, source))?;
        let task = &mut *update.task;
        task.outcome = Some(outcomes.outcome);
        task.reasons.clone_from(&outcomes.reasons);
        task.import = outcomes.effects.branch.as_ref().map(|moved| Import {
            name: outcomes.branch.clone(),
            old: moved.before.clone().unwrap_or_default(),
            new: moved.after.clone().unwrap_or_default(),
        });
        task.usage = add_usage(task.usage.take(), verdict.usage.as_ref());
        task.cost = verdict
            .cost
            .map_or(task.cost, |cost| Some(task.cost.unwrap_or(0.0) + cost));
        if let Some(attempt) = task.attempts.last_mut() {
            describe(attempt, run, plan, ended);
        }
        update.edit.graft(claimed.path("after"), after);
        update
            .edit
            .json(claimed.path("effects.json"), &outcomes.effects)?;
        update
            .edit
            .file(claimed.path("transcript/0001.jsonl"), transcript.clone());
        if !errors.is_empty() {
            update.edit.file(claimed.path("stderr.log"), errors.clone());
        }
        if !verdict.answer.is_empty() {
            let name = if update.task.mode == Mode::Ask {
                "answer"
            } else {
                "summary"
            };
            update
                .edit
                .file(format!("artifacts/{name}"), verdict.answer.clone());
        }
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(())
}

fn describe(attempt: &mut Attempt, run: &Run<'_>, plan: &Plan, ended: &Ended) {
    let verdict = &ended.verdict;
    attempt.session = verdict.session.clone();
    attempt.ended = Some(crate::refs::now());
    attempt.exit = Some(exit_word(ended.status));
    attempt.tier = Some(run.tier().as_str().to_owned());
    attempt.argv = plan.recorded_argv();
    attempt.env_names = plan.env_names();
    attempt.usage = verdict.usage.clone();
    attempt.cost = verdict.cost;
    attempt.denials = verdict.denials;
}

fn add_usage(sum: Option<Usage>, more: Option<&Usage>) -> Option<Usage> {
    let Some(more) = more else { return sum };
    let sum = sum.unwrap_or_default();
    let add = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
    Some(Usage {
        input: add(sum.input, more.input),
        output: add(sum.output, more.output),
        cached: add(sum.cached, more.cached),
    })
}

/// The last step: the branch stands where the task says, commits have their notes, and the task is over.
fn settle(run: &Run<'_>, claim: &mut Claim, outcomes: &Outcomes) -> Result<(), RunnerError> {
    let task = claim.task();
    let notes: Vec<_> = outcomes
        .effects
        .commits
        .iter()
        .filter_map(|commit| {
            Some((
                commit.parse().ok()?,
                format!("Khlone-Task: {}\nKhlone-Clone: {}\n", task.id, task.clone),
            ))
        })
        .collect();
    annotate(run.ledger.repo(), run.ledger.site(), &notes)?;
    let id = task.id.clone();
    let claimed = &*claim;
    let stored = run.ledger.update(&id, "runner", |update| {
        claimed.check(update.task)?;
        update.task.import = None;
        update
            .transition(outcomes.outcome.event(), outcomes.outcome.as_str())
            .map_err(|source| RunnerError::illegal(&id, source))?;
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(())
}
