//! `git khlone diff`: a task from before to after, a clone's branch against the merge base.

use std::process::{ExitCode, Stdio};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError},
    target::{Target, target},
};
use crate::{
    process::{self, Cmd},
    query::sides,
    refs::branch_ref,
    task::{TaskId, ZoneAddress},
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
    let mut beside = None;
    let range = match target(cx, args.target.as_deref(), args.zone.as_ref())? {
        Target::Task(stored) => {
            let id = &stored.task.id;
            let sides = sides(&cx.ledger(), &stored)?.ok_or_else(|| not_yet(id))?;
            beside = sides.beside;
            vec![sides.before.to_string(), sides.after.to_string()]
        }
        Target::Clone(place, member) => {
            // In full: a tag may have the same name.
            vec![format!(
                "{}...{}",
                branch_ref(&place.branch),
                branch_ref(&member.branch)
            )]
        }
    };
    let mut git = Cmd::new("git")
        .as_pager()
        .arg("--git-dir")
        .arg(cx.repo.common_dir())
        .arg("diff");
    if let Some(beside) = &beside {
        git = git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", beside.objects());
    }
    if args.stat {
        git = git.arg("--stat");
    }
    if args.name_only {
        git = git.arg("--name-only");
    }
    let mut git = git.args(range).arg("--").into_inner();
    // The pager needs the terminal.
    process::in_our_group(&mut git);
    let status = process::spawn(git.stdin(Stdio::inherit())).and_then(|mut git| git.wait());
    let status = status.map_err(|source| CliError::Io {
        what: "git diff".to_owned(),
        source,
    })?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

fn not_yet(id: &TaskId) -> CliError {
    CliError::nothing(
        format!("{id} has not changed anything yet"),
        format!("git khlone await {id}"),
    )
}
