//! `git khlone cancel`: a waiting task is taken out of the queue, a running one is stopped with its grace.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError},
    target,
};
use crate::{
    refs::{LedgerError, Update},
    runner,
    task::{Event, Outcome, Status},
};

/// Cancel a task
#[derive(Args, Debug)]
pub(super) struct CancelArgs {
    /// Task to cancel
    #[arg(value_name = "TASK")]
    task: String,
}

/// Cancels the task.
pub(super) fn run(cx: &Cx, args: &CancelArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, Some(&args.task), None)?;
    let id = &stored.task.id;
    if stored.task.status == Status::Running {
        let n = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
        let dir = cx.site.attempt_dir(id, n);
        let heard = runner::cancel(&dir).map_err(|source| CliError::Io {
            what: id.to_string(),
            source,
        })?;
        if !heard {
            return Err(CliError::refused(
                format!("the runner of {id} does not listen yet, or has just ended"),
                format!("git khlone cancel {id}"),
            )
            .into());
        }
        cx.out.done(&format!("{id} is being stopped"));
        return Ok(ExitCode::SUCCESS);
    }
    cx.ledger().update(id, "cli", |update: &mut Update<'_>| {
        update.task.outcome = Some(Outcome::Cancelled);
        let illegal = |source| LedgerError::Illegal {
            id: id.clone(),
            source,
        };
        update
            .transition(Event::Cancel, "cancelled before it ran")
            .map_err(illegal)
    })?;
    cx.out.done(&format!("{id} cancelled"));
    Ok(ExitCode::SUCCESS)
}
