//! What happened in a task.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::{Story, Stream, View, clock, one_line};
use crate::{
    brain::Record,
    task::{CloneName, Status, Task, TaskId, Transition},
};

/// What happened in a task.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogView {
    /// The task.
    task: TaskId,
    /// Who does it.
    clone: CloneName,
    /// Each step from one status to another.
    history: Vec<Step>,
    /// What its brain said and did, as `schema/event.json` has it.
    events: Vec<Record>,
}

/// A step from one status to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    /// Seconds since the epoch.
    at: i64,
    /// The status before; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Status>,
    /// The status after.
    to: Status,
    /// What did it: `cli`, `daemon` or `runner`.
    by: String,
    /// How often the task had been claimed.
    generation: u64,
    /// Why; absent where there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
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

/// Reads one line of a transcript; `None` for what is no event.
pub fn log_line(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

impl Step {
    /// Whether its reason is the status's own word, or what the next step says anyhow: that of `finishing` is the
    /// outcome.
    fn adds_nothing(&self, next: Option<&Self>) -> bool {
        let reason = self.reason.as_str();
        let follows = |next: &Self| next.to.as_str() == reason || next.reason == reason;
        reason.is_empty() || reason == self.to.as_str() || next.is_some_and(follows)
    }

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
    /// The documented form of a task's log.
    pub fn new(task: &Task, history: &[u8], events: impl Iterator<Item = Record>) -> Self {
        Self {
            task: task.id.clone(),
            clone: task.clone.clone(),
            history: Step::all(history),
            events: events.collect(),
        }
    }
}

impl View for LogView {
    fn plain(&self) -> String {
        let (mut text, zone) = (String::new(), TimeZone::system());
        for (n, step) in self.history.iter().enumerate() {
            let time = clock(step.at.saturating_mul(1000), &zone);
            let state = step.to.as_str();
            let line = if step.adds_nothing(self.history.get(n + 1)) {
                format!("{time}  {state}")
            } else {
                format!("{time}  {state:<11} {}", one_line(&step.reason))
            };
            text.push_str(&format!("{line}\n"));
        }
        text.push('\n');
        let mut story = Story::new(self.clone.to_string(), Stream::Stdout.width(), TimeZone::system());
        for record in &self.events {
            text.push_str(&story.tell(record));
        }
        text.push_str(&story.finish());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_once() {
        let step = |to, reason: &str| Step {
            at: 0,
            from: None,
            to,
            by: "runner".to_owned(),
            generation: 1,
            reason: reason.to_owned(),
        };
        for (finishing, end, adds) in [
            ("failed", step(Status::Failed, "failed"), false),
            ("no-op", step(Status::Done, "no-op"), false),
            ("timeout", step(Status::Failed, "timeout"), false),
            ("done", step(Status::Failed, "diverged"), true),
        ] {
            let before = step(Status::Finishing, finishing);
            assert_eq!(before.adds_nothing(Some(&end)), !adds, "{finishing}");
        }
        // One whose runner died there has said no more.
        assert!(!step(Status::Finishing, "failed").adds_nothing(None));
        assert!(!step(Status::Parked, "until 12:30").adds_nothing(Some(&step(Status::Queued, ""))));
    }
}
