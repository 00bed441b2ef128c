//! `git khlone status`, and `git khlone` alone: one screen, what needs you first.

mod keys;
mod prompt;

use std::{path::Path, process::ExitCode, time::Duration};

use clap::Args;
use jiff::{Timestamp, Zoned};

use super::{
    cx::{Cx, repo_at},
    error::{CliError, CmdError, printed},
};
use crate::{
    daemon::{ChangeFeed, Line, Place},
    query::{Naming, Source, Status},
    refs::RepoError,
    render::{Out, Screen, View, fit, view::Shown},
    task::Class,
};

/// How often the screen is refreshed though nothing has changed: times go on.
const BEAT: Duration = Duration::from_secs(1);

/// Show what needs you and what is under way
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// Refresh it in place until q or ctrl-c; on a terminal
    #[arg(short, long, conflicts_with = "porcelain")]
    watch: bool,
    /// One line for a shell prompt: `!` tasks that need you, `▶` running, `…` waiting
    ///
    /// Nothing where there is nothing to tell, nor outside a repository. Starts nothing.
    #[arg(long)]
    porcelain: bool,
}

/// Shows the status.
pub(super) fn run(dir: &Path, out: Out, args: &StatusArgs) -> Result<ExitCode, CmdError> {
    if args.porcelain {
        printed(out.text(&prompt::segment(dir).unwrap_or_default()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let cx = Cx::look(dir, out)?;
    if args.watch {
        return watch(&cx);
    }
    show(&cx)
}

fn show(cx: &Cx) -> Result<ExitCode, CmdError> {
    let (source, query) = (cx.ground(), today());
    let (status, names) = (source.ask(&query)?, source.ask(&Naming {})?);
    printed(cx.out.answer(&Shown::new(&status, &names)))?;
    Ok(ExitCode::SUCCESS)
}

/// The status of the day that it is here.
fn today() -> Status {
    let midnight = Zoned::now().start_of_day().map(|start| start.timestamp());
    Status {
        since: midnight.unwrap_or(Timestamp::now()).as_second(),
    }
}

/// Shows it again and again, in place, until `q` or ctrl-c.
fn watch(cx: &Cx) -> Result<ExitCode, CmdError> {
    let screen = Screen::new().filter(|_| !cx.out.is_json());
    let Some(mut screen) = screen else {
        return Err(CliError::usage(
            "status --watch refreshes a terminal, and stdout is none",
            "git khlone status --json",
        )
        .into());
    };
    keys::leave_on_keys();
    let mut changes = ChangeFeed::new(Line::new(Place::new(cx.site.common_dir())?, false));
    loop {
        // Before the look: what changes during it is told by the next call.
        let _first = changes.next(&cx.ledger(), Duration::ZERO)?;
        fit();
        let (source, query) = (cx.ground(), today());
        let (status, names) = (source.ask(&query)?, source.ask(&Naming {})?);
        printed(screen.show(&Shown::new(&status, &names).plain()))?;
        changes.next(&cx.ledger(), BEAT)?;
    }
}

/// `git khlone` without a verb: the status inside a repository, short help outside.
pub(super) fn bare(dir: &Path, out: Out) -> Result<ExitCode, CmdError> {
    if let Err(error @ RepoError::None(_)) = repo_at(dir) {
        out.note(&format!("{error}\n"));
        printed(out.text(&super::command().render_help().to_string()))?;
        return Ok(ExitCode::from(Class::Usage.exit_code()));
    }
    show(&Cx::look(dir, out)?)
}
