//! `git-khlone __complete`: what could stand at the end of a command line, for the scripts of
//! [`super::completions`].
//!
//! Called at every TAB, so it reads and never writes, starts nothing, and says nothing where it knows nothing.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use git2::BranchType;

use super::{
    cx::repo_at,
    error::{CmdError, printed},
};
use crate::{
    brain,
    refs::{Layout, Ledger, Site},
    render::Out,
};

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
    command.mut_args(with_candidates).mut_subcommands(with_values)
}

fn with_candidates(arg: Arg) -> Arg {
    // What is hidden is offered where nothing else fits: `--wh` stands for `--who`, which everybody types all day.
    let arg = if arg.get_id() == "when" {
        arg.hide(true)
    } else {
        arg
    };
    let names = arg.get_value_names().unwrap_or_default();
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

/// The newest tasks first.
fn tasks() -> Vec<CompletionCandidate> {
    from_ledger(|ledger| {
        let heads = ledger.heads().ok()?;
        let told = heads.iter().rev().enumerate().map(|(order, head)| {
            let help = format!("{} {} {}", head.status, head.clone, head.title);
            candidate(head.id.as_str(), help).display_order(Some(order))
        });
        Some(told.collect())
    })
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

/// A zone is named by its branch, with or without `@`.
fn branches(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let at = if typed.starts_with('@') { "@" } else { "" };
    let found = || {
        let repo = repo_at(&std::env::current_dir().ok()?).ok()?;
        let mut names = Vec::new();
        for branch in repo.git().branches(Some(BranchType::Local)).ok()? {
            let (branch, _) = branch.ok()?;
            names.extend(branch.name().ok().flatten().map(|name| format!("{at}{name}")));
        }
        Some(names)
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
