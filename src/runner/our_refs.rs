//! Refs of git-khlone's own that a brain without a sandbox has forged, broken or removed.
//!
//! Other tasks and the user write such refs all the time, so only what no part of git-khlone writes proves anything: a
//! name of no known kind, a task or zone that cannot be read, a pin of a task that is not there, an unfinished task that
//! is gone. A task that was ordered in the usual form cannot be told from one of the user's.

use std::collections::BTreeMap;

use crate::{
    refs::{Ledger, Oid, PINS, RepoError, TASKS, TaskHead, UNDO, ZONES, task_ref},
    task::{TaskId, ZoneId},
};

/// The refs at one moment.
#[derive(Debug)]
pub(super) struct OurRefs(BTreeMap<String, Option<Oid>>);

impl OurRefs {
    pub(super) fn look(ledger: &Ledger<'_>) -> Result<Self, RepoError> {
        let mut refs = BTreeMap::new();
        for reference in ledger.repo().git().references_glob("refs/khlone/*")? {
            let reference = reference?;
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            refs.insert(name, reference.target());
        }
        Ok(Self(refs))
    }

    /// What was forged or broken since `before`.
    pub(super) fn forged<'a>(
        &self,
        before: &Self,
        heads: impl IntoIterator<Item = &'a TaskHead>,
        ledger: &Ledger<'_>,
    ) -> Vec<String> {
        let changed = self
            .0
            .iter()
            .filter(|(name, oid)| before.0.get(*name) != Some(*oid));
        let forged = changed.filter_map(|(name, _)| Some(format!("{name}: {}", fault(name, ledger)?)));
        let unfinished = heads.into_iter().filter(|head| !head.status.is_over());
        let removed = unfinished
            .map(|head| task_ref(&head.id))
            .filter(|name| !self.0.contains_key(name));
        forged
            .chain(removed.map(|name| format!("{name}: removed")))
            .collect()
    }
}

/// What is wrong with a ref.
fn fault(name: &str, ledger: &Ledger<'_>) -> Option<&'static str> {
    // Deleted meanwhile.
    if matches!(ledger.repo().ref_target(name), Ok(None)) {
        return None;
    }
    if let Some(id) = name.strip_prefix(TASKS) {
        let id = TaskId::try_from(id.to_owned()).ok();
        let task = id.as_ref().and_then(|id| ledger.task(id).ok());
        return (task.map(|stored| stored.task.id) != id || id.is_none()).then_some("is no task");
    }
    if let Some(id) = name.strip_prefix(ZONES) {
        let id = ZoneId::try_from(id.to_owned()).ok();
        let zone = id.as_ref().and_then(|id| ledger.zone(id).ok().flatten());
        return (zone.map(|stored| stored.zone.id) != id || id.is_none()).then_some("is no zone");
    }
    if let Some(rest) = name.strip_prefix(PINS) {
        let id = rest
            .split_once('/')
            .and_then(|(id, _)| TaskId::try_from(id.to_owned()).ok());
        let there = id.is_some_and(|id| !matches!(ledger.repo().ref_target(&task_ref(&id)), Ok(None)));
        return (!there).then_some("keeps a commit for no task");
    }
    (!name.starts_with(UNDO)).then_some("is no ref of git-khlone")
}
