//! `git khlone completions`: the scripts that teach a shell our words.
//!
//! The scripts know no words themselves. They ask `git-khlone __complete`, which answers from the command line's
//! own definition and from the repository, so they never go stale.

use std::{path::PathBuf, process::ExitCode};

use super::{
    error::{CmdError, printed},
    install::put,
};
use crate::{config::Paths, render::Out};

/// Print the completion script of a shell
///
/// With --install it is put where the shell looks for it. It completes `git-khlone` and, through the shell's own
/// completion of git, `git khlone`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
    /// Install the script for this user instead of printing it
    #[arg(long)]
    install: bool,
}

/// A shell that we have a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shell {
    /// GNU bash, with bash-completion
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

impl Shell {
    /// Its script.
    fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../../completions/git-khlone.bash"),
            Self::Zsh => include_str!("../../completions/_git-khlone"),
            Self::Fish => include_str!("../../completions/git-khlone.fish"),
        }
    }

    /// Where it looks for a script of the user's own.
    fn place(self, paths: &Paths) -> PathBuf {
        match self {
            Self::Bash => paths.data_home.join("bash-completion/completions/git-khlone"),
            Self::Zsh => paths.data_home.join("zsh/site-functions/_git-khlone"),
            Self::Fish => paths.config_home.join("fish/conf.d/git-khlone.fish"),
        }
    }

    /// What is left to do for the user, if anything.
    fn remark(self, place: &std::path::Path) -> Option<String> {
        match self {
            Self::Zsh => {
                let folder = place.parent()?.display();
                Some(format!("  in ~/.zshrc, before compinit: fpath=({folder} $fpath)"))
            }
            Self::Bash | Self::Fish => None,
        }
    }
}

/// Prints or installs the script.
pub(super) fn run(out: Out, args: &CompletionsArgs) -> Result<ExitCode, CmdError> {
    let script = args.shell.script();
    if !args.install {
        printed(out.text(script))?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = args.shell.place(&Paths::from_env(|name| std::env::var_os(name))?);
    put(&place, script.as_bytes(), "completions --install")?;
    out.done(&format!("{}; new shells have it", place.display()));
    if let Some(remark) = args.shell.remark(&place) {
        out.note(&remark);
    }
    Ok(ExitCode::SUCCESS)
}
