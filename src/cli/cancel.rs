//! `git khlone cancel`: a waiting task is taken out of the queue, a running one is stopped with its grace.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
    target, wait,
};
use crate::{daemon, render::view::MovedView, runner, task::Status};

/// Cancel a task
#[derive(Args, Debug)]
pub(super) struct CancelArgs {
    /// Task to cancel
    #[arg(value_name = "TASK")]
    task: String,
}

/// Cancels the task.
pub(super) fn run(cx: &Cx, args: &CancelArgs) -> Result<ExitCode, CmdError> {
    let id = target::task(cx, Some(&args.task), None)?.task.id;
    let stored = runner::stop(&cx.ledger(), &id, ("cli", "cancelled"))?;
    printed(cx.out.answer(&MovedView::from(&stored.task)))?;
    if stored.task.status == Status::Cancelled {
        cx.out.done(&format!("{id} cancelled"));
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.done(&format!("{id} is being stopped"));
    // Should its runner not listen yet, or be dead, a daemon sees to it.
    if let Err(error) = cx.daemon().and_then(|place| daemon::wake(&place)) {
        cx.out.note(&format!("warning: no daemon sees to it: {error}"));
    } else if cx.leaves_nothing() {
        wait::until_over(cx, &id)?;
    }
    Ok(ExitCode::SUCCESS)
}
