//! `git khlone diff`: a task from before to after, a clone's branch against the merge base.

use std::process::{ExitCode, Stdio};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target::{Target, target},
};
use crate::{
    process::{self, Cmd},
    query::sides,
    refs::branch_ref,
    render::view::{ChangedFile, DiffView},
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
    let diff = || {
        let git = Cmd::new("git")
            .as_pager()
            .arg("--git-dir")
            .arg(cx.repo.common_dir())
            .arg("diff");
        match &beside {
            Some(beside) => git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", beside.objects()),
            None => git,
        }
    };
    if cx.out.is_json() {
        printed(cx.out.answer(&document(args, &range, diff)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut git = diff();
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

/// The diff as one document; each file by its own name, as git would apply it.
fn document(args: &DiffArgs, range: &[String], diff: impl Fn() -> Cmd) -> Result<DiffView, CmdError> {
    let git = |form: &[&str]| -> Result<Vec<u8>, CmdError> {
        let plain = ["--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"];
        let git = diff().args(plain).args(form).args(range).arg("--");
        Ok(git.output()?)
    };
    let wants_patch = !args.stat && !args.name_only;
    let patch = wants_patch.then(|| git(&["--patch"])).transpose()?;
    Ok(DiffView {
        files: ChangedFile::of_numstat(&git(&["--numstat", "-z"])?),
        patch: patch.map(|patch| String::from_utf8_lossy(&patch).into_owned()),
    })
}

fn not_yet(id: &TaskId) -> CliError {
    CliError::nothing(
        format!("{id} has not changed anything yet"),
        format!("git khlone await {id}"),
    )
}
