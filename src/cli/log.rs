//! `git khlone log`: what happened in a task: its history, and what its brain said and did.

use std::process::ExitCode;

use clap::Args;

use super::{cx::Cx, error::CmdError};
use crate::query::{Log, Source};

/// Show what happened in a task
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// Task, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Prints the transcript of the last attempt.
pub(super) fn run(cx: &Cx, args: &LogArgs) -> Result<ExitCode, CmdError> {
    let (task, zone) = (args.task.clone(), None);
    cx.paged("log", &cx.ground().ask(&Log { task, zone })?)?;
    Ok(ExitCode::SUCCESS)
}
