//! What `audit` prints: one document, the same for people and programs.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    query::{Document, Step},
    render::{View, plain_json},
    task::{Attempt, Effects, Task, TaskId},
};

/// All that is recorded of a task.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditView {
    /// The task.
    pub task: TaskId,
    /// Its document, but for its attempts.
    pub document: Task,
    /// What was asked.
    pub prompt: String,
    /// Each move from one state to another.
    pub history: Vec<Step>,
    /// Each attempt, with what it could reach and what it did.
    pub attempts: Vec<AuditedAttempt>,
    /// The commits that it made.
    pub commits: Vec<SignedCommit>,
    /// The commits that its landing made, the last of which the zone's branch went to.
    pub landed_commits: Vec<SignedCommit>,
    /// The ref of the record.
    pub reference: String,
    /// The object of the record, whose id covers all of it.
    pub object: Option<String>,
}

/// One attempt.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditedAttempt {
    /// Its tier, network, command line, variables, times and costs.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// What changed in its worktree, in the refs, and elsewhere.
    #[schemars(with = "Option<Effects>")]
    pub effects: Option<Value>,
}

/// A commit, with git's word on its signature.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SignedCommit {
    /// Its id.
    pub commit: String,
    /// Git's letter: `G` good, `B` bad, `U` of unknown validity, `E` cannot be checked, `N` none.
    pub signature: Option<String>,
    /// Who signed it.
    pub signed_by: Option<String>,
    /// With which key.
    pub key: Option<String>,
    /// Who made it, by its own word.
    pub author: Option<String>,
}

impl View for AuditView {
    fn plain(&self) -> String {
        let text = serde_json::to_string_pretty(&Document::of(self)).unwrap_or_default();
        format!("{}\n", plain_json(&text))
    }
}
