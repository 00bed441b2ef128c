//! `git khlone redact`: a secret that was stored with a task is taken out of the repository again.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use clap::Args;

use super::{
    cx::{self, Cx},
    error::{CliError, CmdError, printed},
    target,
};
use crate::{
    guard::secrets::{credentials, redact::Redactor},
    render::{Pulse, view::RedactedView},
    task::Class,
    upkeep::redaction::redact,
    zone::user_settings,
};

/// Take a secret out of a task, for good
///
/// Writes the task anew without it: documents, transcript, artifacts, snapshots, the local spool; then frees the
/// objects that held it. Without options, what has the shape of a known secret or stands in a credential file of
/// yours. Commits and other tasks that hold it are named, and the exit code is 1.
#[derive(Args, Debug)]
pub(super) struct RedactArgs {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Take out the values on stdin, one a line
    #[arg(long)]
    stdin: bool,
    /// Take out what matches
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
}

/// Takes it out.
pub(super) fn run(cx: &Cx, args: &RedactArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, Some(&args.task), None)?;
    let redactor = if args.stdin || args.pattern.is_some() {
        Redactor::only(&values(args.stdin)?, args.pattern.as_deref())?
    } else {
        let known = credentials::in_files(&cx::home(&cx.paths), &|name| std::env::var_os(name));
        let allow = user_settings(&cx.paths)?.config.redact.allow;
        Redactor::new(&Vec::from_iter(known), &allow)?
    };
    let pulse = Pulse::new(
        cx.out,
        "looking at all that the task has, and at all that others have",
    );
    let done = redact(&cx.ledger(), &stored.task.id, &redactor)?;
    pulse.clear();
    let clean = done.remains.is_empty();
    printed(cx.out.answer(&RedactedView::of(stored.task.id, done)))?;
    Ok(ExitCode::from(if clean { 0 } else { Class::Failed.exit_code() }))
}

/// A secret on the command line would be in everybody's `ps`.
fn values(from_stdin: bool) -> Result<Vec<String>, CliError> {
    let mut text = String::new();
    if from_stdin {
        io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map_err(|source| CliError::Io {
                what: "stdin".to_owned(),
                source,
            })?;
    }
    Ok(text
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}
