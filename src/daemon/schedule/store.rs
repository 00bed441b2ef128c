//! What the daemon asks of the ledger.

use std::sync::Arc;

use super::{plan::Known, settings::InForce};
use crate::{
    daemon::{
        RpcError,
        events::changes::Stood,
        server::{again::AgainParams, enqueue::EnqueueParams},
    },
    task::{How, Move, Outcome, TaskId},
    upkeep::retention::Keep,
    zone::Caller,
};

use serde_json::Value;

/// The ledger as the daemon sees it. The real one is [`super::ledger_store`]; tests have one in memory.
pub(crate) trait Store {
    /// Every task, in the order of ids. One that has not changed is the same one as at the last look.
    fn scan(&mut self) -> Result<Vec<Arc<Known>>, RpcError>;

    /// What all tasks and zones stand at.
    fn look(&mut self) -> Result<Stood, RpcError>;

    /// The limits in force, if they may be others than at the last call.
    fn limits(&mut self) -> Option<InForce>;

    /// The newest `most` tasks, as documents of a list.
    fn list(&mut self, most: usize) -> Result<Vec<Value>, RpcError>;

    /// All of one task: its document, prompt and history.
    fn show(&mut self, id: &TaskId) -> Result<Value, RpcError>;

    /// One task.
    fn find(&mut self, id: &TaskId) -> Result<Known, RpcError>;

    /// Queues a task, unless it is there; gives the first result either way.
    fn enqueue(&mut self, params: &EnqueueParams, by: Caller) -> Result<Value, RpcError>;

    /// Has a task tried once more.
    fn again(&mut self, params: &AgainParams, how: How) -> Result<Value, RpcError>;

    /// Stops a task: one that waits is cancelled at once, one that runs is told to stop.
    fn cancel(&mut self, id: &TaskId) -> Result<(), RpcError>;

    /// Tells the runner of a task that is being stopped once more.
    fn urge(&mut self, id: &TaskId) -> Result<(), RpcError>;

    /// Moves a task by one event of its state machine, for a reason. A task that has moved on meanwhile is an
    /// [`crate::daemon::Code::IllegalMove`], and no harm.
    fn apply(&mut self, id: &TaskId, step: Step) -> Result<(), RpcError>;

    /// Says until when a parked task waits.
    fn park_until(&mut self, id: &TaskId, until: i64) -> Result<(), RpcError>;

    /// Drops some finished tasks that need not be kept, from the `from`th that is due on; gives where to go on, if
    /// there are more.
    fn retain(&mut self, keep: Keep, now: i64, from: usize) -> Result<Option<usize>, RpcError>;

    /// Whether a process still holds one of the locks of the task's last attempt. What a dead one left in the run
    /// folder is removed.
    fn is_attempt_held(&mut self, known: &Known) -> bool;
}

/// One move of a task, and why it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) to: Move,
    pub(crate) reason: String,
}

impl Step {
    /// A move for a reason.
    pub(crate) fn of(to: Move, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { to, reason }
    }

    /// The end of a task that cannot be run.
    pub(crate) fn crash(reason: &str) -> Self {
        let (outcome, reasons) = (Outcome::Crashed, vec![reason.to_owned()]);
        Self::of(Move::Fail { outcome, reasons }, reason)
    }
}
