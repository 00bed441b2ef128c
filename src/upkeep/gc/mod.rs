//! `gc`: what nobody needs any more goes, and what is left takes less room.
//!
//! Finished tasks by the same rule as when the daemon is idle ([`super::retention`]), saved states that are old,
//! folders and worktrees of clones that are gone, locks of the dead; then our packs become one. Whatever holds a commit that no
//! branch, tag or remote has, or files that are in no commit, stays and is named. Killed anywhere, the next one goes
//! on.

mod forgotten;
mod kept;
mod leftovers;
mod receipts;
mod worktrees;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use forgotten::forget;
pub use worktrees::{Held, Stray};

pub use receipts::{drop_receipts, drop_receipts_before};

use super::{
    prune::disk_use,
    repair::{Lock, locks},
    retention::{Keep, Retained, RetentionError, retain, would_retain},
};
use crate::{
    process::ProcessError,
    refs::{Ledger, LedgerError, Oid, amid_gc, compact_all, kept_size, pack_refs},
    task::{ZoneId, explain},
    worktree::place::Rules,
};

/// What went, or would go; what stays though it is old; and what there is.
#[derive(Debug, Default)]
pub struct Collected {
    /// Finished tasks.
    pub tasks: Retained,
    /// The numbers of saved states that went.
    pub undos: Vec<u64>,
    /// Old saved states that hold work which is nowhere else.
    pub held_undos: Vec<u64>,
    /// Folders of clones that are no more, and what killed programs left.
    pub folders: Vec<PathBuf>,
    /// Old folders that hold commits which are nowhere else.
    pub held_folders: Vec<PathBuf>,
    /// Worktrees that no clone has: gone, unless something holds them.
    pub worktrees: Vec<Stray>,
    /// Commits of submodules that are pinned no more.
    pub submodules: Vec<Oid>,
    /// Lock files that were found.
    pub locks: Vec<Lock>,
    /// Packs of ours with their bytes, before.
    pub before: (usize, u64),
    /// And now.
    pub after: (usize, u64),
    /// What the worktrees of each zone take on the disk.
    pub zones: Vec<(ZoneId, u64)>,
}

impl Collected {
    /// What was looked at again stands there once.
    fn no_doubles(&mut self) {
        once(&mut self.undos);
        once(&mut self.held_undos);
        once(&mut self.folders);
        once(&mut self.held_folders);
        once(&mut self.submodules);
    }
}

fn once<T: Ord + Clone>(all: &mut Vec<T>) {
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert(one.clone()));
}

/// A collection that broke off.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// Tasks could not be dropped.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// git cannot read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// git cannot tell what a worktree holds.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is no saved state of that number.
    #[error("nothing is saved as {0}")]
    NoState(u64),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

explain! {
    GcError {
        transparent { Ledger, Process }
        NotFound { NoState => "git khlone undo --list" }
        Failed { Retention | Git | Io => "git khlone fsck" }
    }
}

/// Collects at `now`, or says what would be collected; saved states that are `forgotten` go whatever they hold. Worktrees
/// stand by `rules`.
///
/// # Errors
/// [`GcError`]; what went before it stays gone.
pub fn gc(
    ledger: &Ledger<'_>,
    (keep, now): (Keep, i64),
    rules: &Rules<'_>,
    forgotten: &[u64],
    dry_run: bool,
) -> Result<Collected, GcError> {
    let mut collected = Collected {
        before: kept_size(ledger.site())?,
        ..Collected::default()
    };
    forget(ledger, forgotten, dry_run, &mut collected)?;
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs((now - keep.age).unsigned_abs());
    if dry_run {
        collected.tasks = would_retain(ledger, keep, now)?;
    } else {
        let mut from = Some(0);
        while let Some(at) = from {
            let some = amid_gc(ledger.repo(), || {
                Ok::<_, GcError>(retain(ledger, keep, (now, at))?)
            })?;
            collected.tasks.dropped.extend(some.dropped);
            collected.tasks.held.extend(some.held);
            collected.tasks.strays.extend(some.strays);
            from = some.next;
        }
    }
    // What a try has taken away already is not seen by the next one: it stays told.
    let mut patiently = |step: &dyn Fn(&mut Collected) -> Result<(), GcError>| {
        amid_gc(ledger.repo(), || step(&mut collected))
    };
    patiently(&|found| leftovers::undos(ledger, now - keep.age, dry_run, found))?;
    patiently(&|found| leftovers::folders(ledger, old, dry_run, found))?;
    patiently(&|found| kept::kept(ledger, old, dry_run, found))?;
    patiently(&|found| {
        found.worktrees = worktrees::strays(ledger, rules, dry_run)?;
        Ok(())
    })?;
    if !dry_run {
        patiently(&|_| leftovers::tips(ledger))?;
        drop_receipts(ledger)?;
        collected.locks = locks(ledger)?;
        compact_all(ledger.repo(), ledger.site())?;
        pack_refs(ledger.repo(), 0)?;
    }
    collected.no_doubles();
    collected.after = kept_size(ledger.site())?;
    for zone in ledger.zones()? {
        let size = zone.crew.values().filter_map(disk_use).sum();
        collected.zones.push((zone.zone.id, size));
    }
    Ok(collected)
}

/// What is in a folder; nothing where there is none.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found?.map(|entry| Ok(entry?.path())).collect(),
    }
}
