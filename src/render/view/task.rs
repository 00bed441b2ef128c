//! Tasks: in a list, and whole.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::shown::{Naming, Shown};
use crate::{
    guard::secrets::sanitise::strip,
    query::{TaskDetail, TaskDocument, TaskLine, TaskList},
    refs::now,
    render::{Table, View, ago, one_line, state_style, waits},
    task::{Outcome, Status, Task, TaskId, few},
    zone::recovering,
};

/// So many lines of stderr are shown of a task that did not end well.
const ERRORS: usize = 10;
/// So many changes of a kind are shown; the JSON form has all.
const CHANGES: usize = 200;

impl View for Shown<'_, TaskList> {
    fn plain(&self) -> String {
        let (mut table, naming) = (Table::default(), Naming::of(self.names));
        for task in self.answer.tasks.iter().rev() {
            table.styled(row(task, &naming));
        }
        table.render()
    }
}

/// How tasks ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndedList {
    /// The tasks.
    tasks: Vec<EndedLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EndedLine {
    /// Its id.
    task: TaskId,
    /// Where it is in its life.
    status: Status,
    /// How its last attempt came out; `null` if it never ran.
    outcome: Option<Outcome>,
    /// The evidence for the outcome, in words.
    reasons: Vec<String>,
}

impl EndedList {
    /// The documented form.
    pub fn of<'a>(tasks: impl Iterator<Item = &'a Task>) -> Self {
        let tasks = tasks.map(|task| EndedLine {
            task: task.id.clone(),
            status: task.status,
            outcome: task.outcome,
            reasons: task.reasons.clone(),
        });
        Self {
            tasks: tasks.collect(),
        }
    }
}

impl View for EndedList {
    fn plain(&self) -> String {
        let lines = self.tasks.iter().map(|line| {
            let word = line.outcome.map_or(line.status.as_str(), Outcome::told);
            format!("{} {word}\n", line.task)
        });
        lines.collect()
    }
}

/// How long ago a task last changed.
pub(super) fn since(task: &TaskLine) -> String {
    ago(task.updated, now())
}

pub(super) fn row(task: &TaskLine, naming: &Naming<'_>) -> [(String, anstyle::Style); 5] {
    let plain = anstyle::Style::new();
    let word = task
        .outcome
        .filter(|_| task.status.is_over())
        .map_or(task.status.as_str(), Outcome::told);
    let clone = match naming.branch(&task.zone) {
        Some(branch) => format!("{} in {branch}", task.clone),
        None => task.clone.to_string(),
    };
    [
        (naming.short(&task.task), plain),
        (word.to_owned(), state_style(task.status, task.outcome)),
        (clone, plain),
        (since(task), plain),
        (format!("{} {}", task.mode, task.title), plain),
    ]
}

/// What keeps a brain in its worktree, by the tier of the documents.
pub(super) fn sandbox_word(tier: &str) -> &str {
    match tier {
        "T2" => "bubblewrap",
        "T0" => "none",
        other => other,
    }
}

/// What all of a task's attempts changed, and what is to be said of it, each once.
fn changes(detail: &TaskDetail) -> Vec<(&'static str, String)> {
    let (mut lines, mut seen) = (Vec::new(), HashSet::new());
    let mut add = |name, value: &str| {
        let line = (name, one_line(value));
        if seen.insert(line.clone()) {
            lines.push(line);
        }
    };
    let all = || detail.earlier.iter().chain(&detail.effects);
    for file in all().filter_map(|effects| effects["files"].as_array()).flatten() {
        let word = |name: &str| file[name].as_str().unwrap_or_default();
        add("file", &format!("{} {}", word("change"), word("path")));
    }
    for change in all().filter_map(|effects| effects["refs"].as_array()).flatten() {
        let word = |name: &str| change[name].as_str().unwrap_or_default();
        let commit: String = word("after").chars().take(10).collect();
        add("ref", format!("{} {commit}", word("name")).trim_end());
    }
    let more: u64 = all().filter_map(|effects| effects["more_refs"].as_u64()).sum();
    if more > 0 {
        add("ref", &format!("… and {more} more"));
    }
    for (word, name) in [
        ("doubt", "in_doubt"),
        ("running", "running"),
        ("external", "external"),
    ] {
        let words = all().filter_map(|effects| effects[name].as_array());
        for value in words.flatten() {
            add(word, value.as_str().unwrap_or_default());
        }
    }
    lines
}

impl View for TaskDetail {
    fn plain(&self) -> String {
        let TaskDocument(task) = &self.task;
        let word = task
            .outcome
            .filter(|_| task.status.is_over())
            .map_or(task.status.as_str(), Outcome::told);
        let style = state_style(task.status, task.outcome);
        let changes = changes(self);
        let mut text = format!("{} {}{word}{}\n", task.id, style.render(), style.render_reset());
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
        line("mode", task.mode.as_str());
        line("clone", &format!("{} on {}", task.clone, task.brain));
        line("zone", &task.branch);
        line("branch", &self.clone_branch);
        // Of one that ended well it is a remark, not a cause.
        let because = match task.status {
            Status::Done => "note",
            _ => "because",
        };
        for reason in &task.reasons {
            line(because, &one_line(reason));
        }
        if let Some(question) = &task.question {
            line("asks", &one_line(question));
        }
        if let Some(retry) = recovering(task) {
            line("waiting", &waits(&retry));
        }
        if let Some(attempt) = task.last_attempt() {
            let tier = sandbox_word(attempt.tier.as_deref().unwrap_or("-"));
            let cut_off = attempt.network.as_deref() == Some("none");
            let network = if cut_off { " · no network" } else { "" };
            // One that is under way has none yet.
            let exit = attempt.exit.as_deref();
            let exit = exit.map_or_else(String::new, |exit| format!(" · exit {exit}"));
            line(
                "attempt",
                &format!("{}{exit} · sandbox {tier}{network}", attempt.n),
            );
            if let Some(model) = &attempt.model {
                line("model", model);
            }
            if attempt.unread > 0 {
                let lines = if attempt.unread == 1 { "line" } else { "lines" };
                line("unread", &format!("{} {lines} of the brain's", attempt.unread));
            }
            let counts = attempt.redacted.iter();
            let counts: Vec<_> = counts.map(|(name, count)| format!("{count} {name}")).collect();
            if !counts.is_empty() {
                line("redacted", &counts.join(" · "));
            }
        }
        if let Some(usage) = &task.usage {
            let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
            let cost = task.cost.map_or(String::new(), |cost| format!(" · ${cost:.4}"));
            line(
                "usage",
                &format!("{} in · {} out{cost}", count(usage.input), count(usage.output)),
            );
        }
        for kind in ["file", "ref", "doubt", "running", "external"] {
            let values = changes.iter().filter(|(name, _)| *name == kind);
            for value in few(values.map(|(_, value)| value.clone()).collect(), CHANGES) {
                line(kind, &value);
            }
        }
        if let Some(said) = self
            .stderr
            .as_ref()
            .filter(|_| task.outcome != Some(Outcome::Done))
        {
            for said in said.lines().rev().take(ERRORS).collect::<Vec<_>>().iter().rev() {
                line("stderr", said);
            }
        }
        if let Some(next) = task.next_step() {
            line("next", &next);
        }
        text.push('\n');
        text.push_str(&indent(&strip(self.prompt.as_bytes())));
        if let Some(answer) = &self.answer {
            text.push('\n');
            text.push_str(answer.trim_end());
            text.push('\n');
        }
        text
    }
}

fn indent(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect()
}
