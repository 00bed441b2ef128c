//! What a brain got of the user's environment.

use serde::Serialize;

use super::super::View;
use crate::task::{FORMAT, Task, TaskId};

/// The variables of a task's last attempt, by name; values are kept nowhere.
#[derive(Debug, Serialize)]
pub struct EnvView {
    format: u32,
    task: TaskId,
    attempt: u32,
    passed: Vec<String>,
    dropped: Vec<String>,
}

impl EnvView {
    /// Those of the last attempt that has got so far; `None` if none has.
    pub fn of(task: &Task) -> Option<Self> {
        let attempt = task
            .attempts
            .iter()
            .rfind(|attempt| !attempt.env_names.is_empty())?;
        Some(Self {
            format: FORMAT,
            task: task.id.clone(),
            attempt: attempt.n,
            passed: attempt.env_names.clone(),
            dropped: attempt.env_dropped.clone(),
        })
    }
}

impl View for EnvView {
    fn plain(&self) -> String {
        let passed = self.passed.iter().map(|name| format!("passed   {name}\n"));
        let dropped = self.dropped.iter().map(|name| format!("dropped  {name}\n"));
        passed.chain(dropped).collect()
    }
}
