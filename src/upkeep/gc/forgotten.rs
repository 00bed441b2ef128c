//! Saved states that a person gives up. What one has is often nowhere else, so nothing but that person's word ends it:
//! age alone ends only those that hold nothing of their own (`leftovers`).
//!
//! The state goes first, then what was moved aside for it: cut short, that is still told, by the same number.

use std::collections::BTreeSet;

use super::{Collected, GcError, entries};
use crate::{refs::Ledger, worktree::erase::erase};

/// Drops the saved states of `numbers`, with all that they hold; with `dry_run`, only says that they would go.
///
/// # Errors
/// [`GcError::NoState`] if there is none of a number; none is dropped then.
pub fn forget(
    ledger: &Ledger<'_>,
    numbers: &[u64],
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), GcError> {
    let states = ledger.undos()?;
    let saved = |n: u64| states.iter().map(|(undo, _)| undo).find(|undo| undo.n == n);
    let apart = apart(ledger)?;
    if let Some(n) = numbers
        .iter()
        .find(|n| saved(**n).is_none() && !apart.contains(n))
    {
        return Err(GcError::NoState(*n));
    }
    for n in numbers {
        if !dry_run {
            if let Some(undo) = saved(*n) {
                ledger.forget_undo(undo)?;
            }
            erase(&ledger.site().layout().apart().join(n.to_string()))?;
        }
        collected.undos.push(*n);
    }
    Ok(())
}

/// The numbers under which something was moved aside.
pub(super) fn apart(ledger: &Ledger<'_>) -> Result<BTreeSet<u64>, GcError> {
    let folders = entries(&ledger.site().layout().apart())?;
    let number = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse().ok();
    Ok(folders.iter().filter_map(number).collect())
}
