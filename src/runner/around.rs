//! What a brain without a sandbox can reach beside its worktree and git: the user's checkout and home, and the
//! worktrees of other clones.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{Run, our_refs::OurRefs};
use crate::{
    refs::{Ledger, LedgerError, PackedRefs, Repo, Site, TaskHead, branch_ref, forget_record},
    task::{CloneName, Status, Task, TaskId, ZoneId},
    worktree::{
        neighbours::{Neighbours, Touched},
        surroundings::{Surroundings, Written},
    },
};

/// How things stood there before the brain ran.
#[derive(Debug)]
pub(super) struct Around {
    heads: Option<BTreeMap<TaskId, TaskHead>>,
    surroundings: Surroundings,
    neighbours: Option<Neighbours>,
    packed: Option<PackedRefs>,
    /// Where that is recorded.
    record: PathBuf,
    ours: Option<OurRefs>,
    /// The branches of clones, by their full names.
    clones: BTreeSet<String>,
}

/// What was written there meanwhile.
#[derive(Default)]
pub(super) struct Told {
    /// Nobody but the brain will have done it.
    pub(super) breach: Vec<String>,
    /// No proof of anything: the user works there meanwhile.
    pub(super) perhaps: Vec<String>,
    /// What nobody can say.
    pub(super) unwatched: Vec<String>,
}

impl Around {
    /// Looks around the worktree of `task`.
    pub(super) fn look(run: &Run<'_>, task: &Task) -> Self {
        let warn = |error: &std::io::Error| tracing::warn!(%error, "not every ref is kept");
        let record = record(run.ledger.site(), task);
        let packed = PackedRefs::keep(run.ledger.repo().common_dir(), &record).inspect_err(warn);
        if let Ok(packed) = &packed {
            drop(packed.record().inspect_err(warn));
        }
        Self {
            heads: heads(run.ledger).ok(),
            surroundings: surroundings(run),
            neighbours: worktrees(run.ledger, task).ok().map(Neighbours::look),
            packed: packed.ok(),
            record,
            ours: OurRefs::look(run.ledger).ok(),
            clones: clones(run.ledger),
        }
    }

    /// Puts the refs right if the brain has left them so that nothing can be read any more; says what it did.
    pub(super) fn mend(&self, repo: &Repo, attempt: &Path) -> std::io::Result<Vec<String>> {
        let packed = self.packed.as_ref();
        let mended = packed.map(|packed| packed.mend(repo, &attempt.join("packed-refs.broken")));
        let mended = mended.transpose()?.unwrap_or_default();
        // A command that came meanwhile may have been first.
        let mut all = forget_record(&self.record);
        all.extend(mended);
        Ok(all)
    }

    /// Branches that are or were clones', so that their change is another runner's doing.
    pub(super) fn clones(&self, run: &Run<'_>) -> BTreeSet<String> {
        let mut clones = clones(run.ledger);
        clones.extend(self.clones.iter().cloned());
        clones
    }

    /// What was written since.
    pub(super) fn told(&self, run: &Run<'_>) -> Told {
        let Written {
            checkout,
            home,
            settings,
            unwatched,
            unwatched_home,
        } = surroundings(run).written(&self.surroundings);
        let mut told = Told {
            breach: home,
            perhaps: checkout
                .into_iter()
                .map(|file| format!("your checkout: {file}"))
                .chain(settings)
                .collect(),
            unwatched: Vec::new(),
        };
        if unwatched_home {
            let why = "not all of the programs and settings in your home were watched: there are too many";
            told.unwatched.push(why.to_owned());
        }
        match (&self.ours, OurRefs::look(run.ledger)) {
            (Some(before), Ok(now)) => {
                let heads = self.heads.iter().flat_map(BTreeMap::values);
                told.breach.extend(now.forged(before, heads, run.ledger));
            }
            _ => told
                .unwatched
                .push("git-khlone's own refs could not be watched".to_owned()),
        }
        if unwatched {
            let why = "your checkout was not watched: git takes too long to tell its changes";
            told.unwatched.push(why.to_owned());
        }
        match self.touched(run.ledger) {
            Some(Touched { files, cut: false }) => told.perhaps.extend(files),
            partly => {
                told.perhaps.extend(partly.unwrap_or_default().files);
                let why = "not every worktree of another clone was watched";
                told.unwatched.push(why.to_owned());
            }
        }
        told
    }

    /// What was written in worktrees that no task worked in.
    fn touched(&self, ledger: &Ledger<'_>) -> Option<Touched> {
        let (before, heads) = (self.heads.as_ref()?, heads(ledger).ok()?);
        let is_at_work = |head: &&TaskHead| {
            let status = head.status;
            matches!(status, Status::Running | Status::Finishing | Status::Cancelling)
                || before.get(&head.id) != Some(head)
        };
        let at_work = heads.values().filter(is_at_work);
        let at_work: BTreeSet<String> = at_work.map(|head| name(&head.zone, &head.clone)).collect();
        let neighbours = self.neighbours.as_ref()?;
        Some(neighbours.touched(|clone| !at_work.contains(clone)))
    }
}

/// Where the last attempt of a task records what was kept of `packed-refs`.
pub(super) fn record(site: &Site, task: &Task) -> PathBuf {
    let name = format!("{}.{}", task.id, task.attempts.len());
    site.layout().kept_packed_refs().join(name)
}

fn surroundings(run: &Run<'_>) -> Surroundings {
    let trust = run.paths.khlone_home.join("trust");
    Surroundings::look(run.ledger.repo(), &run.home, &trust)
}

fn clones(ledger: &Ledger<'_>) -> BTreeSet<String> {
    let zones = ledger.zones().unwrap_or_default();
    let crew = zones.iter().flat_map(|zone| zone.crew.values());
    crew.map(|member| branch_ref(&member.branch)).collect()
}

fn heads(ledger: &Ledger<'_>) -> Result<BTreeMap<TaskId, TaskHead>, LedgerError> {
    let heads = ledger.heads()?.into_iter();
    Ok(heads.map(|head| (head.id.clone(), head)).collect())
}

fn name(zone: &ZoneId, clone: &CloneName) -> String {
    format!("worktree of {clone} in zone {zone}")
}

/// The worktrees of every clone but the task's own.
fn worktrees(ledger: &Ledger<'_>, task: &Task) -> Result<BTreeMap<String, PathBuf>, LedgerError> {
    let mut worktrees = BTreeMap::new();
    for stored in ledger.readable_zones()? {
        let zone = &stored.zone.id;
        let others = stored.crew.values();
        let others = others.filter(|member| (zone, &member.name) != (&task.zone, &task.clone));
        worktrees.extend(others.filter_map(|member| {
            let path = member.path.as_ref()?;
            Some((name(zone, &member.name), PathBuf::from(path)))
        }));
    }
    Ok(worktrees)
}
