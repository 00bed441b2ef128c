//! The one place that tells whether a zone has a clone's work.
//!
//! Evidence, the cheapest first: the zone's branch has the commit; a landing is recorded that brought it, and the commit
//! that it made is in the zone's branch; merging it would change nothing (it was squashed, here or by a pull request);
//! one commit of the zone's makes the very change of all the clone's, and no later one reverts that. What cannot be told
//! is a no.
//!
//! Nothing is written in the repository. What was found out of two commits is kept in the site's folder (`merged`): it
//! never changes.

mod known;
mod same_change;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use git2::Oid;

use self::{known::Known, same_change::has_same_change};
use super::merge::{Merged, look};
use crate::{
    refs::{Ledger, LedgerError, Repo},
    task::{CloneName, Landed, Task, ZoneId},
};

/// So many of a clone's tasks, the newest, are asked for their landing.
const TASKS: usize = 20;

/// Tells what has landed, over many questions.
#[derive(Debug)]
pub struct Judge<'a> {
    ledger: &'a Ledger<'a>,
    known: Known,
    landings: BTreeMap<(ZoneId, CloneName), Vec<Landed>>,
    until: Option<Instant>,
}

impl<'a> Judge<'a> {
    /// One who takes the time that it takes.
    pub fn new(ledger: &'a Ledger<'a>) -> Self {
        Self {
            ledger,
            known: Known::read(ledger.site().layout().merged()),
            landings: BTreeMap::new(),
            until: None,
        }
    }

    /// One who tells what can be told within `time`, and says no to the rest.
    pub fn within(ledger: &'a Ledger<'a>, time: Duration) -> Self {
        Self {
            until: Some(Instant::now() + time),
            ..Self::new(ledger)
        }
    }

    /// Whether the zone, whose branch stands at `zone_tip`, has the work of a task that ended on `commit`.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn has_task(&mut self, task: &Task, commit: Oid, zone_tip: Oid) -> Result<bool, LedgerError> {
        let repo = self.ledger.repo();
        // One that was tried again since has more than what landed.
        let ended = task.last_attempt().and_then(|last| last.ended).unwrap_or(0);
        let own = task.landed.as_ref().filter(|landed| landed.at >= ended);
        let own = own.and_then(|landed| landed.new.parse().ok());
        if own.is_some_and(|new| is_in(repo, new, zone_tip)) {
            return Ok(true);
        }
        self.has((&task.zone, &task.clone), commit, zone_tip)
    }

    /// Whether the zone has the work of `commit`, one of `clone`'s.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn has(
        &mut self,
        (zone, clone): (&ZoneId, &CloneName),
        commit: Oid,
        zone_tip: Oid,
    ) -> Result<bool, LedgerError> {
        let repo = self.ledger.repo();
        if is_in(repo, commit, zone_tip) {
            return Ok(true);
        }
        let key = (zone.clone(), clone.clone());
        if !self.landings.contains_key(&key) {
            self.landings
                .insert(key.clone(), landings(self.ledger, zone, clone)?);
        }
        let recorded = self.landings[&key].iter().any(|landed| {
            let ids = tip_and_new(landed);
            ids.is_some_and(|(tip, new)| is_in(repo, commit, tip) && is_in(repo, new, zone_tip))
        });
        Ok(recorded || self.has_change(commit, zone_tip))
    }

    /// Whether all that `commit` changed is in `zone_tip`, by what the two are.
    pub fn has_change(&mut self, commit: Oid, zone_tip: Oid) -> bool {
        if let Some(known) = self.known.get(commit, zone_tip) {
            return known;
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        let found = has_change(self.ledger.repo(), commit, zone_tip);
        if let Some(found) = found {
            self.known.put(commit, zone_tip, found);
        }
        found.unwrap_or(false)
    }
}

/// Whether `commit` is `tip` or one of those before it.
pub fn is_in(repo: &Repo, commit: Oid, tip: Oid) -> bool {
    commit == tip || repo.git().graph_descendant_of(tip, commit).unwrap_or(false)
}

/// The last commit of the clone's branch that a recorded landing has brought into the zone, whatever became of it there;
/// none where git finds as late a commit by itself, since both have it.
///
/// # Errors
/// If the ledger cannot be read.
pub fn landing_of(
    ledger: &Ledger<'_>,
    (zone, clone): (&ZoneId, &CloneName),
    branch_tip: Oid,
    zone_tip: Oid,
) -> Result<Option<Oid>, LedgerError> {
    let repo = ledger.repo();
    let mut landings = landings(ledger, zone, clone)?;
    landings.sort_by_key(|landed| std::cmp::Reverse(landed.at));
    let Ok(parted) = repo.git().merge_base(branch_tip, zone_tip) else {
        return Ok(None);
    };
    let mut tips = landings.iter().filter_map(tip_and_new);
    Ok(tips
        .find(|(tip, new)| {
            is_in(repo, *tip, branch_tip) && is_in(repo, *new, zone_tip) && is_in(repo, parted, *tip)
        })
        .map(|(tip, _)| tip))
}

fn tip_and_new(landed: &Landed) -> Option<(Oid, Oid)> {
    Some((landed.tip.parse().ok()?, landed.new.parse().ok()?))
}

/// The landings of a clone's newest tasks.
fn landings(ledger: &Ledger<'_>, zone: &ZoneId, clone: &CloneName) -> Result<Vec<Landed>, LedgerError> {
    let heads = ledger.heads()?.into_iter().rev();
    let its = heads.filter(|head| head.zone == *zone && head.clone == *clone && head.status.is_over());
    let mut found = Vec::new();
    for head in its.take(TASKS) {
        match ledger.task(&head.id) {
            Ok(stored) => found.extend(stored.task.landed),
            // Gone meanwhile, or damaged, which is told elsewhere.
            Err(LedgerError::NoTask(_) | LedgerError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Nothing where git cannot tell.
fn has_change(repo: &Repo, commit: Oid, zone_tip: Oid) -> Option<bool> {
    let tree = |oid| repo.git().find_commit(oid).map(|commit| commit.tree_id()).ok();
    let there = tree(zone_tip)?;
    if tree(commit)? == there {
        return Some(true);
    }
    let base = repo.git().merge_base(commit, zone_tip).ok()?;
    // The zone has gone nowhere since.
    if base == zone_tip {
        return Some(false);
    }
    match look(repo, (zone_tip, commit)).ok()? {
        Merged::Clean(merged) if merged == there => Some(true),
        Merged::Clean(_) | Merged::Conflict(_) => has_same_change(repo, (base, commit), zone_tip).ok(),
    }
}
