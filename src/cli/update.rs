//! `git khlone update`: a clone's branch onto its zone.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CliError, CmdError},
    target::{Target, crew_of, target},
};
use crate::{
    refs::branch_ref,
    task::{ZoneAddress, ZoneId},
    worktree::checkout::Checkout,
    zone::{hold::hold, update::update},
};

/// Rebase a clone's branch onto its zone
#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    /// Clone, or a task of it
    #[arg(value_name = "CLONE|TASK")]
    target: String,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    pub(super) zone: Option<ZoneAddress>,
}

/// Rebases it; a conflict is undone.
pub(super) fn run(cx: &Cx, args: &UpdateArgs) -> Result<ExitCode, CmdError> {
    let (member, zone) = match target(cx, Some(&args.target), args.zone.as_ref())? {
        Target::Task(stored) => (crew_of(cx, &stored)?, stored.task.branch.clone()),
        Target::Clone(place, member) => (*member, place.branch),
    };
    let tip = cx.repo.ref_target(&branch_ref(&zone)).map_err(CliError::from)?;
    let tip =
        tip.ok_or_else(|| CliError::nothing(format!("branch {zone} is gone"), "git khlone list zones"))?;
    let checkout = member
        .path
        .as_ref()
        .and_then(|path| Checkout::linked_at(cx.repo.common_dir(), path.as_ref()));
    let _held = hold(&cx.site, &ZoneId::of_branch(&zone), &member.name)?;
    let updated = update(&cx.repo, checkout.as_ref(), &member.branch, tip)?;
    if updated.from == updated.to {
        cx.out
            .done(&format!("{} was up to date with {zone}", member.branch));
    } else {
        let n = updated.rewritten.len();
        let commits = if n == 1 { "commit" } else { "commits" };
        cx.out.done(&format!(
            "{} stands on {zone} now, {n} {commits} rewritten",
            member.branch
        ));
    }
    Ok(ExitCode::SUCCESS)
}
