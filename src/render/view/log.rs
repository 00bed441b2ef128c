//! What happened in a task.

use serde::Serialize;

use super::super::View;
use crate::{
    brain::{self, Record},
    task::{FORMAT, TaskId, Transition},
};

/// What happened in a task.
#[derive(Debug, Serialize)]
pub struct LogView {
    format: u32,
    task: TaskId,
    history: Vec<Transition>,
    events: Vec<Record>,
}

/// Reads one line of a transcript; `None` for what is no event.
pub fn log_line(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

impl LogView {
    /// The documented form of a task's log.
    pub fn new(task: &TaskId, history: &[u8], events: impl Iterator<Item = Record>) -> Self {
        let lines = history.split(|byte| *byte == b'\n');
        let history = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Self {
            format: FORMAT,
            task: task.clone(),
            history,
            events: events.collect(),
        }
    }
}

impl View for LogView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for step in &self.history {
            text.push_str(&format!("{:<11} {}\n", step.to, step.reason));
        }
        text.push('\n');
        for record in &self.events {
            text.push_str(&event_line(&record.event));
        }
        text
    }
}

/// One event as a person reads it; empty for what only machines need.
pub fn event_line(event: &brain::Event) -> String {
    match event {
        brain::Event::Message { text, delta, .. } => format!("{text}{}", if *delta { "" } else { "\n" }),
        brain::Event::Thinking { text } => format!("… {text}\n"),
        brain::Event::ToolCall { tool, input, .. } => format!("→ {tool} {input}\n"),
        brain::Event::ToolResult { tool, ok, .. } => format!("{} {tool}\n", if *ok { "✓" } else { "✗" }),
        brain::Event::Permission {
            tool,
            granted: false,
            reason,
            ..
        } => format!("✗ {tool} refused: {reason}\n"),
        brain::Event::RateLimit { message, .. } => format!("… rate limit: {message}\n"),
        brain::Event::Error { message, .. } => format!("✗ {message}\n"),
        brain::Event::Result { ok, .. } => format!("{}\n", if *ok { "✓ ended" } else { "✗ ended" }),
        brain::Event::Session { .. }
        | brain::Event::Permission { .. }
        | brain::Event::Usage { .. }
        | brain::Event::Unknown { .. } => String::new(),
    }
}
