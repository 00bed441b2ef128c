//! `git khlone dismiss`: tasks that need nothing more leave the list of what needs you.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target,
};
use crate::{
    query::{JUDGE, Parts},
    refs::{LedgerError, Update, now},
    render::view::DismissedView,
    task::{Move, Status, TaskId},
};

/// Take tasks off the list of what needs you
///
/// Nothing else becomes of them: they stay in `git khlone list tasks`, and their work can still be landed.
#[derive(Args, Debug)]
pub(super) struct DismissArgs {
    /// Tasks to take off the list
    #[arg(value_name = "TASK", required_unless_present = "all_done")]
    tasks: Vec<String>,
    /// Every one that is done: questions and work that has not landed, in all zones
    #[arg(long, conflicts_with_all = ["tasks", "undo"])]
    all_done: bool,
    /// Put them back on the list
    #[arg(long)]
    undo: bool,
}

/// Dismisses them.
pub(super) fn run(cx: &Cx, args: &DismissArgs) -> Result<ExitCode, CmdError> {
    let ids = if args.all_done {
        all_done(cx)?
    } else {
        named(cx, &args.tasks)?
    };
    let (to, word) = if args.undo {
        (Move::Recall, "put back")
    } else {
        (Move::Dismiss(now()), "dismissed")
    };
    let ledger = cx.ledger();
    for id in &ids {
        ledger.update(id, "cli", |update: &mut Update<'_>| -> Result<(), LedgerError> {
            update
                .transition(to.clone(), word)
                .map_err(|source| LedgerError::Illegal {
                    id: id.clone(),
                    source,
                })
        })?;
    }
    printed(cx.out.answer(&DismissedView {
        tasks: ids.clone(),
        put_back: args.undo,
    }))?;
    match ids.as_slice() {
        [] => cx.out.note("nothing that is done needs you"),
        [id] => cx.out.done(&format!("{id} {word}")),
        many => cx.out.done(&format!("{} tasks {word}", many.len())),
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them, or none: a word that is wrong is found before anything changes.
fn named(cx: &Cx, words: &[String]) -> Result<Vec<TaskId>, CmdError> {
    let mut ids = Vec::new();
    for word in words {
        let task = target::task(cx, Some(word), None)?.task;
        if !task.status.is_over() {
            return Err(CliError::refused(
                format!(
                    "{} is {}; only what is over can be dismissed",
                    task.id, task.status
                ),
                format!("git khlone cancel {}", task.id),
            )
            .into());
        }
        ids.push(task.id);
    }
    Ok(ids)
}

fn all_done(cx: &Cx) -> Result<Vec<TaskId>, CmdError> {
    let ground = cx.ground();
    let parts = Parts::within(&ground, JUDGE)?;
    let done = parts
        .needs_you
        .iter()
        .map(|needed| needed.head)
        .filter(|head| head.status == Status::Done);
    Ok(done.map(|head| head.id.clone()).collect())
}
