//! What landed.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    delivery::landing::{self, Landed},
    refs::TaskHead,
    render::{View, one_line},
    task::{CloneName, TaskId, ZoneId},
};

/// What landed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LandedView {
    /// How it landed.
    kind: landing::Kind,
    /// The zone's id.
    zone: ZoneId,
    /// The zone's branch, which moved.
    branch: String,
    /// The branch that landed.
    clone_branch: String,
    /// The commit that the zone's branch was at.
    from: String,
    /// The commit that it is at.
    to: String,
    /// The commits that the zone's branch has more.
    commits: Vec<String>,
    /// How many files changed.
    files_changed: usize,
    /// Lines added.
    insertions: usize,
    /// Lines taken away.
    deletions: usize,
    /// The tasks whose work landed.
    tasks: Vec<TaskLine>,
    /// The number for `git khlone undo`; absent where nothing moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TaskLine {
    /// Its id.
    task: TaskId,
    /// Who did it.
    clone: CloneName,
    /// The first line of its prompt.
    title: String,
}

impl LandedView {
    /// The documented form of a landing.
    pub fn of(branch: &str, clone_branch: &str, landed: &Landed, heads: &[TaskHead]) -> Self {
        let tasks = heads.iter().filter(|head| landed.tasks.contains(&head.id));
        Self {
            kind: landed.kind,
            zone: ZoneId::of_branch(branch),
            branch: branch.to_owned(),
            clone_branch: clone_branch.to_owned(),
            from: landed.old.to_string(),
            to: landed.new.to_string(),
            commits: landed.commits.iter().map(ToString::to_string).collect(),
            files_changed: landed.stat.files,
            insertions: landed.stat.insertions,
            deletions: landed.stat.deletions,
            tasks: tasks
                .map(|head| TaskLine {
                    task: head.id.clone(),
                    clone: head.clone.clone(),
                    title: head.title.clone(),
                })
                .collect(),
            undo: landed.undo,
        }
    }
}

impl View for LandedView {
    fn plain(&self) -> String {
        if self.from == self.to {
            return format!(
                "already landed: {} has all of {}\n",
                self.branch, self.clone_branch
            );
        }
        let files = if self.files_changed == 1 { "file" } else { "files" };
        let commits = if self.commits.len() == 1 {
            "commit"
        } else {
            "commits"
        };
        let how = match self.kind {
            landing::Kind::FastForward => "fast-forward",
            landing::Kind::Merge => "merge",
            landing::Kind::Squash => "squash",
            landing::Kind::Rebase => "rebase",
            landing::Kind::Already => "already there",
        };
        let mut text = format!(
            "{} {}..{} ({how}, {} {commits})\n",
            self.branch,
            &self.from[..9],
            &self.to[..9],
            self.commits.len(),
        );
        for task in &self.tasks {
            let _ = writeln!(text, " {} ({}): {}", task.task, task.clone, one_line(&task.title));
        }
        let _ = writeln!(
            text,
            " {} {files} changed, +{} −{}",
            self.files_changed, self.insertions, self.deletions
        );
        text
    }
}
