//! The status of a site: what needs you, what runs with its live figures, what waits and for what, the crew, and what
//! it costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::is_none,
    crew::CrewLine,
    list::{NeedsLine, TaskLine},
};
use crate::{
    brain::{Figures, HeldUp, Readiness},
    refs::{Damaged, Whose},
    task::{Attempt, Usage},
    worktree::disk::Disk,
    zone::{Waits, owners::Holding},
};

/// The status of a site on one screen.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
    /// How many tasks the site's folder remembers, where no ref of git-khlone's is left.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost_tasks: usize,
    /// How many tasks are stored, those that are over among them.
    #[serde(default)]
    pub stored_tasks: usize,
    /// Sites whose unfinished tasks do not run here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_sites: Vec<StrangerLine>,
    /// The brains; only where there is no clone yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brains: Vec<Readiness>,
}

/// A task that runs, with its attempt's figures so far.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunningLine {
    /// Which.
    #[serde(flatten)]
    pub task: TaskLine,
    /// The attempt under way, from 1.
    pub attempt: u32,
    /// Seconds since the epoch; `null` if unknown.
    pub started: Option<i64>,
    /// Seconds since then.
    pub elapsed: Option<i64>,
    /// How many tools it called.
    pub tool_calls: u64,
    /// How many files its tools named, a thousand at most.
    pub files_touched: usize,
    /// The last line that it said; `null` before there is one.
    pub last_said: Option<String>,
    /// What holds it up, inside the brain; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_up: Option<HeldUp>,
    /// Tokens of this attempt.
    pub usage: Usage,
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
}

/// A task that waits, and what for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WaitingLine {
    /// Which.
    #[serde(flatten)]
    pub task: TaskLine,
    /// `null` between two attempts.
    pub waits: Option<Waits>,
    /// What its last attempt came to, in words; absent before there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
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
}

/// A site whose tasks wait here and do not run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StrangerLine {
    /// Its id.
    pub site: String,
    /// What it is to this site.
    pub whose: Whose,
    /// How many of its tasks are not over.
    pub unfinished: usize,
    /// The next step.
    pub next: String,
}

impl StrangerLine {
    /// The line of a site that is not this one.
    pub fn of(holding: &Holding) -> Self {
        Self {
            site: holding.owner.site_uuid.clone(),
            whose: holding.whose,
            unfinished: holding.unfinished(),
            next: holding.adopting().unwrap_or_default(),
        }
    }
}
