//! `fsck`: the ledger proved whole, and what is not named.
//!
//! Read only, and right while tasks run: each task is one ref, its pins and notes are written before the state that
//! needs them, and the counter before the task that it numbers; so tasks are read first, and those after. What can
//! be derived from tasks carries its [`Remedy`], which [`mend()`] applies; everything else has a next step for a
//! person. Nothing is ever guessed: a task that cannot be read is reported, not rewritten.

mod derived;
mod mend;
mod record;
mod walk;
mod zones;

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::Serialize;

pub use mend::mend;

use crate::{
    refs::{Ledger, LedgerError, Oid, PINS, TASKS, UNDO, ZONES},
    task::{Task, TaskId},
};
use walk::Walk;

/// What is wrong, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A ref that leads nowhere, or to something else than its kind.
    Ref,
    /// A ref that no part of git-khlone writes.
    Stray,
    /// A document that is missing or cannot be read in its format.
    Document,
    /// A task or zone that stands under another's name.
    Name,
    /// An object that is referenced and not there.
    Missing,
    /// A task that nobody owns.
    Owner,
    /// A history that the state graph does not allow, or that ends elsewhere than the task stands.
    History,
    /// A state that contradicts itself.
    State,
    /// Two tasks with one number.
    Seq,
    /// A tag that says other things than its task. Derived.
    Tag,
    /// A pin that is not there. Derived.
    Pin,
    /// A note that is missing, or of no task. Derived.
    Note,
    /// The counter is lost or behind. Derived.
    Counter,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// The ref, or the file in the site's folder.
    pub name: String,
    /// What, in words.
    pub what: String,
    /// The next step.
    pub next: String,
    /// How to put it right, where it is derived.
    pub remedy: Option<Remedy>,
}

/// How a derived part is built again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The task's tag, from its document.
    Tag(TaskId),
    /// A pin on a commit.
    Pin(Oid),
    /// A note on a commit.
    Note(Oid, String),
    /// No note, at this path of the notes' tree.
    NoNote(String),
    /// All notes, from nothing.
    NoNotes,
    /// The counter, at least this.
    Counter(u64),
}

impl Problem {
    fn new(kind: Kind, name: impl Into<String>, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            what: what.into(),
            next: next.into(),
            remedy: None,
        }
    }

    fn derived(kind: Kind, name: impl Into<String>, what: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            remedy: Some(remedy),
            ..Self::new(kind, name, what, "git khlone fsck --repair")
        }
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    /// Tasks that could be read.
    pub tasks: usize,
    /// Zones that could be read.
    pub zones: usize,
    /// Objects that were found.
    pub objects: usize,
    /// What is wrong, by ref.
    pub problems: Vec<Problem>,
}

/// A task, and what its tree has to say of its attempts.
struct Known {
    task: Task,
    attempts: Vec<record::AttemptFiles>,
    /// Its runner brought it to its end, notes before the last word; nobody else writes notes.
    by_runner: bool,
}

/// Looks at all of the ledger; tells `seen` after each ref how many of how many it has seen.
///
/// # Errors
/// If refs cannot be listed at all.
pub fn fsck(ledger: &Ledger<'_>, seen: &dyn Fn(usize, usize)) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    let mut walk = Walk::new(ledger.repo())?;
    let names = ref_names(ledger)?;
    let mut tasks = Vec::new();
    for (at, name) in names.iter().enumerate() {
        seen(at, names.len());
        let problems = &mut report.problems;
        let oid = match ledger.repo().ref_target(name) {
            Ok(Some(oid)) => oid,
            // Deleted meanwhile.
            Ok(None) => continue,
            Err(error) => {
                let what = format!("cannot be read: {}", error.message());
                problems.push(Problem::new(Kind::Ref, name, what, "git fsck"));
                continue;
            }
        };
        if let Some(id) = name.strip_prefix(TASKS) {
            tasks.extend(record::read(ledger, (name, id), oid, &mut walk, problems));
        } else if let Some(id) = name.strip_prefix(ZONES) {
            report.zones += usize::from(zones::check_zone(ledger, (name, id), oid, &mut walk, problems));
        } else if let Some(rest) = name.strip_prefix(UNDO) {
            zones::check_undo(ledger, (name, rest), oid, &mut walk, problems);
        } else if name.strip_prefix(PINS).and_then(pinned_task).is_some() {
            problems.extend(walk.commits(name, oid));
        } else {
            let next = format!("git update-ref -d {name}");
            problems.push(Problem::new(Kind::Stray, name, "is no ref of git-khlone", next));
        }
    }
    derived::check(ledger, &tasks, &mut report.problems)?;
    let lost = ledger.lost_tasks();
    if lost > 0 {
        let what = format!("is gone, and the site's folder remembers {lost} tasks");
        let next = "git fetch COPY 'refs/khlone/*:refs/khlone/*'";
        report
            .problems
            .push(Problem::new(Kind::Ref, "refs/khlone", what, next));
    }
    report.tasks = tasks.len();
    report.objects = walk.len();
    report
        .problems
        .sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    Ok(report)
}

/// The task of `<task>/<n>-<what>`.
fn pinned_task(rest: &str) -> Option<TaskId> {
    let (task, pin) = rest.split_once('/')?;
    pin.split_once('-')?.0.parse::<u32>().ok()?;
    task.parse().ok()
}

/// Every ref of ours, also those whose files git cannot read.
fn ref_names(ledger: &Ledger<'_>) -> Result<BTreeSet<String>, LedgerError> {
    let mut names = BTreeSet::new();
    for name in ledger.repo().git().references_glob("refs/khlone/*")?.names() {
        names.insert(name?.to_owned());
    }
    let common = ledger.repo().common_dir();
    loose(common, &common.join("refs/khlone"), &mut names)?;
    Ok(names)
}

fn loose(common: &Path, dir: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            loose(common, &path, names)?;
        } else if path.extension().is_none_or(|extension| extension != "lock") {
            names.extend(
                path.strip_prefix(common)
                    .ok()
                    .and_then(Path::to_str)
                    .map(str::to_owned),
            );
        }
    }
    Ok(())
}
