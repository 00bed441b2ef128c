//! `git khlone retry`: a task that died, failed or was cancelled is tried anew.

use std::process::ExitCode;

use clap::Args;

use super::{cx::Cx, error::CmdError, rollback, target};
use crate::{
    daemon,
    task::{How, Status},
    zone::again::again,
};

/// Try a task anew that died, failed or was cancelled
///
/// In a new session of the brain, with the work tree as it stands, or with --fresh as it was before the task.
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
    let may = matches!(
        stored.task.status,
        Status::Interrupted | Status::Failed | Status::Cancelled
    );
    if args.fresh && may && !stored.task.attempts.is_empty() {
        rollback::roll_back(cx, &stored, "retry --fresh")?;
    }
    again(&cx.ledger(), id, How::Retry, "tried anew")?;
    cx.out.done(&format!("{id} is tried anew"));
    wake(cx);
    Ok(ExitCode::SUCCESS)
}

/// Has a daemon look at the queue.
pub(super) fn wake(cx: &Cx) {
    let woken = daemon::Place::new(cx.site.common_dir()).and_then(|place| daemon::wake(&place));
    if let Err(error) = woken {
        cx.out.note(&format!("warning: it waits for a daemon: {error}"));
    }
}
