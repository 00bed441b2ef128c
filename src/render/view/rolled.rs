//! What a rollback did.

use serde::Serialize;

use crate::{
    render::{View, listed},
    task::{FORMAT, TaskId},
    upkeep::rollback::RolledBack,
};

/// `rollback`.
#[derive(Debug, Serialize)]
pub struct RolledBackView {
    format: u32,
    task: TaskId,
    /// The number for `undo`.
    undo: u64,
    /// Files that are as they were.
    restored: Vec<String>,
    /// Files that are gone again.
    removed: Vec<String>,
    /// Paths that could not be taken back, with the reason.
    kept: Vec<String>,
    /// Ignored paths that are not saved.
    lost: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<BranchLine>,
}

#[derive(Debug, Serialize)]
struct BranchLine {
    name: String,
    from: String,
    to: String,
}

impl From<RolledBack> for RolledBackView {
    fn from(rolled: RolledBack) -> Self {
        let kept = rolled.files.kept.iter();
        Self {
            format: FORMAT,
            task: rolled.task,
            undo: rolled.undo,
            kept: kept.map(|left| format!("{}: {}", left.path, left.why)).collect(),
            restored: rolled.files.written,
            removed: rolled.files.removed,
            lost: rolled.lost,
            branch: rolled.branch.map(|(name, from, to)| BranchLine {
                name,
                from: from.to_string(),
                to: to.to_string(),
            }),
        }
    }
}

impl View for RolledBackView {
    fn plain(&self) -> String {
        let mut text = format!("rolled back {}\n", self.task);
        if let Some(branch) = &self.branch {
            let short = |oid: &str| oid.chars().take(10).collect::<String>();
            text.push_str(&format!(
                "  branch {} {} → {}\n",
                branch.name,
                short(&branch.from),
                short(&branch.to)
            ));
        }
        for (word, paths) in [
            ("restored", &self.restored),
            ("removed", &self.removed),
            ("left", &self.kept),
        ] {
            text.push_str(&listed(word, paths));
        }
        text
    }
}
