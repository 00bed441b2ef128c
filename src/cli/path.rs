//! `git khlone path`: `cd "$(git khlone path foreman.1)"`.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target::{Target, crew_of, target},
};
use crate::{
    render::view::PathView,
    task::{ZoneAddress, act_of},
};

/// Print the path of a clone's worktree
#[derive(Args, Debug)]
pub(super) struct PathArgs {
    /// Clone, or a task of it; else that of the newest task
    #[arg(value_name = "CLONE|TASK")]
    target: Option<String>,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
}

/// Prints the path.
pub(super) fn run(cx: &Cx, args: &PathArgs) -> Result<ExitCode, CmdError> {
    let (member, branch) = match target(cx, args.target.as_deref(), args.zone.as_ref())? {
        Target::Task(stored) => (crew_of(cx, &stored)?, stored.task.branch),
        Target::Clone(place, member) => (*member, place.branch),
    };
    let path = member.path.ok_or_else(|| {
        CliError::nothing(
            format!("{} has no worktree yet; its first task makes it", member.name),
            act_of(&member.name.to_string(), &branch),
        )
    })?;
    printed(cx.out.answer(&PathView { path }))?;
    Ok(ExitCode::SUCCESS)
}
