//! An order: what a caller wants to be done. The command line and the daemon's `enqueue` make it, and
//! [`submit`](super::Admitted::submit) queues it.

use crate::{
    refs::Oid,
    task::{Mode, Task, TaskId, TaskPrefix, Who},
};

/// What a caller wants.
#[derive(Debug)]
pub struct Order<'a> {
    /// The task's id.
    pub id: TaskId,
    /// What it may do.
    pub mode: Mode,
    /// The whole prompt.
    pub prompt: String,
    /// Who does it; the hero if nobody is named.
    pub who: Option<&'a Who>,
    /// The brain's model.
    pub model: Option<String>,
    /// Where in the queue it stands.
    pub rank: Rank,
    /// Tasks that must be done before.
    pub after: &'a [TaskPrefix],
    /// The task whose question it answers.
    pub reply_to: Option<TaskId>,
    /// The tree of uncommitted files to start from.
    pub with_changes: Option<Oid>,
    /// The folder that the brain starts in, relative to the top.
    pub folder: Option<String>,
    /// A new session of the brain.
    pub new_session: bool,
}

impl<'a> Order<'a> {
    /// The answer to a task, by the clone that has asked: as the same sort of task, before those that wait.
    pub fn reply(asked: &Task, who: &'a Who, id: TaskId, prompt: String) -> Self {
        Self {
            id,
            mode: asked.mode,
            prompt,
            who: Some(who),
            model: asked.model.clone(),
            rank: Rank::First,
            after: &[],
            reply_to: Some(asked.id.clone()),
            with_changes: None,
            folder: asked.folder.clone(),
            new_session: false,
        }
    }
}

/// The clone that did a task.
pub fn clone_of(task: &Task) -> Who {
    Who {
        role: Some(task.clone.role.clone()),
        number: Some(task.clone.number),
        ..Who::default()
    }
}

/// Where in its clone's queue a task stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rank {
    /// In the order of arrival.
    #[default]
    Arrival,
    /// Before all that wait.
    First,
    /// Before even those: it takes the place of the one under way.
    Disrupt,
}

/// The `priority` of a task that takes the place of the one under way.
pub const DISRUPTS: i32 = 2;

impl Rank {
    /// Of a task that takes the place of the one under way, or goes before those that wait.
    pub fn of(disrupts: bool, first: bool) -> Self {
        match (disrupts, first) {
            (true, _) => Self::Disrupt,
            (_, true) => Self::First,
            _ => Self::Arrival,
        }
    }

    /// The task's `priority`.
    pub(super) fn priority(self) -> i32 {
        match self {
            Self::Arrival => 0,
            Self::First => 1,
            Self::Disrupt => DISRUPTS,
        }
    }
}
