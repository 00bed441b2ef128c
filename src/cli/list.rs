//! `git khlone list zones|crew|tasks|sites|brains`.

use std::{path::Path, process::ExitCode};

use clap::{Args, ValueEnum};

use super::{
    cx::{Cx, repo_at},
    error::{CmdError, printed},
};
use crate::{
    config::Paths,
    query::What as Which,
    query::{BrainList, Damage, List, Listed, Names, Naming, Source, brains_by, site_list},
    refs::RepoError,
    render::{
        Out,
        view::{Shown, damage},
    },
    task::ZoneAddress,
    zone::user_settings,
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
    let source = cx.ground();
    let listed = source.ask(&List {
        what: args.what.into(),
        zone: args.zone.as_ref().map(|zone| zone.branch.clone()),
    })?;
    let mut names = match listed {
        Listed::Brains(_) | Listed::Sites(_) => Names::default(),
        Listed::Tasks(_) | Listed::Needs(_) | Listed::Crew(_) | Listed::Zones(_) => {
            for damaged in source.ask(&Damage {})?.damaged {
                cx.out.note(damage(&damaged).trim_end());
            }
            source.ask(&Naming {})?
        }
    };
    let is_of_one = args.zone.is_some() && matches!(listed, Listed::Tasks(_));
    if is_of_one {
        names.branches.clear();
    }
    cx.paged("list", &Shown::new(&listed, &names))?;
    Ok(ExitCode::SUCCESS)
}

impl From<What> for Which {
    fn from(what: What) -> Self {
        match what {
            What::Zones => Self::Zones,
            What::Crew => Self::Crew,
            What::Tasks => Self::Tasks,
            What::Needs => Self::Needs,
            What::Sites => Self::Sites,
            What::Brains => Self::Brains,
        }
    }
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
