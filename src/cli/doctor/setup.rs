//! What the program can set up by itself: its manual, and the completions of the user's shell.

use clap::Command;

use crate::{
    cli::{
        completions::Shell,
        install::{InstallError, Placed},
        man,
    },
    config::Paths,
    render::{Out, view::Finding},
};

/// What is not set up, or by another version of the program.
pub(super) fn missing(command: &Command, paths: &Paths) -> Vec<Finding> {
    let manual = lacks_manual(command)
        .unwrap_or(true)
        .then(|| "`git khlone --help` has no manual, or an older one".to_owned());
    let completions =
        shell_without(paths).map(|shell| format!("{} does not complete `git khlone`", shell.name()));
    let finding = |what| Finding {
        what,
        next: "git khlone doctor --fix".to_owned(),
    };
    manual.into_iter().chain(completions).map(finding).collect()
}

/// Sets up what is missing, and says what it did.
pub(super) fn fix(out: Out, command: &Command, paths: &Paths) -> Result<(), InstallError> {
    if lacks_manual(command)? {
        man::install(out, command)?;
    }
    match shell_without(paths) {
        Some(shell) => shell.install(out, paths),
        None => Ok(()),
    }
}

fn lacks_manual(command: &Command) -> Result<bool, InstallError> {
    Ok(!man::placed(command)?.iter().all(Placed::is_there))
}

/// The user's own shell, if it has no completions.
fn shell_without(paths: &Paths) -> Option<Shell> {
    let shell = Shell::of_program(&std::env::var_os("SHELL")?)?;
    (!shell.has_script(paths)).then_some(shell)
}
