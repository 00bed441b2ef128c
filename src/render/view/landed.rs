//! What landed.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    delivery::landing::{self, Landed},
    refs::TaskHead,
    render::{View, one_line},
    task::{CloneName, FORMAT, TaskId},
};

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
    tasks: Vec<TaskLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TaskLine {
    id: TaskId,
    clone: CloneName,
    title: String,
}

impl LandedView {
    /// The documented form of a landing.
    pub fn of(zone: &str, branch: &str, landed: &Landed, heads: &[TaskHead]) -> Self {
        let tasks = heads.iter().filter(|head| landed.tasks.contains(&head.id));
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
            tasks: tasks
                .map(|head| TaskLine {
                    id: head.id.clone(),
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
        if self.old == self.new {
            return format!("{} had nothing that {} lacks\n", self.branch, self.zone);
        }
        let files = if self.files == 1 { "file" } else { "files" };
        let commits = if self.commits == 1 { "commit" } else { "commits" };
        let how = match self.kind {
            landing::Kind::FastForward => "fast-forward",
            landing::Kind::Merge => "merge",
            landing::Kind::Squash => "squash",
            landing::Kind::Rebase => "rebase",
            landing::Kind::Already => "already there",
        };
        let mut text = format!(
            "{} {}..{} ({how}, {} {commits})\n",
            self.zone,
            &self.old[..9],
            &self.new[..9],
            self.commits,
        );
        for task in &self.tasks {
            let _ = writeln!(text, " {} ({}): {}", task.id, task.clone, one_line(&task.title));
        }
        let _ = writeln!(
            text,
            " {} {files} changed, +{} −{}",
            self.files, self.insertions, self.deletions
        );
        text
    }
}
