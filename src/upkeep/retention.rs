//! Finished tasks do not stay for ever: the old ones go, with their pins, their local folders and their notes.
//!
//! A task is due once it is older than `limits.keep_for`, or when `limits.keep` newer ones of its zone have ended.
//! It stays all the same while it is needed: while an unfinished task waits for it, or while it holds work that
//! nothing else holds. That is work: a commit among its pins (its clone's tip, a stash, a branch or a detached HEAD
//! that the brain left) that no branch, tag or remote branch of the user's has, nor its zone has the content of; and
//! files that it changed and that never became a commit. When in doubt it stays.
//!
//! Order: notes, the task's ref, its pins, its folder. Killed in between, the task is due again, with all its pins, or
//! the pins and the folder of a task that is no more are swept the next time. What its objects took on the disk is
//! freed as packs are joined.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use git2::Oid;

use crate::{
    config::Config,
    delivery::merged::Judge,
    refs::{Ledger, LedgerError, PINS, TaskHead, branch_ref, delete_ref, forget_notes, notes, task_ref},
    task::{Effects, Mode, Outcome, Task, TaskId},
    upkeep::work::kept,
    worktree::erase::erase,
};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Seconds that a finished task is kept.
    pub age: i64,
    /// Finished tasks of a zone.
    pub tasks: usize,
}

impl Keep {
    /// What the configuration asks for.
    pub fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            age: i64::try_from(limits.keep_for.duration().as_secs()).unwrap_or(i64::MAX),
            tasks: usize::try_from(limits.keep.get()).unwrap_or(usize::MAX),
        }
    }
}

/// Most tasks that are looked at in one go: whoever waits for the ledger meanwhile waits for no more.
const BATCH: usize = 50;

/// What went, and what was due and stays for the work that it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// Gone.
    pub dropped: Vec<TaskId>,
    /// Holds work that is nowhere else.
    pub held: Vec<TaskId>,
    /// Pins of tasks that are no more, on commits that are nowhere else.
    pub strays: Vec<String>,
    /// Where among the due tasks to go on, if there are more.
    pub next: Option<usize>,
}

/// Retention that could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// git cannot read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// A folder cannot be removed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Looks at some of the tasks that are due at `now`, from the `from`th on, and drops those that hold no work.
///
/// # Errors
/// [`RetentionError`]; what was dropped before it stays dropped.
pub fn retain(
    ledger: &Ledger<'_>,
    keep: Keep,
    (now, from): (i64, usize),
) -> Result<Retained, RetentionError> {
    let (going, mut retained) = weigh(ledger, keep, (now, from))?;
    retained.dropped = forget(ledger, &going)?;
    match retained.next {
        // Those that went are not in the way any more.
        Some(_) => retained.next = Some(from + retained.held.len()),
        None => {
            retained.strays = unpin(ledger)?;
            let before = SystemTime::now() - Duration::from_secs(keep.age.unsigned_abs());
            sweep(ledger, before)?;
        }
    }
    Ok(retained)
}

/// What [`retain`] would do at `now`, all of it.
///
/// # Errors
/// If the ledger cannot be read.
pub fn would_retain(ledger: &Ledger<'_>, keep: Keep, now: i64) -> Result<Retained, RetentionError> {
    let (mut all, mut from) = (Retained::default(), Some(0));
    while let Some(at) = from {
        let (going, some) = weigh(ledger, keep, (now, at))?;
        all.dropped
            .extend(going.into_iter().map(|candidate| candidate.task.id));
        all.held.extend(some.held);
        from = some.next;
    }
    Ok(all)
}

/// The tasks of one batch that may go, and beside them those that hold work and where the next batch begins.
fn weigh(
    ledger: &Ledger<'_>,
    keep: Keep,
    (now, from): (i64, usize),
) -> Result<(Vec<Candidate>, Retained), RetentionError> {
    let heads = ledger.heads()?;
    let needed = waited_for(ledger, &heads)?;
    let mut due = due(&heads, &ledger.site().owner().site_uuid, keep, now);
    due.retain(|head| !needed.contains(&head.id));
    let batch = due.iter().skip(from).take(BATCH);
    let candidates: Result<Vec<_>, _> = batch.map(|head| Candidate::of(ledger, &head.id)).collect();
    let candidates = candidates?;
    let pinned = candidates.iter().flat_map(|candidate| &candidate.pins);
    let kept = kept(ledger, pinned.map(|(_, commit)| *commit).collect())?;
    let mut retained = Retained::default();
    let looked = from + candidates.len();
    let mut going = Vec::new();
    let mut judge = Judge::new(ledger);
    for candidate in candidates {
        if candidate.holds_work(ledger, &kept, &mut judge)? {
            retained.held.push(candidate.task.id);
        } else {
            going.push(candidate);
        }
    }
    retained.next = (looked < due.len()).then_some(looked);
    Ok((going, retained))
}

/// The tasks of a site that are finished and old, or too many, oldest first.
fn due<'h>(heads: &'h [TaskHead], site_uuid: &str, keep: Keep, now: i64) -> Vec<&'h TaskHead> {
    let mut zones: BTreeMap<_, Vec<&TaskHead>> = BTreeMap::new();
    for head in heads
        .iter()
        .filter(|head| head.status.is_over() && head.site_uuid == site_uuid)
    {
        zones.entry(&head.zone).or_default().push(head);
    }
    let mut due = Vec::new();
    for mut ended in zones.into_values() {
        ended.sort_by_key(|head| std::cmp::Reverse((head.updated, head.seq)));
        let old = |(at, head): &(usize, &TaskHead)| *at >= keep.tasks || now - head.updated > keep.age;
        due.extend(ended.into_iter().enumerate().filter(old).map(|(_, head)| head));
    }
    due.sort_by_key(|head| (head.updated, head.seq));
    due
}

/// The tasks that an unfinished one waits for: without them it would be skipped.
fn waited_for(ledger: &Ledger<'_>, heads: &[TaskHead]) -> Result<BTreeSet<TaskId>, LedgerError> {
    let mut needed = BTreeSet::new();
    for head in heads.iter().filter(|head| !head.status.is_over()) {
        needed.extend(ledger.task(&head.id)?.task.after);
    }
    Ok(needed)
}

/// A task that is due.
struct Candidate {
    task: Task,
    pins: Vec<(String, Oid)>,
    loose: bool,
}

impl Candidate {
    fn of(ledger: &Ledger<'_>, id: &TaskId) -> Result<Self, RetentionError> {
        let stored = ledger.task(id)?;
        let loose = match stored.task.last_attempt() {
            None => false,
            Some(last) => {
                let effects = ledger.file(&stored, &format!("attempts/{}/effects.json", last.n))?;
                let effects = effects.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                has_loose_files(&stored.task, effects.as_ref())
            }
        };
        Ok(Self {
            pins: pins(ledger, id)?,
            task: stored.task,
            loose,
        })
    }

    fn holds_work(
        &self,
        ledger: &Ledger<'_>,
        kept: &BTreeSet<Oid>,
        judge: &mut Judge<'_>,
    ) -> Result<bool, RetentionError> {
        let repo = ledger.repo();
        let missing = self.pins.iter().filter(|(_, commit)| !kept.contains(commit));
        let missing: Vec<_> = missing.map(|(_, commit)| *commit).collect();
        if self.loose || missing.is_empty() {
            return Ok(self.loose);
        }
        let Some(zone_tip) = repo.ref_target(&branch_ref(&self.task.branch))? else {
            return Ok(true);
        };
        let clone = (&self.task.zone, &self.task.clone);
        for commit in missing {
            if !judge.has(clone, commit, zone_tip)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a task changed files that no commit of it has. An attempt that ended without saying what it changed may
/// have.
fn has_loose_files(task: &Task, effects: Option<&Effects>) -> bool {
    let Some(effects) = effects else {
        return task.outcome == Some(Outcome::Crashed) && task.mode == Mode::Act;
    };
    let uncommitted = matches!(task.outcome, Some(Outcome::Partial | Outcome::Cancelled));
    !effects.files.is_empty() && (effects.commits.is_empty() || uncommitted)
}

fn pins(ledger: &Ledger<'_>, id: &TaskId) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut pins = Vec::new();
    for reference in ledger.repo().git().references_glob(&format!("{PINS}{id}/*"))? {
        let reference = reference?;
        if let (Ok(name), Some(target)) = (reference.name(), reference.target()) {
            pins.push((name.to_owned(), target));
        }
    }
    Ok(pins)
}

/// Removes tasks, after the notes that name them and before their pins; gives those that are gone.
fn forget(ledger: &Ledger<'_>, going: &[Candidate]) -> Result<Vec<TaskId>, RetentionError> {
    let mut gone = Vec::new();
    if going.is_empty() {
        return Ok(gone);
    }
    let line = |candidate: &Candidate| format!("Khlone-Task: {}", candidate.task.id);
    let lines: BTreeSet<String> = going.iter().map(line).collect();
    let names_one = |text: &[u8]| {
        String::from_utf8_lossy(text)
            .lines()
            .any(|line| lines.contains(line))
    };
    let found = notes(ledger.repo())?.into_iter();
    let paths: Vec<_> = found
        .filter(|(_, text)| names_one(text))
        .map(|(path, _)| path)
        .collect();
    if !paths.is_empty() {
        forget_notes(ledger.repo(), ledger.site(), &paths)?;
    }
    for candidate in going {
        let id = &candidate.task.id;
        let stored = ledger.task(id)?;
        // Resumed or retried meanwhile: it lives on.
        if !stored.task.status.is_over() {
            continue;
        }
        delete_ref(ledger.repo(), &task_ref(id), stored.tag).map_err(LedgerError::from)?;
        gone.push(id.clone());
        for (name, commit) in &candidate.pins {
            delete_ref(ledger.repo(), name, *commit).map_err(LedgerError::from)?;
        }
    }
    Ok(gone)
}

/// Removes the pins of tasks that are no more, but for those, which it gives, that hold work.
fn unpin(ledger: &Ledger<'_>) -> Result<Vec<String>, RetentionError> {
    let mut strays = Vec::new();
    for reference in ledger.repo().git().references_glob(&format!("{PINS}*"))? {
        let reference = reference?;
        let Ok(name) = reference.name() else { continue };
        let task = name.strip_prefix(PINS).and_then(|rest| rest.split('/').next());
        // Looked at after the pin: a task is there before its pins are.
        if let (Some(Ok(id)), Some(target)) = (task.map(str::parse::<TaskId>), reference.target())
            && ledger.repo().ref_target(&task_ref(&id))?.is_none()
        {
            strays.push((name.to_owned(), target));
        }
    }
    let kept = kept(ledger, strays.iter().map(|(_, commit)| *commit).collect())?;
    let zones = ledger.zones()?;
    let tips: Result<Vec<_>, _> = zones
        .iter()
        .map(|zone| ledger.repo().ref_target(&branch_ref(&zone.zone.branch)))
        .collect();
    let tips: Vec<Oid> = tips?.into_iter().flatten().collect();
    let (mut held, mut judge) = (Vec::new(), Judge::new(ledger));
    for (name, commit) in strays {
        let is_in = |tip: &Oid| judge.has_change(commit, *tip);
        if kept.contains(&commit) || tips.iter().any(is_in) {
            delete_ref(ledger.repo(), &name, commit).map_err(LedgerError::from)?;
        } else {
            held.push(name);
        }
    }
    Ok(held)
}

/// Removes what lies about of tasks and clones that are no more: folders of attempts, and what brains kept for a
/// clone that no zone has, if it is older than `before`. Names are listed first: what comes up meanwhile is in use.
fn sweep(ledger: &Ledger<'_>, before: SystemTime) -> Result<(), RetentionError> {
    let (attempts, brains) = (ledger.site().layout().attempts(), ledger.site().layout().brains());
    for name in names_in(&attempts)? {
        if let Ok(id) = name.parse::<TaskId>()
            && ledger.repo().ref_target(&task_ref(&id))?.is_none()
        {
            erase(&attempts.join(name))?;
        }
    }
    let kept = names_in(&brains)?;
    let mut clones = BTreeSet::new();
    for zone in ledger.zones()? {
        clones.extend(zone.crew.keys().map(|clone| format!("{}.{clone}", zone.zone.id)));
    }
    for name in kept.into_iter().filter(|name| !clones.contains(name)) {
        let path = brains.join(name);
        if fs::metadata(&path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|changed| changed < before)
        {
            erase(&path)?;
        }
    }
    Ok(())
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Status;

    fn head(n: u64, zone: &str, status: Status, updated: i64) -> TaskHead {
        TaskHead {
            id: TaskId::from_entropy(n),
            status,
            outcome: None,
            mode: Mode::Act,
            zone: crate::task::ZoneId::of_branch(zone),
            clone: "foreman.1".parse().unwrap(),
            seq: n,
            priority: 0,
            updated,
            site_uuid: "here".to_owned(),
            title: String::new(),
            question: None,
            dismissed: false,
            reply_to: None,
            follows: 0,
        }
    }

    #[test]
    fn the_old_and_the_many_are_due_oldest_first_and_nothing_unfinished() {
        let keep = Keep { age: 100, tasks: 2 };
        let mut heads = vec![
            head(1, "a", Status::Done, 10),
            head(2, "a", Status::Failed, 20),
            head(3, "a", Status::Cancelled, 30),
            head(4, "b", Status::Skipped, 5),
            head(5, "b", Status::Running, 0),
            head(6, "b", Status::Parked, 0),
            head(7, "b", Status::Interrupted, 0),
        ];
        heads.push(TaskHead {
            site_uuid: "elsewhere".to_owned(),
            ..head(8, "a", Status::Done, 0)
        });
        let at = |now| -> Vec<u64> {
            due(&heads, "here", keep, now)
                .iter()
                .map(|head| head.seq)
                .collect()
        };
        // The clock goes on.
        assert_eq!(at(30), [1]);
        assert_eq!(at(105), [1]);
        assert_eq!(at(106), [4, 1]);
        assert_eq!(at(121), [4, 1, 2]);
        assert_eq!(at(131), [4, 1, 2, 3]);
    }
}
