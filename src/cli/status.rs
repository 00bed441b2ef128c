//! `git khlone status`, and `git khlone` alone: one screen, what needs you first.

use std::{path::Path, process::ExitCode};

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    list,
};
use crate::{
    refs::{Repo, RepoError, TaskHead, branch_ref},
    render::{
        Out, ShortIds,
        view::{CrewLine, StatusView, TaskLine},
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
    let unlanded = |head: &TaskHead| {
        let of = |clone: &&CrewLine| clone.zone_id == head.zone && clone.name == head.clone;
        match crew.iter().find(of) {
            Some(clone) if clone.ahead.unwrap_or(0) > 0 => is_unlanded(cx, head, clone),
            _ => Ok(false),
        }
    };
    let mut view = StatusView {
        format: FORMAT,
        needs_you: Vec::new(),
        under_way: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
        brains: Vec::new(),
    };
    let ids = ShortIds::of(heads.iter().map(|head| &head.id));
    for head in &heads {
        let line = TaskLine::new(head, &ids);
        match head.status {
            status if status.is_active() => view.under_way.push(line),
            status if status.is_waiting() => view.waiting.push(line),
            crate::task::Status::Failed | crate::task::Status::Interrupted => view.needs_you.push(line),
            crate::task::Status::Done if unlanded(head)? => view.needs_you.push(line),
            _ => {}
        }
    }
    if crew.is_empty() {
        view.brains = list::brains(cx)?;
    }
    view.crew = crew;
    printed(cx.out.answer(&view))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a task's last commit is not in its zone's branch yet.
fn is_unlanded(cx: &Cx, head: &TaskHead, clone: &CrewLine) -> Result<bool, CliError> {
    let Some(tip) = cx.repo.ref_target(&branch_ref(&clone.zone))? else {
        return Ok(false);
    };
    let pins = cx
        .repo
        .git()
        .references_glob(&format!("refs/khlone/pins/{}/*-head-after", head.id))?;
    let last = pins.flatten().filter_map(|pin| pin.target()).last();
    let landed = |commit| commit == tip || cx.repo.git().graph_descendant_of(tip, commit).unwrap_or(false);
    Ok(last.is_some_and(|commit| !landed(commit)))
}

/// `git khlone` without a verb: the status inside a repository, short help outside.
pub(super) fn bare(dir: &Path, out: Out) -> Result<ExitCode, CmdError> {
    if let Err(RepoError::None(_)) = Repo::discover(dir) {
        printed(out.text(&super::command().render_help().to_string()))?;
        return Ok(ExitCode::from(Class::Usage.exit_code()));
    }
    run(&Cx::open(dir, out)?, &StatusArgs {})
}
