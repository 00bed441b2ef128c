//! The refs of a private git folder, read as text that a brain may have arranged.
//!
//! Nothing is followed, sizes and counts are bounded, names and ids are checked. That an object exists is for the
//! import to find out.

use std::{collections::BTreeMap, io};

use super::refnames::{self, is_ref_name, parse_oid};
use crate::{
    guard::beneath::{Beneath, Entry},
    refs::Oid,
};

/// The largest `packed-refs` that is read: some four hundred thousand refs.
pub(super) const PACKED_CAP: usize = 32 << 20;
/// The most entries of one folder of refs, and the most loose refs in all.
const LOOSE_CAP: usize = 50_000;
/// The deepest folder of refs.
const DEPTH_CAP: usize = 32;
/// The largest reflog that is read.
const LOG_CAP: usize = 4 << 20;
/// The most entries of a reflog that are taken, newest first.
const LOG_ENTRIES: usize = 1000;

/// A ref that differs from what was prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMove {
    /// Where it stood before; none if it is new.
    pub old: Option<Oid>,
    /// Where it stands now.
    pub new: Oid,
}

/// Where a HEAD stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadState {
    /// On a branch, named in full; without an id the branch does not exist.
    Branch(String, Option<Oid>),
    /// On a commit.
    Detached(Oid),
}

impl HeadState {
    /// The branch, in full, if it is on one.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Self::Branch(name, _) => Some(name),
            Self::Detached(_) => None,
        }
    }

    /// The commit, if there is one.
    pub fn oid(&self) -> Option<Oid> {
        match self {
            Self::Branch(_, oid) => *oid,
            Self::Detached(oid) => Some(*oid),
        }
    }
}

/// An operation of git that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequencer {
    /// `git rebase`, `git am`.
    Rebase,
    /// `git merge`.
    Merge,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
}

impl Sequencer {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebase => "rebase",
            Self::Merge => "merge",
            Self::CherryPick => "cherry-pick",
            Self::Revert => "revert",
            Self::Bisect => "bisect",
        }
    }
}

/// The operation under way in a git folder, if any.
///
/// # Errors
/// When the folder cannot be read.
pub fn sequencer(git_dir: &Beneath) -> io::Result<Option<Sequencer>> {
    let marks = [
        ("rebase-merge", Sequencer::Rebase),
        ("rebase-apply", Sequencer::Rebase),
        ("MERGE_HEAD", Sequencer::Merge),
        ("CHERRY_PICK_HEAD", Sequencer::CherryPick),
        ("REVERT_HEAD", Sequencer::Revert),
        ("sequencer", Sequencer::CherryPick),
        ("BISECT_LOG", Sequencer::Bisect),
    ];
    for (name, kind) in marks {
        if git_dir.entry(name)?.is_some() {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// The refs that differ from `baseline`, the text of the `packed-refs` that was prepared. Deleted ones are not
/// told: the host keeps its own.
///
/// # Errors
/// When files are larger or more than any honest repository has.
pub(super) fn changed(git_dir: &Beneath, baseline: &str) -> io::Result<BTreeMap<String, RefMove>> {
    let packed = git_dir.read("packed-refs", PACKED_CAP)?.unwrap_or_default();
    changed_from(git_dir, &packed, baseline)
}

/// The same, where its `packed-refs` were read already.
pub(super) fn changed_from(
    git_dir: &Beneath,
    packed: &[u8],
    baseline: &str,
) -> io::Result<BTreeMap<String, RefMove>> {
    let mut now: BTreeMap<String, Oid> = BTreeMap::new();
    if packed != baseline.as_bytes() {
        let text = String::from_utf8_lossy(packed);
        for entry in refnames::packed(&text) {
            if let Some(oid) = parse_oid(entry.oid()) {
                now.insert(entry.name().to_owned(), oid);
            }
        }
    }
    let mut folders = vec![("refs".to_owned(), 0)];
    let mut count = 0;
    while let Some((folder, depth)) = folders.pop() {
        for (name, entry) in git_dir.list(&folder, LOOSE_CAP)? {
            let name = format!("{folder}/{name}");
            count += 1;
            if count > LOOSE_CAP {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many loose refs"));
            }
            match entry {
                Entry::Folder if depth < DEPTH_CAP => folders.push((name, depth + 1)),
                Entry::File if is_ref_name(&name) => {
                    if let Some(oid) = read_oid(git_dir, &name) {
                        now.insert(name, oid);
                    }
                }
                Entry::File | Entry::Folder | Entry::Other => {}
            }
        }
    }
    let many = now.len() > 64;
    let before = if many {
        refnames::packed(baseline)
    } else {
        Vec::new()
    };
    let moves = now.into_iter().filter_map(|(name, new)| {
        let old = if many {
            refnames::find(&before, &name)
        } else {
            refnames::find_in(baseline, &name)
        };
        let old = old.and_then(parse_oid);
        (old != Some(new)).then_some((name, RefMove { old, new }))
    });
    Ok(moves.collect())
}

/// Where HEAD stands, by the refs that changed and the ones that were prepared.
///
/// # Errors
/// When HEAD is no HEAD.
pub(super) fn head(
    git_dir: &Beneath,
    changed: &BTreeMap<String, RefMove>,
    baseline: &str,
) -> io::Result<HeadState> {
    let text = git_dir.read("HEAD", 4096)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_end();
    if let Some(oid) = parse_oid(text) {
        return Ok(HeadState::Detached(oid));
    }
    let name = text
        .strip_prefix("ref: ")
        .map(str::trim)
        .filter(|name| is_ref_name(name));
    let Some(name) = name.filter(|name| *name != "refs/heads/.invalid") else {
        let said = "HEAD of the clone's git folder is unreadable (has its ref format been changed?)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    };
    let oid = match changed.get(name) {
        Some(change) => Some(change.new),
        None => refnames::find_in(baseline, name).and_then(parse_oid),
    };
    Ok(HeadState::Branch(name.to_owned(), oid))
}

/// The ids that a reflog passed through, newest first, each once. One that is too long or missing gives none.
pub(super) fn logged(git_dir: &Beneath, log: &str) -> Vec<Oid> {
    let bytes = git_dir.read(log, LOG_CAP).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut seen = Vec::new();
    for line in text.lines().rev().take(LOG_ENTRIES) {
        let new = line.split(' ').nth(1).and_then(parse_oid);
        if let Some(oid) = new.filter(|oid| !oid.is_zero() && !seen.contains(oid)) {
            seen.push(oid);
        }
    }
    seen
}

fn read_oid(git_dir: &Beneath, name: &str) -> Option<Oid> {
    // Longer than an id is no id; symbolic refs stand for what they name.
    let bytes = git_dir.read(name, 4096).ok().flatten()?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| parse_oid(text.trim_end()))
}
