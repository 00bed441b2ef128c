//! `git khlone undo`: what a destructive verb took away comes back.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
};
use crate::{
    config::Config,
    render::zones::{UndoList, UndoneView},
    upkeep::undo::undo,
    zone::site_settings,
};

/// Bring back what a verb took away
#[derive(Args, Debug)]
pub(super) struct UndoArgs {
    /// Its number, else the last
    #[arg(value_name = "N")]
    n: Option<u64>,
    /// List what can be brought back
    #[arg(short, long, conflicts_with = "n")]
    list: bool,
}

/// Brings it back.
pub(super) fn run(cx: &Cx, args: &UndoArgs) -> Result<ExitCode, CmdError> {
    let ledger = cx.ledger();
    if args.list {
        let saved: Vec<_> = ledger.undos()?.into_iter().map(|(saved, _)| saved).collect();
        if saved.is_empty() {
            cx.out.note("nothing to undo");
        }
        printed(cx.out.answer(&UndoList::of(saved)))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.refuse_other_checkout()?;
    // Settings that cannot be read are no reason to keep what is to be undone.
    let config =
        site_settings(&cx.repo, &cx.paths).map_or_else(|_| Config::default(), |loaded| loaded.config);
    let undone = undo(&ledger, args.n, config.limits.hook.duration())?;
    printed(cx.out.answer(&UndoneView::from(undone)))?;
    Ok(ExitCode::SUCCESS)
}
