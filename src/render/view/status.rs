//! The status of a site on one screen: what needs you first, then what runs with its live figures, what waits and
//! for what, the crew, and what it costs.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Table, View, bytes, cut, elapsed, money, one_line, terminal::columns, waits},
    crew::CrewLine,
    doctor::brain_table,
    indent_by,
    needs::{self, NeedsLine},
    sites::StrangerLine,
    task::{TaskLine, row},
};

use crate::{
    brain::{Figures, HeldUp, Readiness, State, TRIAL, Trouble},
    refs::Damaged,
    task::{Attempt, Usage},
    worktree::disk::Disk,
    zone::Waits,
};

/// The status of a site on one screen.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusView {
    /// What needs a person, the most urgent first.
    pub needs_you: Vec<NeedsLine>,
    /// Running now.
    pub running: Vec<RunningLine>,
    /// Queued, parked, or between two attempts.
    pub waiting: Vec<WaitingLine>,
    /// The clones.
    pub crew: Vec<CrewLine>,
    /// US dollars of today's attempts, as their brains say; `null` if none said.
    pub cost_today: Option<f64>,
    /// What worktrees and local state take.
    pub disk: Disk,
    /// Refs of tasks and zones that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
    /// How many tasks the site's folder remembers, where no ref of git-khlone's is left.
    #[serde(skip_serializing_if = "is_none")]
    pub lost_tasks: usize,
    /// Sites whose unfinished tasks do not run here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_sites: Vec<StrangerLine>,
    /// The brains; only where there is no clone yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brains: Vec<Readiness>,
}

/// A task that runs, with its attempt's figures so far.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunningLine {
    #[serde(flatten)]
    task: TaskLine,
    /// The attempt under way, from 1.
    attempt: u32,
    /// Seconds since the epoch; `null` if unknown.
    started: Option<i64>,
    /// Seconds since then.
    elapsed: Option<i64>,
    /// How many tools it called.
    tool_calls: u64,
    /// How many files its tools named, a thousand at most.
    files_touched: usize,
    /// The last line that it said; `null` before there is one.
    last_said: Option<String>,
    /// What holds it up, inside the brain; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_up: Option<HeldUp>,
    /// Tokens of this attempt.
    usage: Usage,
    /// US dollars of this attempt; `null` if unknown.
    pub cost: Option<f64>,
}

impl RunningLine {
    /// The line of a task and its attempt under way.
    pub fn new(task: TaskLine, attempt: Option<&Attempt>, figures: &Figures, now: i64) -> Self {
        let started = attempt.and_then(|attempt| attempt.started);
        Self {
            task,
            attempt: attempt.map_or(0, |attempt| attempt.n),
            started,
            elapsed: started.map(|started| now.saturating_sub(started).max(0)),
            tool_calls: figures.tools,
            files_touched: figures.files.len(),
            last_said: Some(figures.last().to_owned()).filter(|last| !last.is_empty()),
            held_up: figures.held_up.clone(),
            usage: figures.usage.clone(),
            cost: figures.cost,
        }
    }

    fn figures(&self) -> String {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let tools = usize::try_from(self.tool_calls).unwrap_or(usize::MAX);
        let mut parts = vec![count(tools, "tool"), count(self.files_touched, "file")];
        if self.attempt > 1 {
            parts.insert(0, format!("attempt {}", self.attempt));
        }
        parts.extend(self.held_up.as_ref().map(|held| {
            let what = if held.by == Trouble::Limit {
                "at a limit"
            } else {
                "cannot reach its provider"
            };
            format!("{what}, try {}", held.tries)
        }));
        parts.extend(self.cost.map(money));
        parts.extend(self.last_said.as_deref().map(one_line));
        parts.join(" · ")
    }
}

/// A task that waits, and what for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WaitingLine {
    #[serde(flatten)]
    task: TaskLine,
    /// `null` between two attempts.
    waits: Option<Waits>,
    /// What its last attempt came to, in words; absent before there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl WaitingLine {
    /// The line of a task that waits.
    pub fn new(task: TaskLine, waits: Option<Waits>, reasons: &[String]) -> Self {
        Self {
            task,
            waits,
            reasons: reasons.to_vec(),
        }
    }

    fn why(&self) -> String {
        let mut parts: Vec<_> = self.waits.iter().map(waits).collect();
        parts.extend(self.reasons.iter().map(|reason| one_line(reason)));
        parts.join(" · ")
    }
}

/// So many lines of a part of the status.
const PART: usize = 6;
/// So many clones.
const CREW: usize = 16;
/// Less disk than this is not worth a line.
const WORTH_TELLING: u64 = 100 << 20;
/// What stands before a second line.
const BELOW: &str = "         ";

impl View for StatusView {
    fn plain(&self) -> String {
        let damaged = self.damage();
        if self.crew.is_empty() && damaged.is_empty() {
            return format!(
                "{}\nbrains\n{}",
                examples(&self.brains),
                indent_by(&brain_table(&self.brains), "  ")
            );
        }
        let running = self.running.iter().map(|line| {
            let since = line.elapsed.map_or_else(|| line.task.since(), elapsed);
            (&line.task, since, line.figures())
        });
        let waiting = self
            .waiting
            .iter()
            .map(|line| (&line.task, line.task.since(), line.why()));
        let strangers = self.other_sites.iter();
        let strangers = strangers.map(|line| format!("✗ {}\n  next: {}\n", line.what(), line.next));
        let mut text: String = strangers.collect();
        text.push_str(&damaged);
        text.push_str(&self.needs_part());
        text.push_str(&part("under way", running));
        text.push_str(&part("waiting", waiting));
        text.push_str("crew\n");
        text.push_str(&self.crew_table());
        let disk = Some(self.disk.bytes)
            .filter(|bytes| *bytes >= WORTH_TELLING)
            .map(|count| {
                let over = if self.disk.complete { "" } else { "over " };
                format!("disk {over}{}", bytes(count))
            });
        let today = self.cost_today.map(|cost| format!("today {}", money(cost)));
        let last: Vec<_> = today.into_iter().chain(disk).collect();
        if !last.is_empty() {
            text.push_str(&format!("{}\n", last.join(" · ")));
        }
        text
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A damaged ref, with what can be done.
pub fn damage(damaged: &Damaged) -> String {
    format!(
        "✗ {} cannot be read: {}\n  next: {}\n",
        damaged.name, damaged.what, damaged.next
    )
}

impl StatusView {
    fn needs_part(&self) -> String {
        if self.needs_you.is_empty() {
            return String::new();
        }
        let shown = needs::lines(self.needs_you.iter().take(PART));
        format!("needs you\n{shown}{}", more(self.needs_you.len(), "needs"))
    }

    /// What cannot be read, and what is gone.
    fn damage(&self) -> String {
        let mut text: String = self.damaged.iter().map(damage).collect();
        if self.lost_tasks > 0 {
            text.push_str(&format!(
                "✗ the refs of git-khlone are gone, and {} of its tasks are remembered: a fetch with --prune into a mirror \
                 deletes them\n  next: git fetch COPY 'refs/khlone/*:refs/khlone/*'\n",
                self.lost_tasks
            ));
        }
        text
    }

    /// The clones, those that do something first.
    fn crew_table(&self) -> String {
        let mut crew: Vec<_> = self.crew.iter().collect();
        if crew.len() > CREW {
            crew.sort_by_key(|clone| (clone.task.is_none(), clone.queued == 0));
        }
        let several = self.crew.iter().any(|clone| clone.zone != self.crew[0].zone);
        let mut table = Table::default();
        for clone in crew.iter().take(CREW) {
            table.row([
                clone.shown(several),
                format!("@{}", clone.brain),
                clone.doing(),
                clone.standing(),
            ]);
        }
        let mut text = table.render_below("  ");
        if crew.len() > CREW {
            text.push_str(&format!("  … {} more: git khlone list crew\n", crew.len() - CREW));
        }
        text
    }
}

/// What is left out of a part.
fn more(count: usize, list: &str) -> String {
    match count.saturating_sub(PART) {
        0 => String::new(),
        more => format!("  … {more} more: git khlone list {list}\n"),
    }
}

/// A part of the status: its tasks, each with what there is to say of it below.
fn part<'a>(name: &str, tasks: impl ExactSizeIterator<Item = (&'a TaskLine, String, String)>) -> String {
    let count = tasks.len();
    if count == 0 {
        return String::new();
    }
    let (mut table, mut below) = (Table::default(), Vec::new());
    for (task, since, more) in tasks.take(PART) {
        let mut cells = row(task);
        cells[3].0 = since;
        table.styled(cells);
        below.push(more);
    }
    let mut text = format!("{name}\n");
    for (line, more) in table.render_below("  ").lines().zip(below) {
        text.push_str(&format!("{line}\n"));
        if !more.is_empty() {
            text.push_str(&format!("{}\n", cut(&format!("{BELOW}{more}"), columns())));
        }
    }
    text.push_str(&more(count, "tasks"));
    text
}

/// What there is to say where there is nothing yet: what works here comes first.
fn examples(brains: &[Readiness]) -> String {
    let works =
        |line: &Readiness| line.name != "shell" && matches!(line.state, State::Ready | State::Unknown);
    let trial = format!("  {TRIAL}\n");
    if brains.iter().any(works) {
        format!("No tasks here yet. For example:\n\n{EXAMPLES}{trial}")
    } else {
        format!(
            "No tasks here yet, and no coding CLI that could do one: the commands below\n\
             install it or sign in. Without any, a prompt may be a shell script:\n\n{trial}\nWith one, for example:\n\n{EXAMPLES}"
        )
    }
}

const EXAMPLES: &str = "  git khlone act \"add a test for the parser\"      # in the background
  git khlone ask \"what does this project do?\" --await
";

#[cfg(test)]
mod tests;
