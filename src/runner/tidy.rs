//! What goes as soon as a task is over: the ledger has all that its attempts wrote down, and each small file takes a
//! block of the disk.
//!
//! In the folder of an attempt stays what is still read there: its locks, what its brain said, which watchers follow by
//! offset, and the receipts, which the clone's next task may ask for. Those of the clone's earlier tasks go.

use std::{fs, io, path::Path};

use crate::{
    refs::Ledger,
    task::Task,
    upkeep::gc::{GcError, drop_receipts_before},
    worktree::erase::erase,
};

/// How the names begin of what stays.
const STAY: [&str; 6] = [
    "attempt.lock",
    "runner.lock",
    "events",
    "figures",
    "receipt-",
    "std",
];

/// Tidies up after a task that is over. Nothing depends on it: what stays goes with the task.
pub(super) fn tidy(ledger: &Ledger<'_>, task: &Task) {
    if let Err(error) = attempts(&ledger.site().layout().attempts_of(&task.id)) {
        tracing::debug!(%error, "files of the attempts stay until retention");
    }
    if let Err(error) = earlier(ledger, task) {
        tracing::debug!(%error, "receipts of earlier tasks stay until the daemon is idle");
    }
}

fn earlier(ledger: &Ledger<'_>, task: &Task) -> Result<(), GcError> {
    let gone = drop_receipts_before(ledger, task)?;
    tracing::debug!(gone, "receipts of earlier tasks");
    Ok(())
}

fn attempts(dir: &Path) -> io::Result<()> {
    for attempt in entries(dir)? {
        for file in entries(&attempt)? {
            let name = file.file_name().unwrap_or_default().as_encoded_bytes();
            if !STAY.iter().any(|stays| name.starts_with(stays.as_bytes())) {
                erase(&file)?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}
