//! `zone prune`: zones that nobody needs any more go; and what a zone takes on the disk.
//!
//! A zone whose branch is gone is not needed, unless something is at stake or under way in it: that is named, and
//! the zone stays. Removal saves everything first, as always.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::removal::{RemovalError, Removed, Stake, remove, stakes};
use crate::{
    refs::{Crew, Ledger, branch_ref},
    task::ZoneId,
    worktree::remove::sweep,
};

/// What pruning does, or would do.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Zones whose branch is gone, with nothing at stake.
    pub removed: Vec<ZoneId>,
    /// Zones whose branch is gone, kept for what is at stake or under way in them.
    pub kept: Vec<(ZoneId, String)>,
    /// The states that were saved.
    pub saved: Vec<Removed>,
}

/// Removes the zones whose branch is gone and that have nothing at stake, and sweeps what killed removals left.
///
/// # Errors
/// If the ledger cannot be read, or a removal fails for another reason than that it is refused.
pub fn prune(ledger: &Ledger<'_>, dry_run: bool) -> Result<Pruned, RemovalError> {
    let mut pruned = Pruned::default();
    for zone in ledger.zones()? {
        let holders = zone
            .crew
            .values()
            .filter_map(|crew| Path::new(crew.path.as_ref()?).parent());
        let id = zone.zone.id.clone();
        if !dry_run {
            holders.for_each(sweep);
        }
        if ledger
            .repo()
            .ref_target(&branch_ref(&zone.zone.branch))?
            .is_some()
        {
            continue;
        }
        let at_stake: Vec<_> = stakes(ledger, &zone)?
            .into_iter()
            .filter(Stake::is_something)
            .collect();
        if dry_run && at_stake.is_empty() {
            pruned.removed.push(id);
            continue;
        }
        if !at_stake.is_empty() {
            let why = RemovalError::AtStake {
                stakes: at_stake,
                zone: zone.zone.branch,
                only: None,
            };
            pruned.kept.push((id, why.to_string()));
            continue;
        }
        match remove(ledger, &id, false) {
            Ok(removed) => {
                pruned.removed.push(id);
                pruned.saved.push(removed);
            }
            Err(
                why @ (RemovalError::AtStake { .. }
                | RemovalError::Active(..)
                | RemovalError::CheckedOut { .. }
                | RemovalError::Worktree { .. }
                | RemovalError::Hold(_)),
            ) => {
                pruned.kept.push((id, why.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(pruned)
}

/// The bytes that a clone's worktree takes on the disk; none while it has none. Shared blocks count in full.
pub fn disk_use(crew: &Crew) -> Option<u64> {
    let top = Path::new(crew.path.as_ref()?);
    top.is_dir().then(|| blocks_below(top) * 512)
}

fn blocks_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        let below = if meta.is_dir() {
            blocks_below(&entry.path())
        } else {
            0
        };
        Some(meta.blocks() + below)
    });
    sizes.sum()
}
