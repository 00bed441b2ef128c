//! What verbs answer that have nothing to show but that they did it: in the plain form a line on stderr says so.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    render::View,
    task::{CloneName, Status, Task, TaskId, ZoneId},
};

/// `cancel`, `resume`, `retry`: where the task is now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MovedView {
    /// The task.
    task: TaskId,
    /// Where it is in its life.
    status: Status,
}

impl From<&Task> for MovedView {
    fn from(task: &Task) -> Self {
        Self {
            task: task.id.clone(),
            status: task.status,
        }
    }
}

/// `update`: how the clone's branch moved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UpdatedView {
    /// The zone's id.
    pub zone: ZoneId,
    /// The zone's branch.
    pub branch: String,
    /// The clone.
    pub clone: CloneName,
    /// The clone's branch.
    pub clone_branch: String,
    /// The commit that it was at.
    pub from: String,
    /// The commit that it is at.
    pub to: String,
    /// The commits that were made anew, by their new ids.
    pub commits: Vec<String>,
    /// The number for `git khlone undo`; absent where nothing moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<u64>,
}

/// `trust`: whether what khlone.yml asks for is trusted now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrustedView {
    /// Whether it is.
    pub trusted: bool,
}

/// `daemon start`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StartedView {
    /// The daemon's process.
    pub pid: u32,
    /// Whether it ran before.
    pub already_running: bool,
}

/// `daemon start --all`: the repositories that have open tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StartedList {
    /// Each with its daemon.
    pub sites: Vec<StartedSite>,
}

/// A repository whose daemon runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StartedSite {
    /// The path of its main work tree, or of the bare repository.
    pub path: String,
    /// The daemon's process.
    pub pid: u32,
    /// Whether it ran before.
    pub already_running: bool,
}

/// `daemon install`, `daemon uninstall`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnitView {
    /// The path of the unit.
    pub path: String,
    /// Whether it is there now.
    pub installed: bool,
}

impl UnitView {
    /// The unit at `path`.
    pub fn of(path: &std::path::Path, installed: bool) -> Self {
        Self {
            path: path.display().to_string(),
            installed,
        }
    }
}

/// `daemon stop`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoppedView {
    /// Whether there was one.
    pub stopped: bool,
}

/// `daemon logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogLines {
    /// The last lines, the newest last.
    pub lines: Vec<String>,
}

/// `path`, `config --path`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PathView {
    /// The path.
    pub path: String,
}

impl View for PathView {
    fn plain(&self) -> String {
        format!("{}\n", self.path)
    }
}

impl View for LogLines {
    fn plain(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Nothing on stdout without `--json`.
macro_rules! silent {
    ($($view:ty),*) => {
        $(impl View for $view {
            fn plain(&self) -> String {
                String::new()
            }
        })*
    };
}

silent!(
    MovedView,
    UpdatedView,
    TrustedView,
    StartedView,
    StartedList,
    UnitView,
    StoppedView
);
