//! What verbs answer that have nothing to show but that they did it: in the plain form a line on stderr says so.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    render::{View, counted},
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

/// `uninstall`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UninstalledView {
    /// The file that everything stored went into, if anything was.
    pub bundle: Option<String>,
    /// The folder of what no bundle can hold, repositories inside of worktrees and the like, if there was any.
    pub apart: Option<String>,
    /// How many tasks were stored.
    pub stored_tasks: usize,
    /// Branches of clones that stay.
    pub branches: Vec<String>,
}

impl UninstalledView {
    /// What went.
    pub fn of(gone: crate::upkeep::uninstall::Uninstalled) -> Self {
        let text = |path: std::path::PathBuf| path.display().to_string();
        Self {
            bundle: gone.bundle.map(text),
            apart: gone.apart.map(text),
            stored_tasks: gone.tasks,
            branches: gone.branches,
        }
    }
}

impl View for UninstalledView {
    fn plain(&self) -> String {
        let mut text = match &self.bundle {
            Some(bundle) => {
                let tasks = counted(self.stored_tasks, "task");
                format!("{tasks} and all that belongs to the clones: {bundle}\n")
            }
            None => "nothing was stored here\n".to_owned(),
        };
        if let Some(apart) = &self.apart {
            text.push_str(&format!("what no bundle can hold: {apart}\n"));
        }
        for branch in &self.branches {
            text.push_str(&format!("branch {branch} stays\n"));
        }
        text
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
