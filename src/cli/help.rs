//! `git khlone help`: what the verbs are, sorted by what they are for, and how one is used.
//!
//! git takes `git khlone --help` for itself and opens the manual; this needs nothing installed.

use std::{path::Path, process::ExitCode};

use clap::{Args, Command};

use super::error::{CliError, CmdError, printed};
use crate::{
    render::{Out, Pager},
    zone::nearest,
};

/// Every verb that is shown, in the order of the help.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Give work", &["act", "ask", "reply", "await", "watch"]),
    (
        "Look",
        &["status", "list", "show", "diff", "log", "path", "audit"],
    ),
    ("Take over, or back", &["land", "update", "rollback", "undo"]),
    ("Steer", &["cancel", "resume", "retry", "dismiss", "zone"]),
    (
        "Look after it",
        &[
            "config",
            "trust",
            "doctor",
            "fsck",
            "gc",
            "redact",
            "sites",
            "daemon",
            "uninstall",
            "completions",
            "man",
            "help",
        ],
    ),
];

/// Show how a verb is used
#[derive(Args, Debug)]
pub(super) struct HelpArgs {
    /// The verb; without it, all verbs
    #[arg(value_name = "VERB")]
    verb: Vec<String>,
}

/// Shows it.
pub(super) fn run(out: Out, dir: &Path, command: Command, args: &HelpArgs) -> Result<ExitCode, CmdError> {
    let mut found = &command;
    for word in &args.verb {
        let next = found.find_subcommand(word);
        found = next.ok_or_else(|| unknown(word, found))?;
    }
    let own = command.get_name().to_owned();
    let line = std::iter::once(own)
        .chain(args.verb.iter().cloned())
        .chain(["--help".to_owned()]);
    if let Err(help) = command.try_get_matches_from(line) {
        show(out, dir, &help.render().ansi().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints help, through the user's pager on a terminal.
pub(super) fn show(out: Out, dir: &Path, text: &str) -> Result<(), CliError> {
    printed(out.paged_text(text, Pager { dir, verb: "help" }))
}

fn unknown(word: &str, within: &Command) -> CliError {
    let near = nearest(word, verbs(within).map(str::to_owned)).into_iter().next();
    let next = near.map_or_else(
        || "git khlone help".to_owned(),
        |near| format!("git khlone help {near}"),
    );
    CliError::usage(format!("`{word}` is not a verb"), next)
}

fn verbs(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(Command::get_name)
}

/// The command line's own definition, with its verbs in groups.
pub(super) fn grouped(command: Command) -> Command {
    let mut text = String::new();
    let (on, off) = ("\u{1b}[1m\u{1b}[4m", "\u{1b}[0m");
    for (heading, names) in GROUPS {
        text.push_str(&format!("{on}{heading}:{off}\n"));
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  \u{1b}[1m{name:<11}{off}  {about}\n"));
        }
        text.push('\n');
    }
    command.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{on}Options:{off}\n\
         {{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_stands_in_one_group() {
        let command = super::super::command();
        let mut shown: Vec<_> = verbs(&command).collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(shown, grouped);
    }
}
