//! The files before and after a task, as trees to compare.
//!
//! They are its snapshots, which leave out what git ignores. A file that was committed all the same (`git add -f`) is
//! part of what the task changed, so it is put beside them.

use bstr::{BString, ByteSlice};

use crate::{
    refs::{Beside, Ledger, LedgerError, Oid, Stored},
    task::{Change, Effects},
    worktree::{
        effects::path_bytes,
        snapshot::{Marker, encode},
    },
};

/// The two trees.
pub struct Sides {
    /// Before.
    pub before: Oid,
    /// After.
    pub after: Oid,
    /// What has the second one, where the repository has not.
    pub beside: Option<Beside>,
}

/// Both sides of a task: of its last attempt, and of those that it went on with. None where nothing was written down yet.
///
/// # Errors
/// If the ledger cannot be read.
pub fn sides(ledger: &Ledger<'_>, stored: &Stored) -> Result<Option<Sides>, LedgerError> {
    let last = stored.task.last_attempt().map_or(0, |attempt| attempt.n);
    let Some(after) = ledger.folder(stored, &format!("attempts/{last}/after"))? else {
        return Ok(None);
    };
    for n in stored.task.first_of_last()..=last {
        // One that died early has none.
        let Some(before) = ledger.folder(stored, &format!("attempts/{n}/before"))? else {
            continue;
        };
        let mut sides = Sides {
            before,
            after,
            beside: None,
        };
        for n in n..=last {
            add_committed(ledger, (stored, n), &mut sides)?;
        }
        return Ok(Some(sides));
    }
    Ok(None)
}

/// Adds the files that an attempt has committed and its snapshot left out.
fn add_committed(
    ledger: &Ledger<'_>,
    (stored, n): (&Stored, u32),
    sides: &mut Sides,
) -> Result<(), LedgerError> {
    let bytes = ledger.file(stored, &format!("attempts/{n}/effects.json"))?;
    let effects = bytes.and_then(|bytes| serde_json::from_slice::<Effects>(&bytes).ok());
    let Some(effects) = effects else { return Ok(()) };
    let repo = ledger.repo();
    let tip = effects.commits.first().and_then(|oid| oid.parse().ok());
    // One that has gone since tells nothing any more.
    let Some(tip) = tip.and_then(|oid: Oid| repo.git().find_commit(oid).ok()) else {
        return Ok(());
    };
    let there = effects.files.iter();
    let there = there.filter(|file| file.change != Change::Deleted);
    let paths: Vec<BString> = there.map(|file| path_bytes(&file.path)).collect();
    let missing = {
        let git = sides.beside.as_ref().map_or(repo.git(), Beside::git);
        let after = git.find_tree(sides.after)?;
        let has = |path: &[u8]| after.get_path(path.to_path_lossy().as_ref()).is_ok();
        let mut paths = paths;
        paths.retain(|path| !has(path) && !has(&spelled(path)));
        paths
    };
    if missing.is_empty() {
        return Ok(());
    }
    let beside = match sides.beside.take() {
        Some(beside) => beside,
        None => Beside::new(repo)?,
    };
    sides.after = beside.with(
        sides.after,
        tip.tree_id(),
        missing.iter().map(|path| path.as_bstr()),
    )?;
    sides.beside = Some(beside);
    Ok(())
}

/// A path whose last name stands in a snapshot as one that git would refuse.
fn spelled(path: &[u8]) -> Vec<u8> {
    let at = path.rfind_byte(b'/').map_or(0, |at| at + 1);
    [&path[..at], encode(&path[at..], Marker::Name).as_slice()].concat()
}
