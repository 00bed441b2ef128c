//! `git khlone diff`: a task from before to after, a clone's branch against the merge base.

use std::process::{ExitCode, Stdio};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
};
use crate::{
    process,
    query::{Diff, Source, range},
    task::ZoneAddress,
};

/// Show what a task or a clone changed
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// Task or clone, else the newest task of the zone
    #[arg(value_name = "TASK|CLONE")]
    target: Option<String>,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
    /// Only the diff stat
    #[arg(long)]
    stat: bool,
    /// Only the names of changed files
    #[arg(long, conflicts_with = "stat")]
    name_only: bool,
}

/// Shows the diff as git does, with the user's pager on a terminal.
pub(super) fn run(cx: &Cx, args: &DiffArgs) -> Result<ExitCode, CmdError> {
    let ground = cx.ground();
    let query = Diff {
        target: args.target.clone(),
        zone: args.zone.as_ref().map(|zone| zone.branch.clone()),
        patch: !args.stat && !args.name_only,
    };
    if cx.out.is_json() {
        printed(cx.out.answer(&ground.ask(&query)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let range = range(&ground, &query)?;
    let mut git = range.git_diff(&ground);
    if args.stat {
        git = git.arg("--stat");
    }
    if args.name_only {
        git = git.arg("--name-only");
    }
    let mut git = git.args(&range.words).arg("--").into_inner();
    // The pager needs the terminal.
    process::in_our_group(&mut git);
    let status = process::spawn(git.stdin(Stdio::inherit())).and_then(|mut git| git.wait());
    let status = status.map_err(|source| CliError::Io {
        what: "git diff".to_owned(),
        source,
    })?;
    Ok(ExitCode::from(u8::from(!status.success())))
}
