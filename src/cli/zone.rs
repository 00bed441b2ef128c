//! `git khlone zone new|remove|repair|prune`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
};
use crate::{
    guard::trust::in_shell,
    render::{
        Pulse,
        zones::{OpenedView, PrunedView, RemovedView, RepairView},
    },
    task::{CloneName, Explain, ZoneAddress, ZoneId},
    upkeep::{
        prune::prune,
        removal::remove_part,
        repair::{locks, repair},
    },
    zone::{nearest, open::open},
};

/// Make, remove, repair or prune zones
#[derive(Args, Debug)]
pub(super) struct ZoneArgs {
    #[command(subcommand)]
    what: ZoneVerb,
}

#[derive(Subcommand, Debug)]
enum ZoneVerb {
    /// Make a branch and its zone
    New {
        /// The branch
        #[arg(value_name = "BRANCH")]
        zone: ZoneAddress,
        /// Where the branch starts, else at HEAD
        #[arg(long, value_name = "REF")]
        base: Option<String>,
    },
    /// Remove a zone's clones, or one of them, with their worktrees and branches; the branch itself stays
    Remove {
        /// The zone's branch
        #[arg(value_name = "BRANCH")]
        zone: ZoneAddress,
        /// Only this clone
        #[arg(long, value_name = "CLONE")]
        clone: Option<CloneName>,
        /// Also what has not landed or is not committed; `git khlone undo` brings it back
        #[arg(long)]
        force: bool,
    },
    /// Put worktrees right that were deleted, moved or cut short, and clear stale locks
    Repair {
        /// Only this zone
        #[arg(value_name = "BRANCH")]
        zone: Option<ZoneAddress>,
    },
    /// Remove zones whose branch is gone, unless they hold work
    Prune {
        /// Only say what would go
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

impl ZoneVerb {
    /// The zone that is named, which may be another repository's.
    fn address(&self) -> Option<&ZoneAddress> {
        match self {
            Self::New { zone, .. } | Self::Remove { zone, .. } => Some(zone),
            Self::Repair { zone } => zone.as_ref(),
            Self::Prune { .. } => None,
        }
    }
}

/// Does it, in the repository that the address names.
pub(super) fn run(cx: Cx, args: &ZoneArgs) -> Result<ExitCode, CmdError> {
    let cx = &cx.at(args.what.address())?;
    let ledger = cx.ledger();
    match &args.what {
        ZoneVerb::New { zone, base } => {
            let opened = open(&ledger, &zone.branch, base.as_deref())?;
            printed(cx.out.answer(&OpenedView::of(&zone.branch, &opened)))?;
        }
        ZoneVerb::Remove { zone, clone, force } => {
            let id = known(cx, zone)?;
            let pulse = Pulse::new(cx.out, "looking at what is not landed, and saving it");
            let removed = remove_part(&ledger, (&id, clone.as_ref()), *force)?;
            pulse.clear();
            let undo = removed.undo;
            printed(cx.out.answer(&RemovedView::from(removed)))?;
            let git = match zone.site {
                Some(_) => format!("git -C {}", in_shell(&[path_of(cx)])),
                None => "git".to_owned(),
            };
            cx.out
                .done(&format!("saved; {git} khlone undo {undo} brings it back"));
        }
        ZoneVerb::Repair { zone } => return repaired(cx, zone.as_ref()),
        ZoneVerb::Prune { dry_run } => {
            let pruned = prune(&ledger, *dry_run)?;
            if pruned.removed.is_empty() && pruned.kept.is_empty() {
                cx.out.note("nothing to prune: every zone has its branch");
            }
            printed(cx.out.answer(&PrunedView::of(pruned, *dry_run)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn repaired(cx: &Cx, zone: Option<&ZoneAddress>) -> Result<ExitCode, CmdError> {
    let only = zone.map(|zone| known(cx, zone)).transpose()?;
    // What new worktrees get copied is configured where the command runs; elsewhere, nothing is.
    let config = cx.place(None).and_then(|place| cx.config(&place)).ok();
    let folders: Vec<_> = config
        .map(|loaded| {
            loaded
                .config
                .worktree
                .copy
                .iter()
                .map(ToString::to_string)
                .collect()
        })
        .unwrap_or_default();
    let pulse = Pulse::new(cx.out, "looking at the worktrees");
    let mendings = repair(&cx.ledger(), only.as_ref(), &folders)?;
    pulse.clear();
    let found = locks(&cx.ledger()).map_err(|source| CliError::Io {
        what: "lock files".to_owned(),
        source,
    })?;
    printed(cx.out.answer(&RepairView::of(&mendings, &found)))?;
    let failed = mendings.iter().find_map(|mending| mending.result.as_ref().err());
    Ok(failed.map_or(ExitCode::SUCCESS, |error| {
        ExitCode::from(error.class().exit_code())
    }))
}

/// A zone of the ledger; its branch need not be there any more.
fn known(cx: &Cx, zone: &ZoneAddress) -> Result<ZoneId, CmdError> {
    let zones = cx.ledger().readable_zones()?;
    if let Some(found) = zones.iter().find(|found| found.zone.branch == zone.branch) {
        return Ok(found.zone.id.clone());
    }
    // One that is there and cannot be read says so itself.
    if let Some(found) = cx.ledger().zone(&ZoneId::of_branch(&zone.branch))? {
        return Ok(found.zone.id);
    }
    let near = nearest(&zone.branch, zones.into_iter().map(|zone| zone.zone.branch));
    let near = if near.is_empty() {
        String::new()
    } else {
        format!("; there is {}", near.join(", "))
    };
    Err(CliError::nothing(
        format!("there is no zone {}{near}", zone.branch),
        "git khlone list zones",
    )
    .into())
}

fn path_of(cx: &Cx) -> String {
    let top = cx.repo.main_work_dir();
    top.as_deref()
        .unwrap_or(cx.repo.common_dir())
        .display()
        .to_string()
}
