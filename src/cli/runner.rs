//! `git-khlone runner`: one attempt of one task. The daemon starts it; a person has no use for it.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{cx::home, error::CmdError};
use crate::{
    config::Paths,
    process::machine_id,
    refs::{Ledger, Repo, Site, compact},
    render::Out,
    runner::{self, Surroundings},
    task::TaskId,
};

/// Our packs are compacted once there are more than this many.
const PACKS: usize = 24;

/// Run one attempt of a task
#[derive(Args, Debug)]
pub(super) struct RunnerArgs {
    /// The repository's common git folder
    #[arg(long, value_name = "DIR")]
    site: PathBuf,
    /// The task
    #[arg(long, value_name = "TASK")]
    task: TaskId,
}

/// Runs the attempt.
pub(super) fn run(args: &RunnerArgs) -> Result<ExitCode, CmdError> {
    match attempt(args) {
        Err(error) if error.is_shortage() => {
            error.report(Out::new(false));
            Ok(ExitCode::from(runner::TRY_AGAIN))
        }
        result => result,
    }
}

fn attempt(args: &RunnerArgs) -> Result<ExitCode, CmdError> {
    // A session of its own: the terminal of whoever started it may close. Refused where it leads one already.
    let _own_session = rustix::process::setsid();
    let repo = Repo::open(&args.site)?;
    let site = Site::open(&repo, &machine_id())?;
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    let around = Surroundings {
        home: home(&paths),
        paths,
    };
    let outcome = runner::run(&Ledger::new(&repo, &site), &args.task, &around)?;
    compact(&repo, &site, PACKS)?;
    Ok(ExitCode::from(
        outcome
            .and_then(crate::task::Outcome::class)
            .map_or(0, crate::task::Class::exit_code),
    ))
}
