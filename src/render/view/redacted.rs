//! What a redaction took out, and what still holds it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    guard::secrets::sanitise::strip,
    render::View,
    task::{FORMAT, TaskId},
    upkeep::redaction::{Redacted, Remains},
};

/// What a redaction came to.
#[derive(Debug, Serialize)]
pub struct RedactedView {
    format: u32,
    task: TaskId,
    /// How many secrets of which kind; never the values.
    taken: BTreeMap<String, u64>,
    files: usize,
    objects: usize,
    pins: Vec<String>,
    remains: Vec<Remains>,
}

impl RedactedView {
    /// The documented form of a redaction.
    pub fn of(task: TaskId, done: Redacted) -> Self {
        Self {
            format: FORMAT,
            task,
            taken: done.taken,
            files: done.files,
            objects: done.objects,
            pins: done.pins,
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
                self.files,
                self.objects
            )
        };
        for pin in &self.pins {
            text.push_str(&format!("let go of {pin}\n"));
        }
        for left in &self.remains {
            let what = strip(left.what.as_bytes());
            text.push_str(&format!("✗ still in {what}\n  next: {}\n", left.next));
        }
        text
    }
}
