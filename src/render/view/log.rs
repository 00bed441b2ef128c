//! What happened in a task.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::super::{Story, Stream, View, clock, one_line};
use crate::{
    brain::Record,
    task::{CloneName, FORMAT, Task, TaskId, Transition},
};

/// What happened in a task.
#[derive(Debug, Serialize)]
pub struct LogView {
    format: u32,
    task: TaskId,
    clone: CloneName,
    history: Vec<Transition>,
    events: Vec<Record>,
}

/// Reads one line of a transcript; `None` for what is no event.
pub fn log_line(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

impl LogView {
    /// The documented form of a task's log.
    pub fn new(task: &Task, history: &[u8], events: impl Iterator<Item = Record>) -> Self {
        let lines = history.split(|byte| *byte == b'\n');
        let history = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Self {
            format: FORMAT,
            task: task.id.clone(),
            clone: task.clone.clone(),
            history,
            events: events.collect(),
        }
    }
}

impl View for LogView {
    fn plain(&self) -> String {
        let (mut text, zone) = (String::new(), TimeZone::system());
        for step in &self.history {
            let time = clock(step.time.saturating_mul(1000), &zone);
            let state = step.to.as_str();
            let line = match step.reason.as_str() {
                reason if reason.is_empty() || reason == state => format!("{time}  {state}"),
                reason => format!("{time}  {state:<11} {}", one_line(reason)),
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
