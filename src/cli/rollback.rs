//! `git khlone rollback`: a clone's files and branch are as they were before a task.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
    target,
};
use crate::{
    delivery::landing::way_back,
    refs::Stored,
    render::view::RolledBackView,
    task::few,
    upkeep::rollback::{RolledBack, rollback},
};

/// Take back what a task did
///
/// The clone's files and branch become what they were before the task. What this replaces is saved: git khlone undo
/// brings it back, and the task keeps it as `attempts/N/discarded`.
#[derive(Args, Debug)]
pub(super) struct RollbackArgs {
    /// Task to take back, else the newest of the zone
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Rolls the task back.
pub(super) fn run(cx: &Cx, args: &RollbackArgs) -> Result<ExitCode, CmdError> {
    let stored = target::task(cx, args.task.as_deref(), None)?;
    let rolled = roll_back(cx, &stored, "rollback")?;
    let undo = rolled.undo;
    printed(cx.out.answer(&RolledBackView::from(rolled)))?;
    tell_undo(cx, undo);
    Ok(ExitCode::SUCCESS)
}

/// Says how to take the rollback back.
pub(super) fn tell_undo(cx: &Cx, undo: u64) {
    cx.out.note(&format!("  git khlone undo {undo} brings it back"));
}

/// Rolls a task back, and says what is not kept.
pub(super) fn roll_back(cx: &Cx, stored: &Stored, verb: &str) -> Result<RolledBack, CmdError> {
    let rolled = rollback(&cx.ledger(), stored, verb)?;
    if let Some(next) = way_back(&cx.ledger(), &stored.task)? {
        let task = &stored.task;
        cx.out
            .note(&format!("note: {} still has what {} did", task.branch, task.id));
        cx.out.note(&format!("  next: {next}"));
    }
    let lost = rolled.lost.iter();
    let lost = lost.map(|path| format!("not saved, being ignored and large: {path}"));
    for line in few(lost.collect(), 20) {
        cx.out.note(&line);
    }
    Ok(rolled)
}
