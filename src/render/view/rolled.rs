//! What a rollback did.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    render::{View, listed},
    task::TaskId,
    upkeep::rollback::RolledBack,
};

/// `rollback`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RolledBackView {
    /// The task.
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
    /// How the clone's branch moved; absent where it stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<MovedBranch>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MovedBranch {
    /// The clone's branch.
    clone_branch: String,
    /// The commit that it was at.
    from: String,
    /// The commit that it is at.
    to: String,
}

impl From<RolledBack> for RolledBackView {
    fn from(rolled: RolledBack) -> Self {
        let kept = rolled.files.kept.iter();
        Self {
            task: rolled.task,
            undo: rolled.undo,
            kept: kept.map(|left| format!("{}: {}", left.path, left.why)).collect(),
            restored: rolled.files.written,
            removed: rolled.files.removed,
            lost: rolled.lost,
            moved: rolled.branch.map(|(clone_branch, from, to)| MovedBranch {
                clone_branch,
                from: from.to_string(),
                to: to.to_string(),
            }),
        }
    }
}

impl View for RolledBackView {
    fn plain(&self) -> String {
        let mut text = format!("rolled back {}\n", self.task);
        if let Some(branch) = &self.moved {
            let short = |oid: &str| oid.chars().take(10).collect::<String>();
            text.push_str(&format!(
                "  branch {} {} → {}\n",
                branch.clone_branch,
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
