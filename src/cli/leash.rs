//! `git-khlone leash`: stands between a command and a program of the user's, and ends that with the command. This program
//! starts itself so; a person has no use for it.

use std::{ffi::OsString, process::ExitCode};

use super::error::{CliError, CmdError};
use crate::process::leash;

/// Its words, as [`leash`] gives them: the process that holds it, the program and what that is told. They are no verb of
/// the command line.
pub(super) struct LeashArgs {
    holder: i32,
    argv: Vec<OsString>,
}

impl LeashArgs {
    /// Looked for before the command line is taken apart.
    pub(super) fn given(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        if words.nth(1)? != leash::WORD {
            return None;
        }
        let holder = words.next()?.to_str()?.parse().ok()?;
        let argv: Vec<_> = words.collect();
        (!argv.is_empty()).then_some(Self { holder, argv })
    }
}

/// Runs the program.
pub(super) fn run(args: &LeashArgs) -> Result<ExitCode, CmdError> {
    let done = leash::run(args.holder, &args.argv);
    let what = || {
        args.argv
            .first()
            .map(|program| program.to_string_lossy().into_owned())
    };
    Ok(done.map(ExitCode::from).map_err(|source| CliError::Io {
        what: what().unwrap_or_default(),
        source,
    })?)
}
