//! What happened in a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    brain::Record,
    task::{CloneName, Status, Task, TaskId, Transition},
};

/// What happened in a task.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// The task.
    pub task: TaskId,
    /// Who does it.
    pub clone: CloneName,
    /// Each step from one status to another.
    pub history: Vec<Step>,
    /// What its brain said and did, as `schema/event.json` has it.
    pub events: Vec<Record>,
}

/// A step from one status to another.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Seconds since the epoch.
    pub at: i64,
    /// The status before; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// What did it: `cli`, `daemon` or `runner`.
    pub by: String,
    /// How often the task had been claimed.
    pub generation: u64,
    /// Why; absent where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl From<Transition> for Step {
    fn from(made: Transition) -> Self {
        Self {
            at: made.time,
            from: made.from,
            to: made.to,
            by: made.by,
            generation: made.generation,
            reason: made.reason,
        }
    }
}

impl Step {
    /// The steps in a `history.jsonl`.
    pub fn all(history: &[u8]) -> Vec<Self> {
        let lines = history.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| serde_json::from_slice::<Transition>(line).ok())
            .map(Self::from)
            .collect()
    }
}

impl LogView {
    /// A task's log: its `history.jsonl`, and a transcript, of which what is no event is passed over.
    pub fn new(task: &Task, history: &[u8], transcript: &[u8]) -> Self {
        let lines = transcript.split(|byte| *byte == b'\n');
        Self {
            task: task.id.clone(),
            clone: task.clone.clone(),
            history: Step::all(history),
            events: lines
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect(),
        }
    }
}
