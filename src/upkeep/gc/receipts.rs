//! The local receipts of tasks that are done: lists of every file in a worktree, before and after.
//!
//! Only a clone's next task reads them, and only those of the task before it, to tell a person's files from the brain's.
//! They grow with the repository, so those of older tasks go: a few with each task that comes to its end, all with a
//! collection or an idle daemon. What the ledger has of them stays.

use std::{cmp::Reverse, collections::HashMap, fs, io, path::Path};

use super::GcError;
use crate::{
    refs::{Ledger, TaskHead},
    task::{Outcome, Status, Task},
};

/// The tasks of each clone whose receipts stay: the last one, and one more for a task that is just being written down.
const STAY: usize = 2;
/// So many of a clone's last tasks are looked at when another has come to its end.
const FEW: usize = 8;
/// The files.
const RECEIPTS: [&str; 2] = ["receipt-before", "receipt-after"];

/// Removes the receipts of tasks that are done, but for each clone's last ones; gives how many files went.
///
/// # Errors
/// If git cannot read, or the disk refuses.
pub fn drop_receipts(ledger: &Ledger<'_>) -> Result<usize, GcError> {
    let mut by_clone: HashMap<_, Vec<_>> = HashMap::new();
    for head in ledger.heads()? {
        by_clone
            .entry((head.zone.clone(), head.clone.clone()))
            .or_default()
            .push(head);
    }
    let mut gone = 0;
    for mut heads in by_clone.into_values() {
        heads.sort_by_key(|head| Reverse((head.updated, head.seq)));
        for head in heads.iter().skip(STAY).filter(|head| is_settled(head)) {
            gone += remove(&ledger.site().layout().attempts_of(&head.id))?;
        }
    }
    Ok(gone)
}

/// Removes the receipts of the last tasks that the clone of `last` did before it; gives how many files went. `last` has
/// come to its end, and the clone's next task reads no others.
///
/// # Errors
/// As [`drop_receipts`].
pub fn drop_receipts_before(ledger: &Ledger<'_>, last: &Task) -> Result<usize, GcError> {
    let mut heads = ledger.heads()?;
    heads.retain(|head| {
        (&head.zone, &head.clone) == (&last.zone, &last.clone) && head.id != last.id && is_settled(head)
    });
    heads.sort_by_key(|head| Reverse((head.updated, head.seq)));
    let mut gone = 0;
    for head in heads.iter().take(FEW) {
        gone += remove(&ledger.site().layout().attempts_of(&head.id))?;
    }
    Ok(gone)
}

/// Whether nothing goes on from where the task ended: what failed may be tried again.
fn is_settled(head: &TaskHead) -> bool {
    head.status == Status::Done && matches!(head.outcome, Some(Outcome::Done | Outcome::NoOp))
}

/// Removes the receipts of all attempts in `dir`.
fn remove(dir: &Path) -> io::Result<usize> {
    let attempts = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        attempts => attempts?,
    };
    let mut gone = 0;
    for attempt in attempts {
        let attempt = attempt?.path();
        for name in RECEIPTS {
            match fs::remove_file(attempt.join(name)) {
                Ok(()) => gone += 1,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(gone)
}
