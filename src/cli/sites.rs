//! `git khlone sites [adopt]`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
};
use crate::{
    config::Config,
    daemon,
    render::{
        Pulse,
        view::{AdoptedView, HoldingList},
    },
    upkeep::adopt::{Adoption, adopt},
    zone::{owners::holdings, sites},
};

/// Show whose the tasks here are, and take over those of a repository that was moved
///
/// A task is run by the site that owns it: one repository on one machine. So a copy runs nothing of its original's. A
/// repository that was moved to another disk or machine looks like a copy; `adopt` says that it was moved.
#[derive(Args, Debug)]
pub(super) struct SitesArgs {
    #[command(subcommand)]
    what: Option<SitesVerb>,
}

#[derive(Subcommand, Debug)]
enum SitesVerb {
    /// Take over the tasks of the site that this repository was before it was moved, or of another one
    ///
    /// Queued tasks start, and what had begun is looked after as an attempt that died. Worktrees that came along, or
    /// were moved without the repository's knowledge, are linked with it again. What was cut short is finished by the
    /// same command.
    ///
    /// It is refused where the original may be alive: another repository on this machine is or was that site, or a
    /// daemon or runner of it lives. So it is for a site of another machine that was never this one.
    Adopt {
        /// The beginning of a site's id, as `git khlone sites` prints it; else what this repository was before
        #[arg(value_name = "SITE")]
        site: Option<String>,
        /// Also where the original may be alive: its tasks may then run twice, here and there; what runs of them on
        /// this machine is ended
        #[arg(long)]
        force: bool,
    },
}

/// Lists, or takes over.
pub(super) fn run(cx: &Cx, args: &SitesArgs) -> Result<ExitCode, CmdError> {
    match &args.what {
        None => list(cx),
        Some(SitesVerb::Adopt { site, force }) => take_over(cx, site.as_deref(), *force),
    }
}

fn list(cx: &Cx) -> Result<ExitCode, CmdError> {
    let ledger = cx.ledger();
    let known = sites::known(&cx.registry()).map_err(|source| registry(cx, source))?;
    let owner = cx.site.owner();
    let here = (owner.site_uuid.as_str(), owner.machine.as_str());
    let found = holdings(&ledger, &ledger.heads()?);
    printed(cx.out.answer(&HoldingList::of(here, &found, &known)))?;
    Ok(ExitCode::SUCCESS)
}

fn take_over(cx: &Cx, site: Option<&str>, force: bool) -> Result<ExitCode, CmdError> {
    // Where no zone is checked out, only a configured place of worktrees is not known.
    let loaded = cx.place(None).and_then(|place| cx.config(&place));
    let config = loaded.map_or_else(|_| Config::default(), |loaded| loaded.config);
    let folder = cx.registry();
    let pulse = Pulse::new(cx.out, "looking whether the original is alive");
    let adopted = adopt(
        &cx.ledger(),
        &Adoption {
            site,
            force,
            registry: &folder,
            rules: cx.rules(&config),
        },
    )?;
    pulse.clear();
    if adopted.from_away {
        cx.out
            .note("note: they came from another machine; if they run there still, they run twice");
    }
    if adopted.unfinished.is_empty() && adopted.over.is_empty() && adopted.places.is_empty() {
        cx.out
            .note("nothing to adopt: every task and worktree is this site's");
    }
    let has_work = !adopted.unfinished.is_empty();
    printed(cx.out.answer(&AdoptedView::of(adopted)))?;
    sites::remember(&folder, &cx.repo, &cx.site).map_err(|source| registry(cx, source))?;
    if !has_work {
        return Ok(ExitCode::SUCCESS);
    }
    if cx.leaves_nothing() {
        cx.out.note("  next: git khlone list, then git khlone await TASK");
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(error) = cx.daemon().and_then(|place| daemon::wake(&place)) {
        cx.out.note(&format!(
            "warning: the tasks are this site's, but no daemon runs them yet: {error}"
        ));
        cx.out.note("  next: git khlone daemon start");
    }
    Ok(ExitCode::SUCCESS)
}

fn registry(cx: &Cx, source: std::io::Error) -> CliError {
    CliError::Io {
        what: cx.registry().display().to_string(),
        source,
    }
}
