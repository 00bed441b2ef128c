//! `git-khlone confine`: the last step of a brain into its sandbox. The runner starts it; a person has no use for it.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use super::error::{CliError, CmdError};
use crate::guard::sandbox::{confine, relay};

/// Become a program that the kernel restricts from within
#[derive(Args, Debug)]
pub(super) struct ConfineArgs {
    /// Lead a port to the runner's proxy
    #[arg(long)]
    relay: bool,
    /// The program and its words
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "relay"
    )]
    argv: Vec<OsString>,
}

impl ConfineArgs {
    /// The words as the runner gives them. Looked for before the command line is taken apart, which costs more than
    /// all the rest of a start.
    pub(super) fn given(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        if words.nth(1)? != "confine" {
            return None;
        }
        let first = words.next()?;
        let relay = first == "--relay";
        let argv: Vec<_> = words.collect();
        match argv.split_first() {
            None if relay => Some(Self { relay, argv }),
            Some((dashes, rest)) if relay && dashes == "--" => Some(Self {
                relay,
                argv: rest.to_vec(),
            }),
            Some(_) if first == "--" => Some(Self { relay, argv }),
            _ => None,
        }
    }
}

/// Becomes it.
pub(super) fn run(args: &ConfineArgs) -> Result<ExitCode, CmdError> {
    let stdin = |source| CliError::Io {
        what: "the relay".to_owned(),
        source,
    };
    if args.relay && args.argv.is_empty() {
        relay::serve().map_err(stdin)?;
        return Ok(ExitCode::SUCCESS);
    }
    let source = if args.relay {
        let own = std::env::current_exe().map_err(stdin)?;
        relay::exec(&own.into_os_string(), &args.argv)
    } else {
        confine::exec(&args.argv)
    };
    let what = args
        .argv
        .first()
        .map_or_else(String::new, |program| program.to_string_lossy().into_owned());
    Err(CliError::Io { what, source }.into())
}
