//! `git khlone completions`: the scripts that teach a shell our words.
//!
//! The scripts know no words themselves. They ask `git-khlone __complete`, which answers from the command line's
//! own definition and from the repository, so they never go stale.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;

use super::{
    error::{CmdError, printed},
    install::{InstallError, Placed},
    man::prefix,
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

    /// The same below the prefix of a package.
    fn place_of_package(self, prefix: &Path) -> PathBuf {
        let share = prefix.join("share");
        match self {
            Self::Bash => share.join("bash-completion/completions/git-khlone"),
            Self::Zsh => share.join("zsh/vendor-completions/_git-khlone"),
            Self::Fish => share.join("fish/vendor_conf.d/git-khlone.fish"),
        }
    }

    /// The shell that `program` is: a user's own, from SHELL.
    pub(super) fn of_program(program: &OsStr) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        Self::value_variants()
            .iter()
            .copied()
            .find(|shell| shell.name() == name)
    }

    /// Its name, as the command line has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// Its script, where it looks for one of the user's own.
    fn placed(self, paths: &Paths) -> Placed {
        Placed {
            path: self.place(paths),
            bytes: self.script().into(),
        }
    }

    /// Whether it has its script, the user's or a package's.
    pub(super) fn has_script(self, paths: &Paths) -> bool {
        let is_packaged = prefix().is_ok_and(|prefix| self.place_of_package(&prefix).exists());
        is_packaged || self.placed(paths).is_there()
    }

    /// Puts its script in place.
    pub(super) fn install(self, out: Out, paths: &Paths) -> Result<(), InstallError> {
        let placed = self.placed(paths);
        placed.put(&format!("completions {} --install", self.name()))?;
        out.done(&format!("{}; new shells have it", placed.path.display()));
        if let Some(remark) = self.remark(&placed.path) {
            out.note(&remark);
        }
        Ok(())
    }

    /// What is left to do for the user, if anything.
    fn remark(self, place: &Path) -> Option<String> {
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
    let paths = Paths::from_env(|name| std::env::var_os(name))?;
    args.shell.install(out, &paths)?;
    Ok(ExitCode::SUCCESS)
}
