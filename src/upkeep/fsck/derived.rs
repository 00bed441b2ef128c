//! What follows from the tasks: pins, notes, the counter; and that no two tasks have one place in the order.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Known, Problem, Remedy, pinned_task};
use crate::{
    refs::{Ledger, LedgerError, NOTES, Oid, PINS, TASKS, note_of, notes, pin_ref, task_ref},
    task::{Effects, TaskId},
};

/// Checks all of it.
pub(super) fn check(
    ledger: &Ledger<'_>,
    tasks: &[Known],
    problems: &mut Vec<Problem>,
) -> Result<(), LedgerError> {
    for known in tasks {
        check_pins(ledger, known, problems)?;
    }
    stray_pins(ledger, problems)?;
    check_notes(ledger, tasks, problems);
    check_order(ledger, tasks, problems)?;
    Ok(())
}

fn check_pins(ledger: &Ledger<'_>, known: &Known, problems: &mut Vec<Problem>) -> Result<(), LedgerError> {
    let id = &known.task.id;
    for attempt in &known.attempts {
        let pin = |what: &str| pin_ref(id, attempt.n, what);
        let target = |what: &str| ledger.repo().ref_target(&pin(what));
        let effects = attempt.effects.as_ref();
        let branch = effects.and_then(|effects| effects.branch.as_ref());
        let oid = |text: Option<&String>| text.and_then(|text| text.parse::<Oid>().ok());
        let (before, after) = (target("head-before")?, target("head-after")?);
        if attempt.began && before.is_none() {
            let from = oid(branch.and_then(|branch| branch.before.as_ref()));
            problems.push(pin_lost(ledger, pin("head-before"), from.or(after)));
        }
        if effects.is_some() && after.is_none() {
            let to = oid(branch.and_then(|branch| branch.after.as_ref()));
            let newest = effects.and_then(|effects| oid(effects.commits.first()));
            problems.push(pin_lost(ledger, pin("head-after"), to.or(newest).or(before)));
        }
    }
    Ok(())
}

fn pin_lost(ledger: &Ledger<'_>, name: String, commit: Option<Oid>) -> Problem {
    let there = commit.filter(|commit| ledger.repo().git().find_commit(*commit).is_ok());
    match (there, commit) {
        (Some(commit), _) => Problem::derived(
            Kind::Pin,
            name,
            format!("does not keep {commit}"),
            Remedy::Pin(commit),
        ),
        (None, Some(commit)) => {
            let next = format!("git fetch COPY {name}:{name}, from a copy of this repository");
            Problem::new(Kind::Missing, name, format!("commit {commit} is not there"), next)
        }
        (None, None) => {
            let next = format!("git fetch COPY {name}:{name}, from a copy of this repository");
            Problem::new(
                Kind::Pin,
                name,
                "is not there, and nothing says what it kept",
                next,
            )
        }
    }
}

/// Pins of tasks that are not there.
fn stray_pins(ledger: &Ledger<'_>, problems: &mut Vec<Problem>) -> Result<(), LedgerError> {
    for name in ledger.repo().git().references_glob(&format!("{PINS}*"))?.names() {
        let name = name?;
        let Some(id) = name.strip_prefix(PINS).and_then(pinned_task) else {
            continue;
        };
        if !is_there(ledger, &id) {
            let next = format!("git update-ref -d {name}");
            problems.push(Problem::new(
                Kind::Stray,
                name,
                "keeps a commit for no task",
                next,
            ));
        }
    }
    Ok(())
}

/// Whether a task's ref is there, be it readable or not.
fn is_there(ledger: &Ledger<'_>, id: &TaskId) -> bool {
    !matches!(ledger.repo().ref_target(&task_ref(id)), Ok(None))
}

/// Whether a note names a task that is there, if only as a ref that cannot be read.
fn is_of_a_task(ledger: &Ledger<'_>, text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut ids = text
        .lines()
        .filter_map(|line| line.strip_prefix("Khlone-Task: ")?.parse().ok());
    ids.next().is_some_and(|id| is_there(ledger, &id))
}

/// The commits that a task's end has notes for.
fn noted(known: &Known) -> impl Iterator<Item = &String> {
    let effects = known
        .attempts
        .iter()
        .filter_map(|attempt| attempt.effects.as_ref());
    effects
        .filter(|_| known.by_runner)
        .flat_map(|effects: &Effects| &effects.commits)
}

fn check_notes(ledger: &Ledger<'_>, tasks: &[Known], problems: &mut Vec<Problem>) {
    let found = match notes(ledger.repo()) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("cannot be read: {}", error.message());
            problems.push(Problem::derived(Kind::Note, NOTES, what, Remedy::NoNotes));
            BTreeMap::new()
        }
    };
    for (path, text) in &found {
        if !is_of_a_task(ledger, text) {
            let what = format!("the note on {} is of no task here", path.replace('/', ""));
            problems.push(Problem::derived(
                Kind::Note,
                NOTES,
                what,
                Remedy::NoNote(path.clone()),
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for known in tasks {
        for commit in noted(known) {
            let Some((oid, path)) = note_of_commit(commit) else {
                let what = format!(
                    "{} of {} is not the id of a commit",
                    commit.escape_debug(),
                    known.task.id
                );
                problems.push(Problem::new(
                    Kind::Document,
                    format!("{TASKS}{}", known.task.id),
                    what,
                    format!("git khlone show {}", known.task.id),
                ));
                continue;
            };
            let has = found.get(&path).is_some_and(|text| is_of_a_task(ledger, text));
            // A commit of two tasks has the note of one.
            if !has && seen.insert(oid) {
                let what = format!("commit {commit} of {} has no note", known.task.id);
                let remedy = Remedy::Note(oid, note_of(&known.task));
                problems.push(Problem::derived(Kind::Note, NOTES, what, remedy));
            }
        }
    }
}

/// A commit's id and the path of its note, if it is one in full: a shorter one is padded when it is parsed.
fn note_of_commit(commit: &str) -> Option<(Oid, String)> {
    let oid = commit
        .parse::<Oid>()
        .ok()
        .filter(|oid| oid.to_string() == commit)?;
    let (folder, rest) = commit.split_at_checked(2)?;
    Some((oid, format!("{folder}/{rest}")))
}

fn check_order(ledger: &Ledger<'_>, tasks: &[Known], problems: &mut Vec<Problem>) -> Result<(), LedgerError> {
    let mut places = BTreeMap::new();
    for known in tasks {
        let (task, place) = (&known.task, (&known.task.owner.site_uuid, known.task.seq));
        if let Some(other) = places.insert(place, &task.id) {
            let what = format!("has the same place in the order, {}, as {other}", task.seq);
            let name = format!("{TASKS}{}", task.id);
            problems.push(Problem::new(
                Kind::Seq,
                name,
                what,
                format!("git khlone show {}", task.id),
            ));
        }
    }
    let last = ledger.site().last_seq()?;
    let ours = |known: &&Known| known.task.owner.site_uuid == ledger.site().owner().site_uuid;
    let highest = tasks
        .iter()
        .filter(ours)
        .map(|known| known.task.seq)
        .max()
        .unwrap_or(0);
    if last.unwrap_or(0) < highest {
        let what = format!(
            "the order of arrival has come to {highest}, the counter is {}",
            match last {
                Some(last) => format!("at {last}"),
                None => "lost".to_owned(),
            }
        );
        let name = ledger.site().layout().counter().display().to_string();
        problems.push(Problem::derived(
            Kind::Counter,
            name,
            what,
            Remedy::Counter(highest),
        ));
    }
    Ok(())
}
