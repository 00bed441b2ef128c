//! `git khlone doctor`: what this machine and repository offer, and what stands in the way.

mod machine;
mod setup;

use std::{path::Path, process::ExitCode};

use clap::{Args, Command};

use super::{
    cx::{Cx, repo_at},
    error::{CliError, CmdError, printed},
};
use crate::{
    config::{Config, Paths, Sandbox},
    daemon,
    guard::sandbox::{confine::has_scope, tier::Probe},
    query::{StrangerLine, brains_by},
    refs::RepoError,
    render::{
        Out,
        view::{DoctorView, Finding, stranger},
    },
    task::Explain,
    upkeep::adopt::{AdoptError, Surveyor, stood},
    zone::{owners::waiting_elsewhere, user_settings},
};

/// Check this machine and repository
#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Install the manual and the completions of your shell first, where they are missing
    #[arg(long)]
    fix: bool,
}

/// Checks, and says what is wrong.
pub(super) fn run(dir: &Path, out: Out, command: &Command, args: &DoctorArgs) -> Result<ExitCode, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    if args.fix {
        setup::fix(out, command, &paths)?;
    }
    let mut view = match repo_at(dir) {
        Err(error @ RepoError::None(_)) => outside(&error)?,
        _ => here(&Cx::look(dir, out)?)?,
    };
    view.findings.extend(setup::missing(command, &paths));
    printed(out.answer(&view))?;
    Ok(ExitCode::SUCCESS)
}

/// Where there is no repository: the machine alone.
fn outside(error: &RepoError) -> Result<DoctorView, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    let config = user_settings(&paths)?.config;
    let git = machine::git_version();
    let git_config = git2::Config::open_default().ok();
    let mut findings = machine::findings(&paths, &config, (git.as_deref(), git_config.as_ref()));
    findings.push(Finding {
        what: error.to_string(),
        next: error.hint().unwrap_or_default(),
    });
    Ok(DoctorView {
        site: None,
        daemon: None,
        brains: brains_by(&config, &paths),
        findings,
        ..view(&paths, &config, git)
    })
}

fn here(cx: &Cx) -> Result<DoctorView, CmdError> {
    let (config, broken) = settings(cx)?;
    let place = daemon::Place::new(cx.site.common_dir());
    let git = machine::git_version();
    let mut findings: Vec<_> = broken.into_iter().chain(findings(cx, &config)?).collect();
    findings.extend(place.as_ref().err().map(|error| unwritable(cx, error)));
    let git_config = cx.repo.config().ok();
    let known = (git.as_deref(), git_config.as_ref());
    findings.extend(machine::findings(&cx.paths, &config, known));
    Ok(DoctorView {
        site: Some(cx.site.owner().site_uuid.clone()),
        daemon: place
            .ok()
            .and_then(|place| daemon::Client::connect(&place).ok())
            .map(|client| client.pid()),
        brains: brains_by(&config, &cx.paths),
        findings,
        ..view(&cx.paths, &config, git)
    })
}

/// Tasks can be looked at here, and not given.
fn unwritable(cx: &Cx, error: &daemon::DaemonError) -> Finding {
    let common = cx.site.common_dir();
    if cx.site.dir().exists() {
        return Finding {
            what: error.to_string(),
            next: error.hint().unwrap_or_default(),
        };
    }
    Finding {
        what: format!(
            "{}: you may not write here, so no task can be given",
            common.display()
        ),
        next: "ls -ld \"$(git rev-parse --git-common-dir)\"".to_owned(),
    }
}

/// What the machine gives, and nothing else yet.
fn view(paths: &Paths, config: &Config, git: Option<String>) -> DoctorView {
    let mut probe = Probe::run(&paths.khlone_home.join("cache"));
    if probe.bwrap.is_some() && !has_scope() {
        let what =
            "this kernel cannot close abstract sockets (Linux 6.12 can): an open network includes them";
        probe.reasons.push(what.to_owned());
    }
    if config.sandbox == Sandbox::Off {
        probe.bwrap = None;
        probe
            .reasons
            .insert(0, "sandbox is off in your configuration".to_owned());
    }
    DoctorView {
        tier: probe.tier().as_str().to_owned(),
        sandbox: config.sandbox,
        network: config.network.as_str().to_owned(),
        tier_notes: probe.reasons,
        git,
        daemon: None,
        site: None,
        brains: Vec::new(),
        findings: Vec::new(),
    }
}

/// The settings here. Where they cannot be read, that is a finding, and the user's own count.
fn settings(cx: &Cx) -> Result<(Config, Option<Finding>), CmdError> {
    match cx.place(None).and_then(|place| cx.config(&place)) {
        Ok(loaded) => Ok((loaded.config, None)),
        Err(error) => {
            let broken = Finding {
                what: error.to_string(),
                next: error.hint().unwrap_or_else(|| "git khlone config".to_owned()),
            };
            Ok((user_settings(&cx.paths)?.config, Some(broken)))
        }
    }
}

fn findings(cx: &Cx, config: &Config) -> Result<Vec<Finding>, CmdError> {
    let mut findings = Vec::new();
    let git = cx.repo.git();
    let remotes = git.remotes().map_err(CliError::from)?;
    let git_config = cx.repo.config().map_err(CliError::from)?;
    for remote in remotes.iter().flatten().flatten() {
        if git_config
            .get_bool(&format!("remote.{remote}.mirror"))
            .unwrap_or(false)
        {
            findings.push(Finding {
                what: format!("remote `{remote}` is a mirror: a push to it sends all of refs/khlone"),
                next: format!("git config --unset remote.{remote}.mirror"),
            });
        }
    }
    let ledger = cx.ledger();
    for line in waiting_elsewhere(&ledger, &ledger.heads()?)
        .iter()
        .map(StrangerLine::of)
    {
        findings.push(Finding {
            what: stranger(&line),
            next: line.next,
        });
    }
    // Where the worktrees of other copies are is remembered there.
    if machine::homeless(&cx.paths).is_none() {
        findings.extend(misplaced(cx, config)?);
    }
    Ok(findings)
}

/// Worktrees that are not where they are recorded.
fn misplaced(cx: &Cx, config: &Config) -> Result<Option<Finding>, AdoptError> {
    let ledger = cx.ledger();
    let surveyor = Surveyor {
        rules: cx.rules(config),
        stood: stood(&ledger, &cx.registry())?,
    };
    let found = surveyor.misplaced(&ledger)?;
    let more = found.len().saturating_sub(1);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    Ok(found.first().map(|first| Finding {
        what: format!(
            "not where git and the ledger have it: worktree {}{more}",
            first.from.display()
        ),
        next: "git khlone sites adopt".to_owned(),
    }))
}
