//! `git khlone await`: wait for tasks to end; the exit code says how.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target,
};
use crate::{
    refs::{Repo, Stored},
    render::{
        one_line,
        view::{TaskDetail, diff_stat},
    },
    task::{Mode, Outcome, Status, TaskId},
};

/// How often the ledger is looked at.
const TICK: Duration = Duration::from_millis(30);

/// Wait for tasks to end
#[derive(Args, Debug)]
pub(super) struct AwaitArgs {
    /// Tasks to wait for, else the newest of the zone
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Return as soon as one of them has ended
    #[arg(long)]
    any: bool,
    /// Give up after so many seconds (exit code 7)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Waits for the tasks named.
pub(super) fn run(cx: &Cx, args: &AwaitArgs) -> Result<ExitCode, CmdError> {
    let mut ids = Vec::new();
    for word in &args.tasks {
        ids.push(target::task(cx, Some(word), None)?.task.id);
    }
    if ids.is_empty() {
        ids.push(target::task(cx, None, None)?.task.id);
    }
    let deadline = args
        .timeout
        .map(|seconds| std::time::Instant::now() + Duration::from_secs(seconds));
    let mut ended = Vec::new();
    let mut open = ids.clone();
    let progress = progress(cx, &open);
    let enough = |ended: &[Stored]| args.any && !ended.is_empty();
    while !open.is_empty() && !enough(&ended) {
        if deadline.is_some_and(|deadline| std::time::Instant::now() > deadline) {
            cx.out.note("still under way");
            return Ok(ExitCode::from(crate::task::Class::Timeout.exit_code()));
        }
        let mut rest = Vec::new();
        for id in open {
            let stored = cx.ledger().task(&id)?;
            if is_settled(&stored) {
                ended.push(stored)
            } else {
                rest.push(id)
            }
        }
        open = rest;
        std::thread::sleep(TICK);
    }
    drop(progress);
    let [one] = ended.as_slice() else {
        return Ok(worst(&ended));
    };
    tell(cx, one)
}

/// Waits for one task that was just queued, and tells how it ended.
pub(super) fn for_one(cx: &Cx, id: &TaskId) -> Result<ExitCode, CmdError> {
    let progress = progress(cx, std::slice::from_ref(id));
    let stored = loop {
        let stored = cx.ledger().task(id)?;
        if is_settled(&stored) {
            break stored;
        }
        std::thread::sleep(TICK);
    };
    drop(progress);
    tell(cx, &stored)
}

fn is_settled(stored: &Stored) -> bool {
    stored.task.status.is_over() || stored.task.status == Status::Interrupted
}

/// A line that moves while someone watches.
fn progress(cx: &Cx, ids: &[TaskId]) -> Option<Cleared> {
    if !cx.out.is_watched() {
        return None;
    }
    let bar = ProgressBar::new_spinner().with_message(match ids {
        [id] => id.to_string(),
        many => format!("{} tasks", many.len()),
    });
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(Cleared(bar))
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Says how a task ended: the answer of an ask to stdout, all else to stderr.
fn tell(cx: &Cx, stored: &Stored) -> Result<ExitCode, CmdError> {
    let task = &stored.task;
    let detail = detail(cx, stored)?;
    if task.mode == Mode::Ask {
        if cx.out.is_json() {
            printed(cx.out.answer(&detail))?;
        } else if let Some(answer) = &detail.answer {
            printed(cx.out.text(&format!("{}\n", answer.trim_end())))?;
        }
    }
    let word = task.outcome.map_or(task.status.as_str(), Outcome::as_str);
    let code = exit_code(stored);
    if code == ExitCode::SUCCESS {
        cx.out.done(&format!("{} {word}", task.id));
    } else {
        cx.out.note(&format!("✗ {} {word}", task.id));
    }
    for reason in &task.reasons {
        cx.out.note(&format!("  {}", one_line(reason)));
    }
    if task.mode == Mode::Act {
        cx.out.note(&next_steps(&cx.repo, stored, &detail.clone_branch)?);
    }
    Ok(code)
}

/// What a task is, whole.
pub(super) fn detail(cx: &Cx, stored: &Stored) -> Result<TaskDetail, CmdError> {
    let ledger = cx.ledger();
    let text = |path: &str| -> Result<Option<String>, CmdError> {
        Ok(ledger
            .file(stored, path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let answer = match text("artifacts/answer")? {
        Some(answer) => Some(answer),
        None => text("artifacts/summary")?,
    };
    let last = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let effects = text(&format!("attempts/{last}/effects.json"))?;
    Ok(TaskDetail {
        prompt: text("prompt.md")?.unwrap_or_default(),
        answer,
        clone_branch: target::crew_of(cx, stored)
            .map(|member| member.branch)
            .unwrap_or_default(),
        effects: effects.and_then(|text| serde_json::from_str(&text).ok()),
        task: stored.task.clone(),
    })
}

/// The diff stat, the branch, and what to do with it.
fn next_steps(repo: &Repo, stored: &Stored, branch: &str) -> Result<String, CliError> {
    let task = &stored.task;
    let Some(n) = task.last_attempt().map(|attempt| attempt.n) else {
        return Ok(String::new());
    };
    let tree = repo.git().find_tree(stored.tree)?;
    let side = |name: &str| {
        let entry = tree
            .get_path(std::path::Path::new(&format!("attempts/{n}/{name}")))
            .ok()?;
        repo.git().find_tree(entry.id()).ok()
    };
    let (Some(before), Some(after)) = (side("before"), side("after")) else {
        return Ok(String::new());
    };
    let stat = diff_stat(repo.git().diff_tree_to_tree(Some(&before), Some(&after), None)?)?;
    if stat.is_empty() {
        return Ok(format!("  branch {branch}"));
    }
    Ok(format!(
        "{stat}  branch {branch}\n  git khlone land {}\n  git push origin {branch}",
        task.id
    ))
}

fn exit_code(stored: &Stored) -> ExitCode {
    let task = &stored.task;
    let class = match task.outcome {
        Some(outcome) => outcome.class(),
        None if task.status == Status::Done => None,
        None if task.status == Status::Cancelled => Some(crate::task::Class::Cancelled),
        None => Some(crate::task::Class::Failed),
    };
    ExitCode::from(class.map_or(0, crate::task::Class::exit_code))
}

fn worst(ended: &[Stored]) -> ExitCode {
    ended
        .iter()
        .map(exit_code)
        .find(|code| *code != ExitCode::SUCCESS)
        .unwrap_or(ExitCode::SUCCESS)
}
