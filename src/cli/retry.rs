//! `git khlone retry`: a task that died, failed or was cancelled is tried anew.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
    rollback, target, wait,
};
use crate::{
    daemon,
    render::view::MovedView,
    task::{How, Status, Task},
    zone::again::{again, has_clone},
};

/// Try a task anew that died, failed, was cancelled or waits for a limit
///
/// One that waits for a limit (parked) is tried now, and its provider counts as free again. Otherwise in a new session of the brain, with the work tree as it stands, or with --fresh as it was before the task.
#[derive(Args, Debug)]
pub(super) struct RetryArgs {
    /// Task to try, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
    /// Take back first what it did; git khlone undo brings that back
    #[arg(long)]
    fresh: bool,
}

/// Tries the task anew.
pub(super) fn run(cx: &Cx, args: &RetryArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    let id = &stored.task.id;
    let parked = stored.task.status == Status::Parked;
    let may = parked
        || matches!(
            stored.task.status,
            Status::Interrupted | Status::Failed | Status::Cancelled
        );
    if args.fresh && may && !stored.task.attempts.is_empty() {
        has_clone(&cx.ledger(), &stored.task)?;
        let rolled = rollback::roll_back(cx, &stored, "retry --fresh")?;
        rollback::tell_undo(cx, rolled.undo);
    }
    if parked {
        lift(cx, &stored.task)?;
    }
    let again = again(&cx.ledger(), id, How::Retry, ("cli", "tried anew"))?;
    if !parked {
        cx.out.done(&format!("retrying {id}"));
    }
    go_on(cx, &again.task)
}

/// Says for a task that waited for a limit that the limit is over.
pub(super) fn lift(cx: &Cx, task: &Task) -> Result<(), CmdError> {
    let others = daemon::lift(&cx.ledger(), &cx.paths, task, "cli")?;
    cx.out
        .done(&format!("{} does not wait for the limit any longer", task.id));
    for other in others {
        cx.out.note(&format!("nor does {other}"));
    }
    Ok(())
}

/// Has a daemon run a task that was queued again, whose state is the answer; where no daemon may stay, the task's end is.
pub(super) fn go_on(cx: &Cx, task: &Task) -> Result<ExitCode, CmdError> {
    if !cx.leaves_nothing() {
        printed(cx.out.answer(&MovedView::from(task)))?;
    }
    if let Err(error) = cx.daemon().and_then(|place| daemon::wake(&place)) {
        cx.out.note(&format!("warning: it waits for a daemon: {error}"));
    }
    if cx.leaves_nothing() {
        return wait::for_one(cx, &task.id);
    }
    Ok(ExitCode::SUCCESS)
}
