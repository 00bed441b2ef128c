//! `git khlone log`: what happened in a task: its history, and what its brain said and did.

use std::process::ExitCode;

use clap::Args;

use super::{cx::Cx, error::CmdError, target};
use crate::{
    render::view::{LogView, log_line},
    runner,
};

/// Show what happened in a task
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// Task, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Prints the transcript of the last attempt.
pub(super) fn run(cx: &Cx, args: &LogArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    let ledger = cx.ledger();
    let n = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let transcript = match ledger.transcript(&stored, n)? {
        Some(bytes) => bytes,
        // Still under way, or died: what the spool has.
        None => runner::transcript_of(&cx.site.layout().attempt(&stored.task.id, n)).unwrap_or_default(),
    };
    let history = ledger.file(&stored, "history.jsonl")?.unwrap_or_default();
    cx.paged(
        "log",
        &LogView::new(
            &stored.task,
            &history,
            transcript.split(|byte| *byte == b'\n').filter_map(log_line),
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}
