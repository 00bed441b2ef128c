//! What landed.

use serde::Serialize;

use crate::{
    delivery::landing::{self, Landed},
    render::View,
    task::FORMAT,
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
        let commits = if self.commits == 1 { "commit" } else { "commits" };
        let how = match self.kind {
            landing::Kind::FastForward => "fast-forward",
            landing::Kind::Merge => "merge",
            landing::Kind::Squash => "squash",
            landing::Kind::Already => "already there",
        };
        format!(
            "{} {}..{} ({how}, {} {commits})\n {} {files} changed, +{} −{}\n",
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
