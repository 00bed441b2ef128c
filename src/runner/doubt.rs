//! In doubt or external: what differs from the last checkpoint, and whose doing it can be.

use bstr::ByteSlice;

use super::{
    Run,
    compare::{Seen, compare},
};
use crate::{
    refs::Repo,
    task::{BranchMove, Change, Effects, FileChange, OpenTool},
    worktree::{checkout::Checkout, effects::path_bytes, receipt::Receipt},
};

/// What is known of the time of an attempt that died.
fn unknown(confined: bool) -> Seen<'static> {
    let clones = None;
    Seen { confined, clones }
}

/// Files up to this size are looked into.
const LOOK: usize = 1 << 20;

/// The receipts of a dead attempt.
pub(super) struct Compared<'a> {
    /// Before it began.
    pub(super) before: &'a Receipt,
    /// Its last checkpoint, or the one before.
    pub(super) base: &'a Receipt,
    /// Now.
    pub(super) after: &'a Receipt,
    /// It ran in a sandbox.
    pub(super) confined: bool,
    /// It could write no file there.
    pub(super) ask: bool,
}

/// What the attempt changed, what of it is in doubt, and what cannot be its doing.
pub(super) fn effects(run: &Run<'_>, checkout: &Checkout, compared: &Compared<'_>) -> Effects {
    let &Compared {
        before,
        base,
        after,
        confined,
        ask,
    } = compared;
    let branch = checkout.head_ref().unwrap_or_default();
    let mut effects = compare(run, (before, after), (&branch, checkout), unknown(confined));
    effects.branch = None;
    if ask && confined {
        // Its work tree could not be written.
        let changed = effects.files.drain(..);
        effects
            .external
            .extend(changed.map(|file| format!("{}: changed meanwhile", file.path)));
    } else {
        effects.in_doubt = late_files(run, checkout, (base, after));
    }
    effects
}

/// The files that differ from the last checkpoint, each with what speaks for it. Both receipts' objects must be
/// readable.
pub(super) fn late_files(
    run: &Run<'_>,
    checkout: &Checkout,
    (base, after): (&Receipt, &Receipt),
) -> Vec<String> {
    let branch = checkout.head_ref().unwrap_or_default();
    let late = compare(run, (base, after), (&branch, checkout), unknown(true));
    let repo = run.ledger.repo();
    late.files
        .iter()
        .map(|file| in_doubt(repo, file, base, after))
        .collect()
}

/// What somebody else changed between two receipts while no brain of ours ran, as `external`. `ours` is where recovery itself has
/// moved the branch meanwhile.
pub(super) fn external(
    run: &Run<'_>,
    checkout: &Checkout,
    (then, today): (&Receipt, &Receipt),
    ours: Option<&BranchMove>,
) -> Effects {
    let branch = checkout.head_ref().unwrap_or_default();
    let found = compare(run, (then, today), (&branch, checkout), unknown(true));
    let mut words: Vec<String> = found
        .files
        .iter()
        .map(|file| format!("{}: {}", file.path, word(file.change)))
        .collect();
    let moved = found.branch.filter(|moved| Some(moved) != ours);
    words.extend(moved.map(|moved| {
        let side = |side: Option<String>| side.unwrap_or_else(|| "none".to_owned());
        format!("{branch}: {} → {}", side(moved.before), side(moved.after))
    }));
    words.extend(found.external);
    Effects {
        external: words,
        beside: found.beside,
        ..Effects::default()
    }
}

/// A file that the brain may have been writing, with what speaks for it.
fn in_doubt(repo: &Repo, file: &FileChange, base: &Receipt, after: &Receipt) -> String {
    let mut marks = vec![word(file.change)];
    if file.truncated {
        marks.push("cut off or empty");
    } else if is_ragged(repo, file, base, after) {
        marks.push("ends in the middle of a line");
    }
    format!("{} ({})", file.path, marks.join(", "))
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
        Change::Renamed => "renamed",
        Change::Mode => "mode changed",
        Change::Type => "type changed",
    }
}

/// Whether a text that used to end in a line end, or is new, does not.
fn is_ragged(repo: &Repo, file: &FileChange, base: &Receipt, after: &Receipt) -> bool {
    let path = path_bytes(&file.path);
    let text = |receipt: &Receipt| {
        let entry = receipt.snapshot.manifest.entry(&path)?;
        let size = usize::try_from(entry.stat.size).ok()?;
        let blob = repo.git().find_blob(entry.oid.filter(|_| size <= LOOK)?).ok()?;
        Some(blob.content().to_vec())
    };
    let whole = |text: &[u8]| text.ends_with(b"\n") || text.find_byte(0).is_some();
    match text(after) {
        Some(now) if !whole(&now) => text(base).is_none_or(|old| whole(&old)),
        _ => false,
    }
}

/// A tool that may have been running.
pub(super) fn tool(open: &OpenTool) -> String {
    if open.paths.is_empty() {
        return open.tool.clone();
    }
    format!("{} ({})", open.tool, open.paths.join(", "))
}
