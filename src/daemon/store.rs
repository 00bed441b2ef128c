//! What the daemon asks of the ledger.

use crate::task::{Event, Outcome, TaskId};

use super::{RpcError, plan::Known};

/// The ledger as the daemon sees it. The real one is [`super::ledger_store`]; tests have one in memory.
pub(crate) trait Store {
    /// Every task.
    fn scan(&mut self) -> Result<Vec<Known>, RpcError>;

    /// One task.
    fn find(&mut self, id: &TaskId) -> Result<Known, RpcError>;

    /// Stops a task: one that waits is cancelled at once, one that runs is told to stop.
    fn cancel(&mut self, id: &TaskId) -> Result<(), RpcError>;

    /// Moves a task by one event of its state machine, for a reason. A task that has moved on meanwhile is an
    /// [`super::Code::IllegalMove`], and no harm.
    fn apply(&mut self, id: &TaskId, step: Step) -> Result<(), RpcError>;

    /// Whether a process still holds one of the locks of the task's last attempt.
    fn is_attempt_held(&mut self, known: &Known) -> bool;
}

/// One move of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) event: Event,
    /// What to record as the outcome, for a task that this ends.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) reason: String,
}
