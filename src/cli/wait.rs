//! `git khlone await`: wait for tasks to end; the exit code says how.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    interrupt::{INTERRUPTED, on_interrupt},
    target,
};
use crate::{
    daemon::Line,
    query::{Show, Source, sides},
    refs::{Beside, Stored},
    render::{
        Pulse, one_line,
        view::{EndedList, diff_stat},
        waits,
    },
    task::{Class, Mode, Outcome, Status, Task, TaskId},
    zone::{Waits, waits_for},
};

/// How often the ledger is looked at without a daemon.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for one answer of the daemon.
const PATIENCE: Duration = Duration::from_secs(20);

/// Wait for tasks to end
///
/// Of one task, its last words go to stdout, or to stderr where it did not end well. The exit code is the outcome's; of several, the first one's that
/// did not end well.
#[derive(Args, Debug)]
pub(super) struct AwaitArgs {
    /// Tasks to wait for, else the newest of the zone
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Return as soon as one of them has ended
    #[arg(long)]
    any: bool,
    /// Return when all of them have ended, as without it
    #[arg(long, conflicts_with = "any")]
    all: bool,
    /// Give up after so many seconds (exit code 7)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Waits for the tasks named.
pub(super) fn run(cx: &Cx, args: &AwaitArgs) -> Result<ExitCode, CmdError> {
    let mut ids = Vec::new();
    for word in &args.tasks {
        let id = target::task(cx, Some(word), None)?.task.id;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        ids.push(target::task(cx, None, None)?.task.id);
    }
    let deadline = args
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let wait = Wait {
        any: args.any,
        deadline,
    };
    let ended = wait.run(cx, &ids)?;
    if ended.is_empty() || ended.len() < ids.len() && !args.any {
        cx.out.note("still under way");
        return Ok(ExitCode::from(Class::Timeout.exit_code()));
    }
    match ended.as_slice() {
        [one] if ids.len() == 1 || !cx.out.is_json() => tell(cx, one, Answer::Wanted),
        many => {
            if cx.out.is_json() {
                printed(
                    cx.out
                        .answer(&EndedList::of(many.iter().map(|stored| &stored.task))),
                )?;
            }
            for stored in many {
                verdict(cx, stored);
                next(cx, &stored.task, None);
            }
            Ok(worst(many))
        }
    }
}

/// Waits for one task that was just queued, and tells how it ended.
pub(super) fn for_one(cx: &Cx, id: &TaskId) -> Result<ExitCode, CmdError> {
    let wait = Wait {
        any: false,
        deadline: None,
    };
    match wait.run(cx, std::slice::from_ref(id))?.as_slice() {
        [ended, ..] => tell(cx, ended, Answer::Wanted),
        [] => Ok(ExitCode::from(Class::Timeout.exit_code())),
    }
}

/// Waits for the end of a task of which nothing is to be told.
pub(super) fn until_over(cx: &Cx, id: &TaskId) -> Result<(), CmdError> {
    let wait = Wait {
        any: false,
        deadline: None,
    };
    wait.run(cx, std::slice::from_ref(id)).map(drop)
}

/// The task on hold that keeps a waiting one from its turn.
fn held_up_by(cx: &Cx, stored: &Stored) -> Result<Option<Stored>, CmdError> {
    if !stored.task.status.is_waiting() {
        return Ok(None);
    }
    let ledger = cx.ledger();
    let before = match waits_for(&stored.task, &ledger.heads()?) {
        Some(Waits::Behind { first, .. }) => first,
        Some(Waits::After { task }) => task,
        Some(
            Waits::Limit { .. }
            | Waits::Recovery { .. }
            | Waits::Machine { .. }
            | Waits::Provider { .. }
            | Waits::Owner { .. }
            | Waits::Turn,
        )
        | None => return Ok(None),
    };
    let before = ledger.task(&before)?;
    Ok(before.task.hold.is_some().then_some(before))
}

fn behind_hold(id: &TaskId, held: &Stored) -> CliError {
    let why = held.task.hold.as_deref().unwrap_or_default();
    let before = &held.task.id;
    CliError::refused(
        format!(
            "{id} is queued behind {before}, which waits for you: {}",
            one_line(why)
        ),
        format!("git khlone show {before}    # then git khlone resume {before}, or retry it, or cancel it"),
    )
}

/// How to wait.
struct Wait {
    any: bool,
    deadline: Option<Instant>,
}

impl Wait {
    /// Waits until enough tasks are over, and gives those that are. A daemon that is gone is started again: without
    /// one nothing would end.
    fn run(&self, cx: &Cx, ids: &[TaskId]) -> Result<Vec<Stored>, CmdError> {
        let mut line = Line::new(cx.daemon()?, true);
        let (mut ended, mut open) = (Vec::new(), ids.to_vec());
        // Who sees that it waits may interrupt it.
        let pulse = Pulse::still(cx.out, awaited(ids));
        leaves(cx, ids, &pulse);
        pulse.begin();
        loop {
            let (mut rest, mut stuck) = (Vec::new(), None);
            for id in open {
                let stored = cx.ledger().task(&id)?;
                // Without a person nothing more happens to what is on hold.
                if stored.task.is_settled() {
                    ended.push(stored);
                } else if let Some(held) = held_up_by(cx, &stored)? {
                    stuck.get_or_insert((id, held));
                } else {
                    rest.push(id);
                }
            }
            let enough = self.any && !ended.is_empty();
            if let Some((id, held)) = stuck.as_ref().filter(|_| rest.is_empty() && !enough) {
                return Err(behind_hold(id, held).into());
            }
            rest.extend(stuck.map(|(id, _)| id));
            open = rest;
            let left = self
                .deadline
                .map_or(PATIENCE, |end| end.saturating_duration_since(Instant::now()));
            if open.is_empty() || self.any && !ended.is_empty() || left.is_zero() {
                return Ok(ended);
            }
            pulse.say(match open.as_slice() {
                [id] if pulse.is_seen() => what_for(cx, id)?,
                many => awaited(many),
            });
            let wait = left.min(PATIENCE);
            let params = json!({ "tasks": open, "any": true, "timeout": wait.as_secs_f64() });
            // Whatever it says, the ledger tells what has become of them.
            if !matches!(line.call::<Value>("await", &params, wait), Some(Ok(_))) {
                std::thread::sleep(TICK.min(wait));
            }
        }
    }
}

/// Ctrl-c ends the wait, not what is waited for: says so, and how to come back.
fn leaves(cx: &Cx, ids: &[TaskId], pulse: &Pulse) {
    let (out, stops) = (cx.out, cx.stops());
    let names: Vec<_> = ids.iter().map(TaskId::as_str).collect();
    let names = names.join(" ");
    let goes = if ids.len() == 1 { "continues" } else { "continue" };
    let pulse = pulse.clone();
    on_interrupt(INTERRUPTED, move || {
        pulse.clear();
        if stops() {
            out.note("left; what this command runs is stopped with it");
            for name in names.split(' ') {
                out.note(&format!("  git khlone resume {name}"));
            }
            return;
        }
        out.note(&format!(
            "left; {} {goes} in the background",
            names.replace(' ', ", ")
        ));
        out.note(&format!("  git khlone await {names}"));
    });
}

/// One task, and what it waits for itself.
fn what_for(cx: &Cx, id: &TaskId) -> Result<String, CmdError> {
    let ledger = cx.ledger();
    let waits_for = cx.ground().waits(&ledger.task(id)?.task, &ledger.heads()?);
    Ok(waits_for.map_or_else(|| id.to_string(), |wait| format!("{id} {}", waits(&wait))))
}

fn awaited(ids: &[TaskId]) -> String {
    match ids {
        [id] => id.to_string(),
        many => format!("{} tasks", many.len()),
    }
}

/// Whether a task's answer is still to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It goes to stdout.
    Wanted,
    /// It was told already.
    Told,
}

/// Says how a task ended: its last words to stdout, all else to stderr. Where it did not end well stdout stays empty, so
/// that what reads it never takes them for an answer.
pub(super) fn tell(cx: &Cx, stored: &Stored, answer: Answer) -> Result<ExitCode, CmdError> {
    let task = &stored.task;
    let detail = cx.ground().ask(&Show {
        task: Some(task.id.to_string()),
        zone: None,
    })?;
    let is_good = exit_code(stored) == ExitCode::SUCCESS;
    if answer == Answer::Wanted {
        match &detail.answer {
            _ if cx.out.is_json() => printed(cx.out.answer(&detail))?,
            Some(words) if is_good => printed(cx.out.text(&format!("{}\n", words.trim_end())))?,
            Some(words) => cx.out.note(words.trim_end()),
            None => {}
        }
    }
    verdict(cx, stored);
    if task.mode == Mode::Act {
        let done = what_is_done(cx, stored, &detail.clone_branch)?;
        if !done.is_empty() {
            cx.out.note(&done);
        }
    }
    next(cx, task, detail.answer.as_deref());
    Ok(exit_code(stored))
}

/// One word of how it ended, and why.
fn verdict(cx: &Cx, stored: &Stored) {
    let task = &stored.task;
    let word = task.outcome.map_or(task.status.as_str(), Outcome::told);
    if exit_code(stored) == ExitCode::SUCCESS {
        cx.out.done(&format!("{} {word}", task.id));
    } else {
        cx.out.note(&format!("✗ {} {word}", task.id));
    }
    for reason in task.reasons.iter().filter(|reason| *reason != word) {
        cx.out.note(&format!("  {}", one_line(reason)));
    }
}

/// What can be done about it.
fn next(cx: &Cx, task: &Task, said: Option<&str>) {
    if let Some(next) = task.next_step() {
        cx.out.note(&format!("  {next}"));
    }
    // One that asked and worked on all the same needs no answer.
    if let Some(question) = &task.question
        && (task.outcome == Some(Outcome::NoOp) || task.mode == Mode::Ask)
    {
        // By a tool, it stands in no answer.
        if !said.is_some_and(|said| said.contains(question)) {
            cx.out.note(&format!("  asks: {}", one_line(question)));
        }
        cx.out.note(&format!("  git khlone reply {} TEXT", task.id));
    }
}

/// The diff stat, the branch, and what to do with it.
fn what_is_done(cx: &Cx, stored: &Stored, branch: &str) -> Result<String, CmdError> {
    let task = &stored.task;
    let Some(sides) = sides(&cx.ledger(), stored)? else {
        return Ok(String::new());
    };
    let git = sides.beside.as_ref().map_or(cx.repo.git(), Beside::git);
    let side = |tree| git.find_tree(tree).map_err(CliError::from);
    let (before, after) = (side(sides.before)?, side(sides.after)?);
    let diff = git.diff_tree_to_tree(Some(&before), Some(&after), None);
    let stat = diff_stat(diff.map_err(CliError::from)?).map_err(CliError::from)?;
    if stat.is_empty() {
        return Ok(String::new());
    }
    let mut text = format!("{stat}  branch {branch}");
    if exit_code(stored) != ExitCode::SUCCESS {
        return Ok(text);
    }
    text.push_str(&format!("\n  git khlone land {}", task.id));
    if let Some(remote) = remote(cx)? {
        text.push_str(&format!("\n  git push {remote} {branch}"));
    }
    Ok(text)
}

/// Where work is pushed to, if anywhere.
fn remote(cx: &Cx) -> Result<Option<String>, CliError> {
    let remotes = cx.repo.git().remotes()?;
    let names: Vec<_> = remotes.iter().flatten().flatten().collect();
    let origin = names.iter().find(|name| **name == "origin");
    Ok(origin.or(names.first()).map(|name| (*name).to_owned()))
}

fn exit_code(stored: &Stored) -> ExitCode {
    let task = &stored.task;
    let class = match task.outcome {
        Some(outcome) => outcome.class(),
        None if task.status == Status::Done => None,
        None if task.status == Status::Cancelled => Some(Class::Cancelled),
        None => Some(Class::Failed),
    };
    ExitCode::from(class.map_or(0, Class::exit_code))
}

fn worst(ended: &[Stored]) -> ExitCode {
    ended
        .iter()
        .map(exit_code)
        .find(|code| *code != ExitCode::SUCCESS)
        .unwrap_or(ExitCode::SUCCESS)
}
