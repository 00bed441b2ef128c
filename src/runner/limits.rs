//! Limits of a provider that a brain meets on its way and means to wait for: written to the task, so that no daemon
//! of the machine asks that provider for more meanwhile.

use super::{Run, RunnerError, claim::Claim};
use crate::refs::{Update, now};

/// How long a limit counts of which nobody said when it ends, in seconds. Brains try again within that time.
const UNKNOWN: i64 = 30;

/// Takes note of a limit. One that cannot be written down is no reason to stop the brain.
pub(super) fn told(run: &Run<'_>, claim: &Claim, until: Option<i64>) {
    let until = until.filter(|until| *until > now());
    let until = until.unwrap_or_else(|| now().saturating_add(UNKNOWN));
    let known = run.ledger.task(&claim.task().id);
    let is_known = known.is_ok_and(|known| {
        let last = known.task.last_attempt();
        // A brain that tries again every second is not news.
        last.and_then(|last| last.limited_until)
            .is_some_and(|known| known.saturating_add(UNKNOWN / 2) > until)
    });
    if is_known {
        return;
    }
    let written = run
        .ledger
        .update(&claim.task().id, "runner", |update: &mut Update<'_>| {
            claim.check(update.task)?;
            if let Some(attempt) = update.task.attempts.last_mut() {
                attempt.limited_until = Some(until);
            }
            Ok::<_, RunnerError>(())
        });
    if let Err(error) = written {
        tracing::warn!(%error, "the limit is not told");
    }
}
