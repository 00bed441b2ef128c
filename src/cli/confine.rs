//! `git-khlone confine`: the last step of a brain into its sandbox. The runner starts it; a person has no use for it.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use super::error::{CliError, CmdError};
use crate::guard::confine;

/// Become a program that the kernel restricts from within
#[derive(Args, Debug)]
pub(super) struct ConfineArgs {
    /// The program and its words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    argv: Vec<OsString>,
}

impl ConfineArgs {
    /// The words as the runner gives them. Looked for before the command line is taken apart, which costs more than
    /// all the rest of a start.
    pub(super) fn given(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let ours = words.nth(1)? == "confine" && words.next()? == "--";
        let argv: Vec<_> = words.collect();
        (ours && !argv.is_empty()).then_some(Self { argv })
    }
}

/// Becomes it.
pub(super) fn run(args: &ConfineArgs) -> Result<ExitCode, CmdError> {
    let source = confine::exec(&args.argv);
    let what = args
        .argv
        .first()
        .map_or_else(String::new, |program| program.to_string_lossy().into_owned());
    Err(CliError::Io { what, source }.into())
}
