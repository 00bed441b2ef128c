//! `git khlone list zones|crew|tasks|sites|brains`.

use std::{path::Path, process::ExitCode};

use clap::{Args, ValueEnum};

use super::{
    cx::{Cx, repo_at},
    error::{CliError, CmdError, printed},
    status::gather::{JUDGE, Parts},
};
use crate::{
    brain::{Preflight, Readiness},
    config::{Config, Paths},
    delivery::{advance::standing, merged::Judge},
    refs::{RepoError, StoredZone, TaskHead, branch_ref},
    render::{
        Out,
        view::{
            BrainList, CrewLine, CrewList, NeedsLine, NeedsList, Shown, SiteLine, SiteList, TaskList,
            ZoneLine, ZoneList, damage,
        },
    },
    task::{ZoneAddress, ZoneId},
    zone::{program, sites, user_settings},
};

/// List tasks, what needs you, crew, zones, sites or brains
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// What to list
    #[arg(value_name = "WHAT", default_value = "tasks")]
    what: What,
    /// Only in this zone
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Zones and their clones
    Zones,
    /// Clones, what they do and where they stand
    Crew,
    /// Tasks, the newest first
    Tasks,
    /// Tasks that need you, the most urgent first
    Needs,
    /// Repositories of this machine that have tasks
    Sites,
    /// Brains, and whether they are ready
    Brains,
}

/// Lists it.
pub(super) fn run(dir: &Path, out: Out, args: &ListArgs) -> Result<ExitCode, CmdError> {
    match repo_at(dir) {
        Err(RepoError::None(_)) if args.zone.is_none() && anywhere(out, args)? => Ok(ExitCode::SUCCESS),
        _ => within(&Cx::look(dir, out)?.at(args.zone.as_ref())?, args),
    }
}

fn within(cx: &Cx, args: &ListArgs) -> Result<ExitCode, CmdError> {
    if args.what == What::Brains {
        cx.paged("list", &BrainList { brains: brains(cx) })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.what == What::Sites {
        cx.paged("list", &site_list(&cx.registry())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ledger = cx.ledger();
    let only = args
        .zone
        .as_ref()
        .map(|zone| cx.place(Some(zone)))
        .transpose()?
        .map(|place| place.zone);
    let all = ledger.heads()?;
    for damaged in ledger.damaged(&all, &ledger.readable_zones()?)? {
        cx.out.note(damage(&damaged).trim_end());
    }
    let mut zones = ledger.readable_zones()?;
    if args.what == What::Tasks {
        zones.retain(|zone| only.as_ref().is_none_or(|only| zone.zone.id == *only));
        let here = |head: &&TaskHead| only.as_ref().is_none_or(|zone| head.zone == *zone);
        let shown = Shown::of(&all, &zones);
        let tasks = all.iter().filter(here).map(|head| shown.line(head)).collect();
        cx.paged("list", &TaskList { tasks })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.what == What::Needs {
        cx.paged("list", &needs(cx, &all, &zones, only.as_ref())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    zones.retain(|zone| only.as_ref().is_none_or(|only| zone.zone.id == *only));
    match args.what {
        What::Crew => {
            let crew = crew(cx, &zones, &all)?;
            cx.paged("list", &CrewList { crew })?
        }
        What::Zones | What::Tasks | What::Needs | What::Brains | What::Sites => {
            cx.paged("list", &zone_list(&zones, &all))?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What needs a person, in all zones or one.
fn needs(
    cx: &Cx,
    heads: &[TaskHead],
    zones: &[StoredZone],
    only: Option<&ZoneId>,
) -> Result<NeedsList, CmdError> {
    let ledger = cx.ledger();
    let mut judge = Judge::within(&ledger, JUDGE);
    let parts = Parts::of(cx, heads, &crew(cx, zones, heads)?, &mut judge)?;
    let shown = Shown::of(heads, zones);
    let here = parts
        .needs_you
        .iter()
        .filter(|needed| only.is_none_or(|zone| needed.head.zone == *zone));
    let lines = here.map(|needed| {
        let task = ledger.task(&needed.head.id)?.task;
        Ok::<_, CmdError>(NeedsLine::new(needed, Some(&task), &shown))
    });
    Ok(NeedsList {
        needs_you: lines.collect::<Result<_, _>>()?,
    })
}

/// Every brain, fully checked.
pub(super) fn brains(cx: &Cx) -> Vec<Readiness> {
    let config = match cx.place(None) {
        // One that cannot be read has its own complaint elsewhere.
        Ok(place) => cx.config(&place).map(|loaded| loaded.config).unwrap_or_default(),
        Err(_) => Config::default(),
    };
    brains_by(&config, &cx.paths)
}

/// The same under these settings.
pub(super) fn brains_by(config: &Config, paths: &Paths) -> Vec<Readiness> {
    let vars = |name: &str| std::env::var_os(name);
    let program = |name: &str| program(config, name);
    let cache = paths.khlone_home.join("cache");
    Preflight {
        vars: &vars,
        cache: &cache,
        program: &program,
    }
    .list()
}

/// What needs no repository: brains and sites can be listed anywhere.
pub(super) fn anywhere(out: Out, args: &ListArgs) -> Result<bool, CmdError> {
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    match args.what {
        What::Brains => {
            let config = user_settings(&paths)?.config;
            let brains = brains_by(&config, &paths);
            printed(out.answer(&BrainList { brains }))?;
        }
        What::Sites => printed(out.answer(&site_list(&paths.khlone_home.join("sites"))?))?,
        What::Zones | What::Crew | What::Tasks | What::Needs => return Ok(false),
    }
    Ok(true)
}

fn site_list(folder: &Path) -> Result<SiteList, CmdError> {
    let known = sites::list(folder).map_err(|source| CliError::Io {
        what: folder.display().to_string(),
        source,
    })?;
    Ok(SiteList {
        sites: known.into_iter().map(SiteLine::from).collect(),
    })
}

fn zone_list(zones: &[StoredZone], heads: &[TaskHead]) -> ZoneList {
    let line = |zone: &StoredZone| ZoneLine {
        zone: zone.zone.id.clone(),
        branch: zone.zone.branch.clone(),
        clones: zone.crew.keys().cloned().collect(),
        unfinished: heads
            .iter()
            .filter(|head| head.zone == zone.zone.id && !head.status.is_over())
            .count(),
    };
    ZoneList {
        zones: zones.iter().map(line).collect(),
    }
}

/// Every clone of these zones, with what it does and how its branch stands.
pub(super) fn crew(cx: &Cx, zones: &[StoredZone], heads: &[TaskHead]) -> Result<Vec<CrewLine>, CliError> {
    let mut lines = Vec::new();
    for zone in zones {
        let zone_tip = cx.repo.ref_target(&branch_ref(&zone.zone.branch))?;
        for member in zone.crew.values() {
            let mut line = CrewLine::of(member, &zone.zone);
            let mine = |head: &&TaskHead| head.zone == zone.zone.id && head.clone == member.name;
            line.task = heads
                .iter()
                .filter(mine)
                .find(|head| head.status.is_active())
                .map(|head| head.id.clone());
            line.queued = heads
                .iter()
                .filter(mine)
                .filter(|head| head.status.is_waiting())
                .count();
            let tip = cx.repo.ref_target(&branch_ref(&member.branch))?;
            if let (Some(tip), Some(zone_tip)) = (tip, zone_tip) {
                let stands = standing(&cx.repo, tip, zone_tip)?;
                line.ahead = Some(stands.ahead);
                line.behind = Some(stands.behind);
            }
            lines.push(line);
        }
    }
    Ok(lines)
}
