//! `git-khlone __complete`: what could stand at the end of a command line, for the scripts of
//! [`super::completions`].
//!
//! Called at every TAB, so it reads and never writes, starts nothing, and says nothing where it knows nothing.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    process::ExitCode,
    time::Duration,
};

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use super::{
    cx::{Cx, repo_at},
    error::{CmdError, printed},
};
use crate::{
    brain,
    query::Parts,
    refs::{Layout, Ledger, Site, TaskHead},
    render::Out,
    task::{Mode, Need, Status},
};

/// How long it may be looked into what has landed.
const LOOK: Duration = Duration::from_millis(50);

/// The words after `git khlone`; the last one is being typed.
#[derive(Debug, clap::Args)]
pub(super) struct CompleteArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Prints one candidate a line, with what it is after a tab.
pub(super) fn run(out: Out, command: Command, args: &CompleteArgs) -> Result<ExitCode, CmdError> {
    let candidates = candidates(command, &args.words);
    let mut text = String::new();
    for candidate in candidates {
        text.push_str(&candidate.get_value().to_string_lossy());
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(line) = help.lines().next() {
            text.push('\t');
            text.push_str(line);
        }
        text.push('\n');
    }
    printed(out.text(&text))?;
    Ok(ExitCode::SUCCESS)
}

fn candidates(command: Command, words: &[OsString]) -> Vec<CompletionCandidate> {
    let mut command = with_values(command);
    let mut line = vec![OsString::from(command.get_name())];
    line.extend_from_slice(words);
    if words.is_empty() {
        line.push(OsString::new());
    }
    let last = line.len() - 1;
    clap_complete::engine::complete(&mut command, line, last, None).unwrap_or_default()
}

/// Gives every argument the values that its value name promises: `[TASK]`, `--zone <ZONE>`.
fn with_values(command: Command) -> Command {
    let verb = command.get_name().to_owned();
    command
        .mut_args(|arg| with_candidates(arg, &verb))
        .mut_subcommands(with_values)
}

fn with_candidates(arg: Arg, verb: &str) -> Arg {
    // What is hidden is offered where nothing else fits: `--wh` stands for `--who`, which everybody types all day.
    let arg = if arg.get_id() == "when" {
        arg.hide(true)
    } else {
        arg
    };
    let names = arg.get_value_names().unwrap_or_default();
    let tasks = tasks_for(if arg.is_positional() { verb } else { "" });
    let mut sources: Vec<fn() -> Vec<CompletionCandidate>> = Vec::new();
    for name in names.iter().flat_map(|name| name.split('|')) {
        match name.trim_end_matches("...") {
            "TASK" => sources.push(tasks),
            "CLONE" => sources.push(clones),
            "BRAIN" => sources.push(brains),
            "SITE" => sources.push(owners),
            "WHO" => sources.extend([clones as fn() -> _, targets]),
            _ => {}
        }
    }
    if names.iter().any(|name| name == "BRANCH") {
        return arg.add(ArgValueCompleter::new(branches));
    }
    if sources.is_empty() {
        return arg;
    }
    arg.add(ArgValueCandidates::new(move || {
        sources.iter().flat_map(|source| source()).collect()
    }))
}

/// Reads the ledger of the repository that we stand in, if it has one.
fn from_ledger<T>(read: impl FnOnce(&Ledger<'_>) -> Option<Vec<T>>) -> Vec<T> {
    let found = || {
        let repo = repo_at(&std::env::current_dir().ok()?).ok()?;
        // Opening a site would make its folder.
        if !Layout::of(repo.common_dir()).dir().is_dir() {
            return None;
        }
        let site = Site::open(&repo, "").ok()?;
        read(&Ledger::new(&repo, &site))
    };
    found().unwrap_or_default()
}

fn candidate(value: &str, help: impl Into<String>) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into().into()))
}

/// The tasks that a verb can be about.
fn tasks_for(verb: &str) -> fn() -> Vec<CompletionCandidate> {
    match verb {
        "land" => || needing(|need| need == Need::Land),
        "reply" => || needing(|need| need == Need::Question),
        "dismiss" => || needing(|_| true),
        "await" | "cancel" | "watch" => || tasks(|head| !head.status.is_over()),
        "resume" | "retry" => || {
            tasks(|head| {
                matches!(
                    head.status,
                    Status::Interrupted | Status::Failed | Status::Cancelled | Status::Parked
                )
            })
        },
        "rollback" => || tasks(|head| head.status.is_over() && head.mode == Mode::Act),
        _ => || tasks(|_| true),
    }
}

/// The newest tasks first.
fn tasks(fits: fn(&TaskHead) -> bool) -> Vec<CompletionCandidate> {
    from_ledger(|ledger| {
        let heads = ledger.heads().ok()?;
        let fitting = heads.iter().rev().filter(|head| fits(head));
        Some(fitting.enumerate().map(told).collect())
    })
}

/// Those that need a person, the most urgent first.
fn needing(fits: fn(Need) -> bool) -> Vec<CompletionCandidate> {
    from_ledger(|_| {
        let cx = Cx::look(&std::env::current_dir().ok()?, Out::new(false)).ok()?;
        let ground = cx.ground();
        let parts = Parts::within(&ground, LOOK).ok()?;
        let fitting = parts.needs_you.iter().filter(|needed| fits(needed.need));
        Some(fitting.map(|needed| needed.head).enumerate().map(told).collect())
    })
}

fn told((order, head): (usize, &TaskHead)) -> CompletionCandidate {
    let help = format!("{} {} {}", head.status, head.clone, head.title);
    candidate(head.id.as_str(), help).display_order(Some(order))
}

fn clones() -> Vec<CompletionCandidate> {
    from_ledger(|ledger| {
        let mut told = Vec::new();
        for stored in ledger.readable_zones().ok()? {
            for member in stored.crew.values() {
                let help = format!("{} in {}", member.brain, stored.zone.branch);
                told.push(candidate(&member.name.to_string(), help));
            }
        }
        Some(told)
    })
}

/// A zone is named by its branch, with or without `@`; the branch of a clone is none.
fn branches(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let at = if typed.starts_with('@') { "@" } else { "" };
    let found = || {
        let repo = repo_at(&std::env::current_dir().ok()?).ok()?;
        let mut names = repo.branches().ok()?;
        let mut clones = HashSet::new();
        if Layout::of(repo.common_dir()).dir().is_dir() {
            let site = Site::open(&repo, "").ok()?;
            let zones = Ledger::new(&repo, &site).readable_zones().ok()?;
            clones.extend(
                zones
                    .into_iter()
                    .flat_map(|zone| zone.crew.into_values())
                    .map(|it| it.branch),
            );
        }
        names.retain(|name| !clones.contains(name));
        Some(
            names
                .into_iter()
                .map(|name| format!("{at}{name}"))
                .collect::<Vec<_>>(),
        )
    };
    let names = found().unwrap_or_default();
    let fitting = names.iter().filter(|name| name.starts_with(&*typed));
    fitting.map(CompletionCandidate::new).collect()
}

fn brains() -> Vec<CompletionCandidate> {
    brain::all()
        .map(|brain| candidate(brain.name(), "brain"))
        .collect()
}

/// The sites that have tasks here, but for this one.
fn owners() -> Vec<CompletionCandidate> {
    from_ledger(|ledger| {
        let heads = ledger.heads().ok()?;
        let own = &ledger.site().owner().site_uuid;
        let mut ids: Vec<_> = heads.into_iter().map(|head| head.site_uuid).collect();
        ids.sort();
        ids.dedup();
        let others = ids.iter().filter(|id| *id != own);
        Some(others.map(|id| candidate(id, "site")).collect())
    })
}

fn targets() -> Vec<CompletionCandidate> {
    brain::all()
        .map(|brain| candidate(&format!("@{}", brain.name()), "a clone on this brain"))
        .collect()
}
