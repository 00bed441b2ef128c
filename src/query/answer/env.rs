//! What a brain got of the user's environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::{Task, TaskId};

/// The variables of a task's last attempt, by name; values are kept nowhere.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnvView {
    /// The task.
    pub task: TaskId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Names of the variables that its brain got.
    pub env_names: Vec<String>,
    /// Names of the user's variables that it did not get.
    pub env_dropped: Vec<String>,
}

impl EnvView {
    /// Those of the last attempt that has got so far; `None` if none has.
    pub fn of(task: &Task) -> Option<Self> {
        let attempt = task
            .attempts
            .iter()
            .rfind(|attempt| !attempt.env_names.is_empty())?;
        Some(Self {
            task: task.id.clone(),
            attempt: attempt.n,
            env_names: attempt.env_names.clone(),
            env_dropped: attempt.env_dropped.clone(),
        })
    }
}
