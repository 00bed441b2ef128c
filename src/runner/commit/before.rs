//! What was there before the task: a person's, or left by an earlier task of the clone.

use std::{cmp::Reverse, collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use rustix::fs::FileType;

use crate::{
    guard::gitdir::selection::LeftOut,
    runner::Run,
    task::{Effects, Task},
    worktree::{
        checkout::Checkout,
        effects::path_text,
        receipt::Receipt,
        snapshot::{Entry, EntryKind, Manifest, StatKey},
    },
};

/// So many of a clone's tasks, the last ones to change, may be the one before.
const LOOKED_INTO: usize = 8;

/// What the task of this clone before found and left.
pub(super) struct Earlier {
    found: Manifest,
    left: Manifest,
    /// What patterns of a sparse checkout had taken from the disk.
    away: HashSet<String>,
}

/// What the task of this clone before found and left, if its receipts are still there.
pub(super) fn left_by_earlier(run: &Run<'_>, task: &Task) -> Option<Earlier> {
    let heads = run.ledger.heads().ok()?.into_iter();
    let mut ended: Vec<_> = heads
        .filter(|head| (&head.zone, &head.clone) == (&task.zone, &task.clone) && head.id != task.id)
        .filter(|head| head.status.is_over())
        .collect();
    // What is said of a task later, that it has landed say, changes the time in its head: a few are looked into.
    ended.sort_by_key(|head| Reverse((head.updated, head.seq)));
    let ended = ended.iter().take(LOOKED_INTO);
    let ended = ended.filter_map(|head| run.ledger.task(&head.id).ok());
    let ends = |task: &Task| task.last_attempt().and_then(|attempt| attempt.ended);
    let stored = ended.max_by_key(|stored| (ends(&stored.task), stored.task.seq))?;
    let last = &stored.task;
    let n = last.last_attempt()?.n;
    let effects = run.ledger.file(&stored, &format!("attempts/{n}/effects.json"));
    let effects: Effects = serde_json::from_slice(&effects.ok()??).unwrap_or_default();
    let sparse = LeftOut::Sparse.to_string();
    let named = effects.left.into_iter().filter(|left| left.why == sparse);
    let dir = run.ledger.site().layout().attempt(&last.id, n);
    let manifest = |name: &str| {
        let bytes = std::fs::read(dir.join(name)).ok()?;
        Some(Receipt::from_bytes(&bytes).ok()?.snapshot.manifest)
    };
    Some(Earlier {
        found: manifest("receipt-before")?,
        left: manifest("receipt-after")?,
        away: named.map(|left| left.path).collect(),
    })
}

/// Whether an earlier brain changed `path` to what it is: it is its work then, which could not be committed. A
/// repository of its own never can.
pub(super) fn is_left_over(earlier: &Earlier, before: &Manifest, path: &[u8]) -> bool {
    let Earlier { found, left, away } = earlier;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let is_nested = |entry: &Entry| matches!(entry.kind, EntryKind::Folder | EntryKind::Repository);
    let stat = |manifest: &Manifest| manifest.entry(path).map(|entry| entry.stat);
    let now = before.entry(path);
    let is_away = now.is_none() && away.contains(&path_text(path));
    !is_away
        && now.is_none_or(|entry| !is_nested(entry))
        && stat(left) == stat(before)
        && stat(found) != stat(left)
}

/// Whether `path` is what it was before the brain began. What was not and is not on the disk was deleted before, if
/// `was_deleted` holds: a file that the brain has committed and then deleted was not there either.
pub(super) fn is_as_before(
    before: &Manifest,
    top: &Path,
    path: &[u8],
    was_deleted: impl Fn() -> bool,
) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let now = top.join(OsStr::from_bytes(path));
    match (before.entry(path), rustix::fs::lstat(&now)) {
        // A nested repository, of which git says no more.
        (Some(entry), Ok(stat)) if matches!(entry.kind, EntryKind::Folder | EntryKind::Repository) => {
            FileType::from_raw_mode(stat.st_mode).is_dir()
        }
        (Some(entry), Ok(stat)) => entry.stat == StatKey::of(&stat),
        (None, Err(_)) => was_deleted(),
        _ => false,
    }
}

/// The files that the patterns of a sparse checkout keep away, by the host's own index; none where that cannot be told.
pub(in crate::runner) fn away(checkout: &Checkout) -> Option<HashSet<Vec<u8>>> {
    let listed = checkout.git().args(["ls-files", "-t", "-z"]).output().ok()?;
    let records = listed.split(|byte| *byte == 0);
    Some(
        records
            .filter_map(|record| Some(record.strip_prefix(b"S ")?.to_vec()))
            .collect(),
    )
}
