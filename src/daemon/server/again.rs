//! The methods `resume` and `retry`: a task is tried once more, as the verbs of the command line do it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::Paths,
    daemon::{Code, RpcError, Standing, client::lift::lift},
    refs::Ledger,
    task::{How, Status, TaskId},
    upkeep::rollback::rollback,
    zone::again::{AgainError, again, has_clone},
};

/// Who asks, in a task's history.
const BY: &str = "daemon";

/// The parameters of `retry`; those of `resume` have no `fresh`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgainParams {
    pub(crate) task: TaskId,
    /// Take back first what it did.
    #[serde(default)]
    pub(crate) fresh: bool,
}

/// Has the task tried once more; the answer says how it stands, and the number under which what `fresh` took back is
/// saved.
pub(crate) fn try_again(
    ledger: &Ledger<'_>,
    paths: &Paths,
    params: &AgainParams,
    how: How,
) -> Result<Value, RpcError> {
    let stored = ledger.task(&params.task)?;
    let task = &stored.task;
    let has_run = matches!(
        task.status,
        Status::Parked | Status::Interrupted | Status::Failed | Status::Cancelled
    ) && !task.attempts.is_empty();
    let rolled = if params.fresh && has_run {
        has_clone(ledger, task).map_err(|error| of_again(&error))?;
        Some(rollback(ledger, &stored, "retry --fresh").map_err(|error| RpcError::of(&error))?)
    } else {
        None
    };
    if task.status == Status::Parked {
        lift(ledger, paths, task, BY)?;
    }
    let words = match how {
        How::Resume => "resumed",
        How::Retry => "tried anew",
    };
    let moved = again(ledger, &task.id, how, (BY, words)).map_err(|error| of_again(&error))?;
    let mut answer = json!(Standing {
        task: moved.task.id.clone(),
        status: moved.task.status,
        outcome: moved.task.outcome,
    });
    if let (Some(rolled), Some(fields)) = (rolled, answer.as_object_mut()) {
        fields.insert("undo".to_owned(), json!(rolled.undo));
    }
    Ok(answer)
}

fn of_again(error: &AgainError) -> RpcError {
    match error {
        AgainError::Ledger(_) | AgainError::Owner(_) | AgainError::NoClone(..) => RpcError::of(error),
        AgainError::Done(_) | AgainError::UnderWay(..) | AgainError::Skipped(_) => {
            RpcError::coded(error, Code::IllegalMove)
        }
    }
}
