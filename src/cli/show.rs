//! `git khlone show`.

use std::process::ExitCode;

use clap::Args;

use super::{cx::Cx, error::CmdError};
use crate::query::{Env, Show, Source};

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
    let (source, task, zone) = (cx.ground(), args.task.clone(), None);
    if args.env {
        cx.paged("show", &source.ask(&Env { task, zone })?)?;
    } else {
        cx.paged("show", &source.ask(&Show { task, zone })?)?;
    }
    Ok(ExitCode::SUCCESS)
}
