//! `git khlone fsck`: proves the ledger whole, and names what is not.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    error::{CmdError, printed},
};
use crate::{
    render::{Pulse, view::FsckView},
    task::Class,
    upkeep::fsck::{fsck, mend},
};

/// How often to mend: what one round has mended can show what the next has to.
const ROUNDS: usize = 2;

/// Prove the ledger whole, and name what is not
///
/// Looks at every document, everything that refs of git-khlone reach, each task's history along the graph of states,
/// its tag, pins and notes. Exits 0 if all is well, 1 if something is not.
#[derive(Args, Debug)]
pub(super) struct FsckArgs {
    /// Build derived parts (notes, pins, tags, the counter) again from the tasks
    #[arg(long)]
    repair: bool,
}

/// Looks, mends if asked to, and looks again.
pub(super) fn run(cx: &Cx, args: &FsckArgs) -> Result<ExitCode, CmdError> {
    let ledger = cx.ledger();
    let pulse = Pulse::new(cx.out, "looking at the ledger");
    let seen = |at, all| pulse.say(format!("looking at the ledger: {at} of {all} refs"));
    let mut report = fsck(&ledger, &seen)?;
    let mut repaired = Vec::new();
    if args.repair {
        // A note is missed only once the notes can be read, so one look is not enough.
        for _ in 0..ROUNDS {
            repaired.extend(mend(&ledger, &report.problems)?);
            report = fsck(&ledger, &seen)?;
        }
    }
    pulse.clear();
    let is_clean = report.problems.is_empty();
    printed(cx.out.answer(&FsckView::of(report, repaired)))?;
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Class::Failed.exit_code())
    })
}
