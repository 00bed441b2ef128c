//! What a redaction took out, and what still holds it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    guard::secrets::sanitise::strip,
    render::View,
    task::TaskId,
    upkeep::redaction::{Redacted, Remains},
};

/// What a redaction came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RedactedView {
    /// The task.
    task: TaskId,
    /// How many secrets of which kind; never the values.
    taken: BTreeMap<String, u64>,
    /// How many stored files were written anew.
    files_rewritten: usize,
    /// How many objects are gone.
    objects_removed: usize,
    /// The refs that were let go of.
    refs: Vec<String>,
    /// What still holds them.
    remains: Vec<Remains>,
}

impl RedactedView {
    /// The documented form of a redaction.
    pub fn of(task: TaskId, done: Redacted) -> Self {
        Self {
            task,
            taken: done.taken,
            files_rewritten: done.files,
            objects_removed: done.objects,
            refs: done.pins,
            remains: done.remains,
        }
    }
}

impl View for RedactedView {
    fn plain(&self) -> String {
        let counts: Vec<_> = self
            .taken
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let mut text = if counts.is_empty() {
            format!("{}: nothing to take out\n", self.task)
        } else {
            format!(
                "{}: took out {} from {} files; {} objects are gone\n",
                self.task,
                counts.join(", "),
                self.files_rewritten,
                self.objects_removed
            )
        };
        for pin in &self.refs {
            text.push_str(&format!("let go of {pin}\n"));
        }
        for left in &self.remains {
            let what = strip(left.what.as_bytes());
            text.push_str(&format!("✗ still in {what}\n  next: {}\n", left.next));
        }
        text
    }
}
