//! The tasks whose work a landing brings.

use std::collections::{BTreeMap, HashSet};

use git2::Oid;

use super::{Landing, join::Likeness};
use crate::{
    refs::{Ledger, LedgerError, PINS},
    task::{CloneName, TaskId, ZoneId},
};

/// The tasks of the clone whose last commit is among `commits`, as it was or as an update has made it anew.
///
/// # Errors
/// If git cannot read.
pub(super) fn covered(
    ledger: &Ledger<'_>,
    landing: &Landing<'_>,
    (old, tip): (Oid, Oid),
    commits: &[Oid],
) -> Result<Vec<TaskId>, LedgerError> {
    let repo = ledger.repo();
    let Some((zone, clone)) = clone_of(ledger, landing)? else {
        return Ok(Vec::new());
    };
    let ends = ends(ledger)?;
    let landing: HashSet<Oid> = commits.iter().copied().collect();
    let likenesses: HashSet<Likeness> = commits
        .iter()
        .map(|commit| Likeness::of(repo, *commit))
        .collect::<Result<_, _>>()?;
    let mut tasks = Vec::new();
    for head in ledger.heads()? {
        let is_its = head.zone == zone && head.clone == clone && head.status.is_over();
        let Some(end) = ends.get(&head.id).filter(|_| is_its).and_then(End::own) else {
            continue;
        };
        let is_elsewhere = || -> Result<bool, git2::Error> {
            Ok(end == old
                || repo.git().graph_descendant_of(old, end)?
                || repo.git().graph_descendant_of(tip, end)?)
        };
        if landing.contains(&end) || !is_elsewhere()? && likenesses.contains(&Likeness::of(repo, end)?) {
            tasks.push(head.id);
        }
    }
    Ok(tasks)
}

/// The clone whose branch lands; none where the ledger has no such.
///
/// # Errors
/// If the ledger cannot be read.
pub(super) fn clone_of(
    ledger: &Ledger<'_>,
    landing: &Landing<'_>,
) -> Result<Option<(ZoneId, CloneName)>, LedgerError> {
    let id = ZoneId::of_branch(landing.zone);
    let Some(stored) = ledger.zone(&id)? else {
        return Ok(None);
    };
    let clone = stored.crew.values().find(|crew| crew.branch == landing.branch);
    Ok(clone.map(|crew| (id, crew.name.clone())))
}

/// Where the commits of a task began and ended.
#[derive(Debug, Default)]
struct End {
    first: Option<(u32, Oid)>,
    last: Option<(u32, Oid)>,
}

impl End {
    /// The last commit, if it is one of the task's own.
    fn own(&self) -> Option<Oid> {
        let (_, last) = self.last?;
        self.first.is_none_or(|(_, first)| first != last).then_some(last)
    }
}

/// Of every task that has pins.
fn ends(ledger: &Ledger<'_>) -> Result<BTreeMap<TaskId, End>, LedgerError> {
    let mut ends: BTreeMap<TaskId, End> = BTreeMap::new();
    for pin in ledger.repo().git().references_glob(&format!("{PINS}*"))? {
        let pin = pin?;
        let (Ok(name), Some(commit)) = (pin.name(), pin.target()) else {
            continue;
        };
        let rest = name.strip_prefix(PINS).and_then(|rest| rest.split_once('/'));
        let Some((id, (n, what))) = rest.and_then(|(id, rest)| Some((id, rest.split_once('-')?))) else {
            continue;
        };
        let (Ok(id), Ok(n)) = (id.parse::<TaskId>(), n.parse::<u32>()) else {
            continue;
        };
        let end = ends.entry(id).or_default();
        match what {
            "head-before" if end.first.is_none_or(|(first, _)| n < first) => end.first = Some((n, commit)),
            "head-after" if end.last.is_none_or(|(last, _)| n > last) => end.last = Some((n, commit)),
            _ => {}
        }
    }
    Ok(ends)
}
