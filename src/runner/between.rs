//! Between two attempts of a task no brain of ours ran: what the last one left, and what somebody else did since.

use super::{
    Run, RunnerError,
    claim::Claim,
    doubt,
    files::{bring_changes, last_seen},
};
use crate::{
    refs::Oid,
    task::Effects,
    worktree::{checkout::Checkout, receipt::Receipt},
};

/// The last attempt before this one that has left anything.
#[derive(Debug)]
pub(super) struct Before {
    n: u32,
    effects: Effects,
}

/// Finds it. None where there is none, or where it has been taken back.
pub(super) fn before(run: &Run<'_>, claim: &Claim) -> Result<Option<Before>, RunnerError> {
    let ledger = run.ledger;
    for n in (1..claim.n).rev() {
        let Some(bytes) = ledger.file(&claim.stored, &format!("attempts/{n}/effects.json"))? else {
            continue;
        };
        let is_back = ledger
            .folder(&claim.stored, &format!("attempts/{n}/discarded"))?
            .is_some();
        let effects = serde_json::from_slice(&bytes).ok().filter(|_| !is_back);
        return Ok(effects.map(|effects| Before { n, effects }));
    }
    Ok(None)
}

impl Before {
    /// Lays the files that it left, which may be in no commit, into a worktree that had to be made again; says so.
    pub(super) fn bring_back(
        &self,
        run: &Run<'_>,
        claim: &Claim,
        (checkout, head): (&Checkout, Oid),
    ) -> Result<String, RunnerError> {
        let after = format!("attempts/{}/after", self.n);
        if let Some(tree) = run.ledger.folder(&claim.stored, &after)? {
            bring_changes(run, checkout, head, tree)?;
        }
        Ok(format!(
            "the worktree {} was not in its place; it has been made again with the files that attempt {} left",
            checkout.path.display(),
            self.n
        ))
    }

    /// Its effects, with `seen` and all else that is different now, and where they stand.
    pub(super) fn with_external(
        mut self,
        run: &Run<'_>,
        claim: &Claim,
        checkout: &Checkout,
        (seen, now): (Option<String>, &Receipt),
    ) -> (String, Effects) {
        self.effects.note_external(Effects {
            external: seen.into_iter().collect(),
            ..Effects::default()
        });
        let dir = run.ledger.site().layout().attempt(&claim.task().id, self.n);
        if let Some(then) = last_seen(&dir) {
            let ours = self.effects.branch.as_ref();
            let meanwhile = doubt::external(run, checkout, (&then, now), ours);
            self.effects.note_external(meanwhile);
        }
        (format!("attempts/{}/effects.json", self.n), self.effects)
    }
}
