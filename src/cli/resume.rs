//! `git khlone resume`: a task that died, failed or was cancelled goes on where it stood.

use std::process::ExitCode;

use clap::Args;

use super::{cx::Cx, error::CmdError, retry, target};
use crate::{
    task::{How, Status},
    zone::again::again,
};

/// Go on with a task that died, failed, was cancelled or waits for a limit
///
/// The brain's session goes on, or is rebuilt from the transcript where the brain has lost it. The brain is told
/// what is done, what is in doubt, and what others changed meanwhile.
#[derive(Args, Debug)]
pub(super) struct ResumeArgs {
    /// Task to go on with, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Resumes the task.
pub(super) fn run(cx: &Cx, args: &ResumeArgs) -> Result<ExitCode, CmdError> {
    let task = target::task(cx, args.task.as_deref(), None)?.task;
    let id = &task.id;
    let parked = task.status == Status::Parked;
    if parked {
        retry::lift(cx, &task)?;
    }
    let stored = again(&cx.ledger(), id, How::Resume, ("cli", "resumed"))?;
    if !parked {
        cx.out.done(&format!("{id} goes on"));
    }
    retry::go_on(cx, &stored.task)
}
