//! `git khlone doctor`: what this machine and repository offer, and what stands in the way.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    list,
};
use crate::{
    config::{Config, Sandbox},
    daemon,
    guard::sandbox::{confine::has_scope, tier::Probe},
    process::memory,
    render::view::{DoctorView, Finding, StrangerLine},
    render::{bytes, counted},
    task::Explain,
    upkeep::adopt::{AdoptError, Surveyor, stood},
    zone::{owners::waiting_elsewhere, require_khlone_home, user_settings},
};

/// Check this machine and repository
#[derive(Args, Debug)]
pub(super) struct DoctorArgs {}

/// Checks, and says what is wrong.
pub(super) fn run(cx: &Cx, _args: &DoctorArgs) -> Result<ExitCode, CmdError> {
    let mut probe = Probe::run(&cx.paths.khlone_home.join("cache"));
    let (config, broken) = settings(cx)?;
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
    let place = daemon::Place::new(cx.site.common_dir())?;
    let view = DoctorView {
        tier: probe.tier().as_str().to_owned(),
        sandbox: config.sandbox,
        network: config.network.as_str().to_owned(),
        tier_notes: probe.reasons.clone(),
        daemon: daemon::Client::connect(&place).ok().map(|client| client.pid()),
        site: cx.site.owner().site_uuid.clone(),
        brains: list::brains(cx),
        findings: broken.into_iter().chain(findings(cx, &config)?).collect(),
    };
    printed(cx.out.answer(&view))?;
    Ok(ExitCode::SUCCESS)
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

/// What would refuse every task here, whatever it is.
fn homeless(cx: &Cx) -> Option<Finding> {
    let error = require_khlone_home(&cx.paths).err()?;
    Some(Finding {
        what: error.to_string(),
        next: error.hint().unwrap_or_default(),
    })
}

/// More tasks at once than the machine's memory is good for.
fn crowded(cx: &Cx, config: &Config) -> Option<Finding> {
    let running = config.limits.running.get();
    let total = memory()?;
    let fitting = fitting(total);
    (running > fitting).then(|| Finding {
        what: format!(
            "limits.running is {running}, and this machine has {} of memory: enough for {} at once",
            bytes(total),
            counted(fitting as usize, "brain")
        ),
        next: format!(
            "limits: {{running: {fitting}}}    in {}",
            cx.paths.config.display()
        ),
    })
}

/// How many brains `memory` is good for: half of it, at 512 MiB each.
fn fitting(memory: u64) -> u32 {
    u32::try_from(memory >> 30).unwrap_or(u32::MAX).max(1)
}

fn findings(cx: &Cx, config: &Config) -> Result<Vec<Finding>, CmdError> {
    let homeless = homeless(cx);
    let mut findings = Vec::new();
    let git = cx.repo.git();
    let remotes = git.remotes().map_err(CliError::from)?;
    let git_config = git.config().map_err(CliError::from)?;
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
            what: line.what(),
            next: line.next,
        });
    }
    // Where the worktrees of other copies are is remembered there.
    if homeless.is_none() {
        findings.extend(misplaced(cx, config)?);
    }
    findings.extend(homeless);
    findings.extend(crowded(cx, config));
    if git_config.get_string("user.email").is_err() {
        findings.push(Finding {
            what: "git does not know who you are; commits of clones would have no author".to_owned(),
            next: "git config --global user.email you@example.com".to_owned(),
        });
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

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn half_of_the_memory_is_for_brains() {
        let all = [1 << 28, 1 << 30, 4 << 30, 64 << 30].map(fitting);
        assert_eq!(all, [1, 1, 4, 64]);
    }
}
