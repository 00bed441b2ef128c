//! `git khlone show`.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
    target, wait,
};

/// Show a task
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Task to show, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Shows a task.
pub(super) fn run(cx: &Cx, args: &ShowArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    let detail = wait::detail(cx, &stored)?;
    printed(cx.out.answer(&detail))?;
    Ok(ExitCode::SUCCESS)
}
