//! `git khlone update`: a clone's branch onto its zone.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    target::{Target, crew_of, target},
};
use crate::{
    delivery::update::update_clone,
    refs::branch_ref,
    render::view::UpdatedView,
    task::{ZoneAddress, ZoneId},
    zone::hold::{Waiting, hold_settled},
};

/// Rebase a clone's branch onto its zone
///
/// A conflict changes nothing. `git khlone undo` brings the branch and its worktree back as they were.
#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// Clone, or a task of it
    #[arg(value_name = "CLONE|TASK")]
    target: String,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
}

/// Rebases it.
pub(super) fn run(cx: &Cx, args: &UpdateArgs) -> Result<ExitCode, CmdError> {
    let (member, zone) = match target(cx, Some(&args.target), args.zone.as_ref())? {
        Target::Task(stored) => (crew_of(cx, &stored)?, stored.task.branch.clone()),
        Target::Clone(place, member) => (*member, place.branch),
    };
    let tip = cx.repo.ref_target(&branch_ref(&zone)).map_err(CliError::from)?;
    let tip =
        tip.ok_or_else(|| CliError::nothing(format!("branch {zone} is gone"), "git khlone list zones"))?;
    let ledger = cx.ledger();
    let id = ZoneId::of_branch(&zone);
    let stored = ledger.zone(&id)?;
    let stored =
        stored.ok_or_else(|| CliError::nothing(format!("zone {zone} is gone"), "git khlone list zones"))?;
    let _held = hold_settled(&ledger, (&id, &member.name), Waiting::MayNot)?;
    let (updated, saved) = update_clone(&ledger, &stored.zone, &member, tip)?;
    printed(cx.out.answer(&UpdatedView {
        zone: id.clone(),
        branch: zone.clone(),
        clone: member.name.clone(),
        clone_branch: member.branch.clone(),
        from: updated.from.to_string(),
        to: updated.to.to_string(),
        commits: updated.rewritten.iter().map(|(_, new)| new.to_string()).collect(),
        undo: saved,
    }))?;
    if updated.from == updated.to {
        cx.out
            .done(&format!("{} was up to date with {zone}", member.branch));
    } else {
        let n = updated.rewritten.len();
        let commits = if n == 1 { "commit" } else { "commits" };
        cx.out
            .done(&format!("rebased {} onto {zone} ({n} {commits})", member.branch));
    }
    if let Some(n) = saved {
        cx.out
            .note(&format!("  git khlone undo {n} brings it back as it was"));
    }
    Ok(ExitCode::SUCCESS)
}
