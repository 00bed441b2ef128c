//! `git khlone gc`: what nobody needs any more goes.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
};
use crate::{
    refs::now,
    render::{Pulse, view::GcView},
    upkeep::{gc::gc, retention::Keep},
};

/// Delete old tasks and repack
///
/// Finished tasks older than `limits.keep_for` or beyond `limits.keep` of their zone, saved states as old, folders and
/// worktrees of clones that are gone, locks of the dead. What has not landed or is not committed stays, and is named;
/// a saved state that holds such goes by `--forget`.
#[derive(Args, Debug)]
pub(super) struct GcArgs {
    /// Only say what would go, and what the zones take on the disk
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Give up saved state N for good, with work in it that is nowhere else (`git khlone undo --list`)
    #[arg(long, value_name = "N")]
    forget: Vec<u64>,
}

/// Collects.
pub(super) fn run(cx: &Cx, args: &GcArgs) -> Result<ExitCode, CmdError> {
    let config = cx.config(&cx.place(None)?)?.config;
    let pulse = Pulse::new(cx.out, "looking at what nobody needs");
    let (keep, rules) = (Keep::of(&config), cx.rules(&config));
    let collected = gc(&cx.ledger(), (keep, now()), &rules, &args.forget, args.dry_run)?;
    pulse.clear();
    printed(cx.out.answer(&GcView::of(collected, args.dry_run)))?;
    Ok(ExitCode::SUCCESS)
}
