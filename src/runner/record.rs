//! Writing an ended attempt down: all that is known of it, and the branch move that is still to come. From there on
//! [`super::conclude`] needs nothing but the ledger. Where neither a branch nor a note is to come, that is the last
//! word, too: one pack and one ref less to sync.

use super::{
    Run, RunnerError, checkpoint, claim::Claim, follow::Ended, launch::Plan, prepare::Prepared, spool::Spool,
};
use crate::{
    config::Size,
    process::{exit_word, file::replace_durably},
    refs::{Kind, ObjectSink, Oid, Pack},
    task::{Attempt, Checkpoint, Effects, Ending, Import, Mode, Move, Obstacle, Outcome, Usage, question},
    worktree::receipt::Receipt,
};

/// What an attempt came to.
pub(super) struct Finished {
    pub(super) outcome: Outcome,
    pub(super) reasons: Vec<String>,
    pub(super) effects: Effects,
    pub(super) after: Receipt,
    pub(super) checkpoints: Vec<Checkpoint>,
    /// Where the branch must go, and from where.
    pub(super) import: Option<(Oid, Oid)>,
}

impl Finished {
    /// Whether neither a branch move nor a note is still to come.
    pub(super) fn is_complete(&self) -> bool {
        self.import.is_none() && self.effects.commits.is_empty()
    }
}

/// Writes what is known, and the branch move that is still to come.
pub(super) fn record(
    run: &Run<'_>,
    claim: &mut Claim,
    pack: &mut Pack,
    (prepared, plan, ended, spool): (&Prepared, &Plan, &Ended, &Spool),
    finished: &mut Finished,
) -> Result<(), RunnerError> {
    // Reasons quote the brain and name files: both are its words.
    for reason in &mut finished.reasons {
        *reason = spool.clean(reason.as_bytes());
    }
    finished.effects.reword(|name| *name = spool.redacted_name(name));
    let finished = &*finished;
    replace_durably(&spool.dir().join("receipt-after"), &finished.after.to_bytes())?;
    // One after the other: each may be as long as `limits.transcript`.
    let transcript = pack.put(Kind::Blob, &spool.transcript()?)?;
    let errors = match spool.errors()? {
        none if none.is_empty() => None,
        errors => Some(pack.put(Kind::Blob, &errors)?),
    };
    let answer = capped(
        spool.clean(ended.verdict.answer.as_bytes()),
        run.config.limits.artifact,
    );
    let claimed = &*claim;
    let id = claimed.task().id.clone();
    let stored = run.ledger.update_with(pack, &id, "runner", |update| {
        claimed.check(update.task)?;
        let illegal = |source| RunnerError::illegal(&id, source);
        let asked = ended.verdict.question.as_deref().and_then(|asked| {
            let asked = spool.clean(asked.as_bytes());
            question(&asked).or(Some(asked))
        });
        let ends_in = || {
            (update.task.mode == Mode::Act)
                .then(|| question(&answer))
                .flatten()
        };
        let asked = asked.or_else(ends_in);
        let end = Move::End(ending(run, prepared, ended, (finished, asked)));
        update
            .transition(end, finished.outcome.as_str())
            .map_err(illegal)?;
        if let Some(attempt) = update.task.attempts.last_mut() {
            describe_attempt(attempt, (plan, spool), ended);
        }
        let verdict = &ended.verdict;
        update.task.usage = add_usage(update.task.usage.take(), verdict.usage.as_ref());
        update.task.cost = verdict.cost.map_or(update.task.cost, |cost| {
            Some(update.task.cost.unwrap_or(0.0) + cost)
        });
        let edit = &mut *update.edit;
        edit.graft(claimed.path("after"), finished.after.snapshot.tree);
        edit.json(claimed.path("receipt-after.json"), &finished.after.document())?;
        edit.json(claimed.path("effects.json"), &finished.effects)?;
        checkpoint::record(edit, &claimed.path("checkpoints"), &finished.checkpoints)?;
        edit.blob(claimed.path("transcript/0001.jsonl"), transcript);
        if let Some(errors) = errors {
            edit.blob(claimed.path("stderr.log"), errors);
        }
        if !answer.trim().is_empty() {
            let name = if update.task.mode == Mode::Ask {
                "answer"
            } else {
                "summary"
            };
            edit.file(format!("artifacts/{name}"), answer.clone());
        }
        if finished.is_complete() {
            let last = Move::Conclude { diverged: None };
            update
                .transition(last, finished.outcome.as_str())
                .map_err(illegal)?;
        }
        Ok::<_, RunnerError>(())
    })?;
    claim.stored = stored;
    Ok(())
}

/// An artifact within its limit, the cut marked.
fn capped(mut text: String, limit: Size) -> String {
    let (length, most) = (text.len(), usize::try_from(limit.as_u64()).unwrap_or(usize::MAX));
    if length > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str(&format!(
            "\n[git-khlone: {length} bytes, cut after {limit} (limits.artifact)]\n"
        ));
    }
    text
}

fn ending(
    run: &Run<'_>,
    prepared: &Prepared,
    ended: &Ended,
    (finished, question): (&Finished, Option<String>),
) -> Ending {
    let mut reasons = finished.reasons.clone();
    if run.bwrap.is_none() {
        reasons.push("ran without a sandbox (T0): nothing was prevented, everything was watched".to_owned());
    }
    let import = finished.import.map(|(old, new)| Import {
        name: prepared.branch.clone(),
        old: old.to_string(),
        new: new.to_string(),
    });
    Ending {
        outcome: finished.outcome,
        reasons,
        question,
        import,
        limited_until: ended.verdict.limited_until,
    }
}

fn describe_attempt(attempt: &mut Attempt, (plan, spool): (&Plan, &Spool), ended: &Ended) {
    let verdict = &ended.verdict;
    let full = verdict.full.then(|| plan.session.id().to_owned());
    attempt.session = verdict.session.clone().or(full);
    let total = verdict.session.as_ref();
    attempt.session_total = total.and_then(|_| serde_json::to_value(&verdict.total).ok());
    attempt.ended = Some(crate::refs::now());
    attempt.exit = Some(exit_word(ended.status));
    plan.describe(attempt);
    attempt.redacted = spool.redacted();
    attempt.usage.clone_from(&verdict.usage);
    attempt.cost = verdict.cost;
    attempt.denials = verdict.denials;
    attempt.unread = verdict.unread;
    attempt.model = verdict.model.clone().or_else(|| plan.model.clone());
    attempt.obstacle = obstacle(ended);
    attempt.remedy = match attempt.obstacle {
        Some(Obstacle::Login) if !plan.login.is_empty() => Some(plan.login.to_owned()),
        Some(Obstacle::Credit) => Some("add credit to the account".to_owned()),
        _ => None,
    };
}

/// What kept the brain from its work.
fn obstacle(ended: &Ended) -> Option<Obstacle> {
    let verdict = &ended.verdict;
    [
        (verdict.auth_failed, Obstacle::Login),
        (verdict.no_credit, Obstacle::Credit),
        (verdict.full, Obstacle::Full),
        (ended.offline(), Obstacle::Offline),
    ]
    .into_iter()
    .find_map(|(holds, obstacle)| holds.then_some(obstacle))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_cut_at_a_character_and_say_so() {
        assert_eq!(capped("x".repeat(10), Size::bytes(10)), "x".repeat(10));
        let cut = capped("é".repeat(10), Size::bytes(5));
        assert_eq!(
            cut,
            "éé\n[git-khlone: 20 bytes, cut after 5B (limits.artifact)]\n"
        );
    }
}
