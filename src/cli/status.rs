//! `git khlone status`, and `git khlone` alone: one screen, what needs you first.

use std::{path::Path, process::ExitCode};

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
    list,
};
use crate::{
    render::{
        Out,
        view::{StatusView, TaskLine},
    },
    task::{Class, FORMAT},
};

/// Show what needs you and what is under way
#[derive(Args, Debug)]
pub(super) struct StatusArgs {}

/// Shows the status.
pub(super) fn run(cx: &Cx, _args: &StatusArgs) -> Result<ExitCode, CmdError> {
    let ledger = cx.ledger();
    let heads = ledger.heads()?;
    let crew = list::crew(cx, &ledger.zones()?, &heads)?;
    let unlanded = |head: &&crate::refs::TaskHead| {
        crew.iter()
            .any(|clone| clone.name == head.clone && clone.ahead.unwrap_or(0) > 0)
    };
    let mut view = StatusView {
        format: FORMAT,
        needs_you: Vec::new(),
        under_way: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
    };
    for head in &heads {
        let line = TaskLine::from(head);
        match head.status {
            status if status.is_active() => view.under_way.push(line),
            status if status.is_waiting() => view.waiting.push(line),
            crate::task::Status::Failed | crate::task::Status::Interrupted => view.needs_you.push(line),
            crate::task::Status::Done if unlanded(&head) => view.needs_you.push(line),
            _ => {}
        }
    }
    view.crew = crew;
    printed(cx.out.answer(&view))?;
    Ok(ExitCode::SUCCESS)
}

/// `git khlone` without a verb: the status inside a repository, short help outside.
pub(super) fn bare(dir: &Path, out: Out) -> Result<ExitCode, CmdError> {
    if let Ok(cx) = Cx::open(dir, out) {
        return run(&cx, &StatusArgs {});
    }
    printed(out.text(&super::command().render_help().to_string()))?;
    Ok(ExitCode::from(Class::Usage.exit_code()))
}
