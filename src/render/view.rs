//! What commands answer: one value for the plain form and for `--json`. In JSON outcomes are words, absent means
//! not applicable, `null` means unknown, and every document has `"format": 1`.

use serde::Serialize;

use super::{Table, View, ago, short_id, state_style};
use crate::{
    brain::{self, Readiness, Record, State},
    guard::trust::{Grant, in_shell},
    refs::{Crew, TaskHead, now},
    task::{CloneName, Explain, FORMAT, Outcome, Status, Task, TaskId, Transition},
    zone::landing::{self, Landed},
};

/// An error.
#[derive(Debug, Serialize)]
pub struct ErrorView {
    format: u32,
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    class: crate::task::Class,
    exit_code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl ErrorView {
    /// The documented form of an error.
    pub fn of(error: &dyn Explain) -> Self {
        let class = error.class();
        let error = ErrorBody {
            class,
            exit_code: class.exit_code(),
            message: error.to_string(),
            hint: error.hint(),
        };
        Self {
            format: FORMAT,
            error,
        }
    }
}

/// A task that was just queued.
#[derive(Debug, Serialize)]
pub struct DispatchedView {
    /// Version of the document.
    pub format: u32,
    /// The task.
    pub task: TaskId,
    /// Who does it.
    pub clone: CloneName,
    /// Its zone's branch.
    pub branch: String,
    /// Whether the clone is new.
    pub enrolled: bool,
    /// Tasks of the clone before it.
    pub behind: Vec<TaskId>,
}

impl View for DispatchedView {
    fn plain(&self) -> String {
        format!("{}\n", self.task)
    }
}

/// One line of a list of tasks.
#[derive(Debug, Serialize)]
pub struct TaskLine {
    id: TaskId,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    mode: &'static str,
    zone: String,
    clone: CloneName,
    seq: u64,
    updated: i64,
    title: String,
}

impl From<&TaskHead> for TaskLine {
    fn from(head: &TaskHead) -> Self {
        Self {
            id: head.id.clone(),
            status: head.status,
            outcome: head.outcome,
            mode: head.mode.as_str(),
            zone: head.zone.to_string(),
            clone: head.clone.clone(),
            seq: head.seq,
            updated: head.updated,
            title: head.title.clone(),
        }
    }
}

/// Tasks, in order of arrival.
#[derive(Debug, Serialize)]
pub struct TaskList {
    /// Version of the document.
    pub format: u32,
    /// The tasks.
    pub tasks: Vec<TaskLine>,
}

impl View for TaskList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for task in self.tasks.iter().rev() {
            table.styled(row(task, self.tasks.iter().map(|task| &task.id)));
        }
        table.render()
    }
}

fn row<'a>(task: &TaskLine, all: impl Iterator<Item = &'a TaskId>) -> [(String, anstyle::Style); 5] {
    let plain = anstyle::Style::new();
    let word = task
        .outcome
        .filter(|_| task.status.is_over())
        .map_or(task.status.as_str(), Outcome::as_str);
    [
        (short_id(&task.id, all), plain),
        (word.to_owned(), state_style(task.status, task.outcome)),
        (task.clone.to_string(), plain),
        (ago(task.updated, now()), plain),
        (format!("{} {}", task.mode, task.title), plain),
    ]
}

/// A zone in a list.
#[derive(Debug, Serialize)]
pub struct ZoneLine {
    /// Its id.
    pub id: String,
    /// Its branch.
    pub branch: String,
    /// Its clones.
    pub crew: Vec<CloneName>,
    /// Tasks that are not over.
    pub open: usize,
}

/// Zones.
#[derive(Debug, Serialize)]
pub struct ZoneList {
    /// Version of the document.
    pub format: u32,
    /// The zones.
    pub zones: Vec<ZoneLine>,
}

impl View for ZoneList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for zone in &self.zones {
            let crew: Vec<_> = zone.crew.iter().map(ToString::to_string).collect();
            table.row([
                format!("@{}", zone.branch),
                format!("{} open", zone.open),
                crew.join(" "),
            ]);
        }
        table.render()
    }
}

/// A clone in a list.
#[derive(Debug, Serialize)]
pub struct CrewLine {
    /// Its name.
    pub name: CloneName,
    /// Its brain.
    pub brain: String,
    /// Its zone's branch.
    pub zone: String,
    /// Its own branch.
    pub branch: String,
    /// Its worktree; `null` before its first task.
    pub path: Option<String>,
    /// What it does now.
    pub busy: Option<TaskId>,
    /// Tasks that wait for it.
    pub waiting: usize,
    /// Commits of its own, and of the zone's that it lacks; `null` if unknown.
    pub ahead: Option<usize>,
    /// Commits of the zone that it lacks; `null` if unknown.
    pub behind: Option<usize>,
}

impl CrewLine {
    /// A line about a clone, of which nothing but its document is known.
    pub fn of(member: &Crew, zone: &str) -> Self {
        Self {
            name: member.name.clone(),
            brain: member.brain.to_string(),
            zone: zone.to_owned(),
            branch: member.branch.clone(),
            path: member.path.clone(),
            busy: None,
            waiting: 0,
            ahead: None,
            behind: None,
        }
    }

    /// `+3 −2`, or nothing if it stands where the zone stands.
    pub fn standing(&self) -> String {
        match (self.ahead, self.behind) {
            (Some(0), Some(0)) | (None, _) | (_, None) => String::new(),
            (Some(ahead), Some(behind)) => format!("+{ahead} −{behind} {}", self.zone),
        }
    }
}

/// Clones.
#[derive(Debug, Serialize)]
pub struct CrewList {
    /// Version of the document.
    pub format: u32,
    /// The clones.
    pub crew: Vec<CrewLine>,
}

impl View for CrewList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for clone in &self.crew {
            let doing = match (&clone.busy, clone.waiting) {
                (None, 0) => "idle".to_owned(),
                (None, waiting) => format!("{waiting} waiting"),
                (Some(task), 0) => format!("on {}", &task.as_str()[..5]),
                (Some(task), waiting) => format!("on {}, {waiting} waiting", &task.as_str()[..5]),
            };
            table.row([
                clone.name.to_string(),
                format!("@{}", clone.brain),
                doing,
                clone.standing(),
                clone.branch.clone(),
            ]);
        }
        table.render()
    }
}

/// One task, whole.
#[derive(Debug, Serialize)]
pub struct TaskDetail {
    /// The document as it stands in git.
    #[serde(flatten)]
    pub task: Task,
    /// What was asked.
    pub prompt: String,
    /// What it answered or says that it did; absent before it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The clone's branch.
    pub clone_branch: String,
    /// What its last attempt changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effects: Option<serde_json::Value>,
}

impl View for TaskDetail {
    fn plain(&self) -> String {
        let task = &self.task;
        let word = task
            .outcome
            .filter(|_| task.status.is_over())
            .map_or(task.status.as_str(), Outcome::as_str);
        let style = state_style(task.status, task.outcome);
        let mut text = format!("{} {}{word}{}\n", task.id, style.render(), style.render_reset());
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
        line("mode", task.mode.as_str());
        line("clone", &format!("{} on {}", task.clone, task.brain));
        line("zone", &task.branch);
        line("branch", &self.clone_branch);
        for reason in &task.reasons {
            line("because", reason);
        }
        if let Some(attempt) = task.last_attempt() {
            let tier = attempt.tier.as_deref().unwrap_or("-");
            let exit = attempt.exit.as_deref().unwrap_or("-");
            line(
                "attempt",
                &format!("{} · exit {exit} · sandbox {tier}", attempt.n),
            );
        }
        if let Some(usage) = &task.usage {
            let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
            let cost = task.cost.map_or(String::new(), |cost| format!(" · ${cost:.4}"));
            line(
                "usage",
                &format!("{} in · {} out{cost}", count(usage.input), count(usage.output)),
            );
        }
        for file in self
            .effects
            .iter()
            .filter_map(|effects| effects["files"].as_array())
            .flatten()
        {
            let word = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
            line("file", &format!("{} {}", word("change"), word("path")));
        }
        text.push('\n');
        text.push_str(&indent(&self.prompt));
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

/// The status of a site on one screen.
#[derive(Debug, Serialize)]
pub struct StatusView {
    /// Version of the document.
    pub format: u32,
    /// Failed, or finished and not landed.
    pub needs_you: Vec<TaskLine>,
    /// Running now.
    pub under_way: Vec<TaskLine>,
    /// Queued or parked.
    pub waiting: Vec<TaskLine>,
    /// The clones.
    pub crew: Vec<CrewLine>,
}

/// So many lines of a part of the status.
const PART: usize = 6;

impl View for StatusView {
    fn plain(&self) -> String {
        if self.crew.is_empty() {
            return EXAMPLES.to_owned();
        }
        let mut text = String::new();
        let parts = [
            ("needs you", &self.needs_you),
            ("under way", &self.under_way),
            ("waiting", &self.waiting),
        ];
        let all = || {
            parts
                .iter()
                .flat_map(|(_, tasks)| tasks.iter().map(|task| &task.id))
        };
        for (name, tasks) in parts.iter().filter(|(_, tasks)| !tasks.is_empty()) {
            let mut table = Table::default();
            for task in tasks.iter().rev().take(PART) {
                table.styled(row(task, all()));
            }
            text.push_str(&format!("{name}\n{}", indent_by(&table.render(), "  ")));
            if tasks.len() > PART {
                text.push_str(&format!(
                    "  … {} more: git khlone list tasks\n",
                    tasks.len() - PART
                ));
            }
        }
        let mut table = Table::default();
        for clone in &self.crew {
            let doing = clone
                .busy
                .as_ref()
                .map_or("idle".to_owned(), |task| format!("on {}", &task.as_str()[..5]));
            table.row([
                clone.name.to_string(),
                format!("@{}", clone.brain),
                doing,
                clone.standing(),
            ]);
        }
        text.push_str(&format!("crew\n{}", indent_by(&table.render(), "  ")));
        text
    }
}

const EXAMPLES: &str = "\
No tasks here yet. For example:

  git khlone act \"add a test for the parser\"      # in the background, on a branch of its own
  git khlone ask \"what does this project do?\" --await
  git khlone act --who @shell --await 'printf hello > greeting.txt'
";

fn indent_by(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// What landed.
#[derive(Debug, Serialize)]
pub struct LandedView {
    format: u32,
    kind: landing::Kind,
    branch: String,
    zone: String,
    old: String,
    new: String,
    commits: usize,
    files: usize,
    insertions: usize,
    deletions: usize,
}

impl LandedView {
    /// The documented form of a landing.
    pub fn of(zone: &str, branch: &str, landed: &Landed) -> Self {
        Self {
            format: FORMAT,
            kind: landed.kind,
            branch: branch.to_owned(),
            zone: zone.to_owned(),
            old: landed.old.to_string(),
            new: landed.new.to_string(),
            commits: landed.commits.len(),
            files: landed.stat.files,
            insertions: landed.stat.insertions,
            deletions: landed.stat.deletions,
        }
    }
}

impl View for LandedView {
    fn plain(&self) -> String {
        if self.old == self.new {
            return format!("{} had nothing that {} lacks\n", self.branch, self.zone);
        }
        let files = if self.files == 1 { "file" } else { "files" };
        let how = match self.kind {
            landing::Kind::FastForward => "fast-forward",
            landing::Kind::Merge => "merge",
            landing::Kind::Squash => "squash",
            landing::Kind::Already => "already there",
        };
        format!(
            "{} {}..{} ({how}, {} commits)\n {} {files} changed, +{} −{}\n",
            self.zone,
            &self.old[..9],
            &self.new[..9],
            self.commits,
            self.files,
            self.insertions,
            self.deletions
        )
    }
}

/// The diff stat as git prints it; empty if nothing differs.
///
/// # Errors
/// If git cannot compare.
pub fn diff_stat(diff: &git2::Diff<'_>) -> Result<String, git2::Error> {
    let stats = diff.stats()?;
    if stats.files_changed() == 0 {
        return Ok(String::new());
    }
    let text = stats.to_buf(git2::DiffStatsFormat::FULL, 78)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What happened in a task.
#[derive(Debug, Serialize)]
pub struct LogView {
    format: u32,
    task: TaskId,
    history: Vec<Transition>,
    events: Vec<Record>,
}

/// Reads one line of a transcript; `None` for what is no event.
pub fn log_line(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

impl LogView {
    /// The documented form of a task's log.
    pub fn new(task: &TaskId, history: &[u8], events: impl Iterator<Item = Record>) -> Self {
        let lines = history.split(|byte| *byte == b'\n');
        let history = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Self {
            format: FORMAT,
            task: task.clone(),
            history,
            events: events.collect(),
        }
    }
}

impl View for LogView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for step in &self.history {
            text.push_str(&format!("{:<11} {}\n", step.to, step.reason));
        }
        text.push('\n');
        for record in &self.events {
            text.push_str(&event_line(&record.event));
        }
        text
    }
}

/// One event as a person reads it; empty for what only machines need.
pub fn event_line(event: &brain::Event) -> String {
    match event {
        brain::Event::Message { text, delta, .. } => format!("{text}{}", if *delta { "" } else { "\n" }),
        brain::Event::Thinking { text } => format!("… {text}\n"),
        brain::Event::ToolCall { tool, input, .. } => format!("→ {tool} {input}\n"),
        brain::Event::ToolResult { tool, ok, .. } => format!("{} {tool}\n", if *ok { "✓" } else { "✗" }),
        brain::Event::Permission {
            tool,
            granted: false,
            reason,
            ..
        } => format!("✗ {tool} refused: {reason}\n"),
        brain::Event::RateLimit { message, .. } => format!("… rate limit: {message}\n"),
        brain::Event::Error { message, .. } => format!("✗ {message}\n"),
        brain::Event::Result { ok, .. } => format!("{}\n", if *ok { "✓ ended" } else { "✗ ended" }),
        brain::Event::Session { .. }
        | brain::Event::Permission { .. }
        | brain::Event::Usage { .. }
        | brain::Event::Unknown { .. } => String::new(),
    }
}

/// What is trusted on this machine.
#[derive(Debug, Serialize)]
pub struct TrustView {
    /// Version of the document.
    pub format: u32,
    /// The agreements.
    pub trusted: Vec<Grant>,
}

impl View for TrustView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for grant in &self.trusted {
            text.push_str(&format!("{}\n", grant.repository));
            for words in &grant.commands {
                text.push_str(&format!("  {}\n", in_shell(words)));
            }
        }
        text
    }
}

/// Brains.
#[derive(Debug, Serialize)]
pub struct BrainList {
    /// Version of the document.
    pub format: u32,
    /// The brains.
    pub brains: Vec<Readiness>,
}

impl View for BrainList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for brain in &self.brains {
            let state = match brain.state {
                State::Ready => "ready",
                State::Unknown => "installed, sign-in unknown",
                State::Missing => "not installed",
                State::SignedOut => "not signed in",
                State::Broken => "does not run",
            };
            let version = brain.version.clone().unwrap_or_default();
            table.row([
                format!("@{}", brain.name),
                state.to_owned(),
                version,
                brain.hint.clone().unwrap_or_default(),
            ]);
        }
        table.render()
    }
}
