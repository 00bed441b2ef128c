//! `git khlone show`.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError},
    target, wait,
};
use crate::render::view::EnvView;

/// Show a task
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Task to show, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
    /// List the variables that its brain got, and those of yours that it did not, by name
    #[arg(long)]
    env: bool,
}

/// Shows a task.
pub(super) fn run(cx: &Cx, args: &ShowArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    if args.env {
        let view = EnvView::of(&stored.task).ok_or_else(|| {
            let id = &stored.task.id;
            CliError::nothing(format!("{id} has not run yet"), format!("git khlone await {id}"))
        })?;
        cx.paged("show", &view)?;
        return Ok(ExitCode::SUCCESS);
    }
    let detail = wait::detail(cx, &stored)?;
    cx.paged("show", &detail)?;
    Ok(ExitCode::SUCCESS)
}
