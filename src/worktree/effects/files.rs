//! The files that differ between two manifests.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use git2::Oid;

use super::path_text;
use crate::{
    refs::{Kind, Repo},
    task::{Change, FileChange},
    worktree::snapshot::{Entry, EntryKind, Folder, Manifest, manifest::join},
};

/// What differs between two manifests, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Files that are part of the work.
    pub files: Vec<FileChange>,
    /// Files that git ignores.
    pub ignored: Vec<FileChange>,
}

/// A file that differs, before it is put in words.
struct Found<'a> {
    change: Change,
    before: Option<&'a Entry>,
    after: Option<&'a Entry>,
}

type ByPath<'a> = BTreeMap<BString, Found<'a>>;

/// Compares two manifests; `repo` has the blobs of the first.
///
/// Below a folder that could not be read whole on either side nothing is said: what is missing there is not
/// known to be gone.
pub fn differences(before: &Manifest, after: &Manifest, repo: &Repo) -> Differences {
    let mut found = ByPath::new();
    let blind = blind_spots(before, after);
    let paths: BTreeSet<&BString> = before
        .folders()
        .iter()
        .chain(after.folders())
        .map(|it| &it.path)
        .collect();
    for path in paths {
        if !blind.iter().any(|spot| within(path, spot)) {
            folder(path, before.folder(path), after.folder(path), &mut found);
        }
    }
    let (ignored, mut files): (ByPath<'_>, ByPath<'_>) = found.into_iter().partition(|(_, it)| {
        it.before.or(it.after).is_some_and(|entry| entry.ignored)
            && it.after.is_none_or(|entry| entry.ignored)
    });
    let renames = take_renames(&mut files);
    let words = |(path, it): (BString, Found<'_>)| FileChange {
        path: path_text(&path),
        change: it.change,
        from: renames.get(&path).map(|from| path_text(from)),
        truncated: is_cut(&it, repo),
    };
    Differences {
        files: files.into_iter().map(words).collect(),
        ignored: ignored.into_iter().map(words).collect(),
    }
}

/// Folders of which one side does not know everything.
fn blind_spots(before: &Manifest, after: &Manifest) -> BTreeSet<BString> {
    let mut spots = BTreeSet::new();
    for manifest in [before, after] {
        for folder in manifest.folders() {
            let ignored = folder.entries.is_empty() && folder.cut;
            if ignored {
                spots.insert(folder.path.clone());
            }
            for entry in folder
                .entries
                .iter()
                .filter(|entry| entry.kind == EntryKind::Unreadable)
            {
                spots.insert(join(&folder.path, &entry.name));
            }
        }
    }
    spots
}

fn within(path: &[u8], spot: &[u8]) -> bool {
    path.strip_prefix(spot)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn folder<'a>(path: &BString, before: Option<&'a Folder>, after: Option<&'a Folder>, found: &mut ByPath<'a>) {
    let entries = |folder: Option<&'a Folder>| folder.map_or(&[][..], |it| it.entries.as_slice());
    let (mut old, mut new) = (
        entries(before).iter().peekable(),
        entries(after).iter().peekable(),
    );
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let (a, b) = (
            if order.is_le() { old.next() } else { None },
            if order.is_ge() { new.next() } else { None },
        );
        if let (Some(change), Some(entry)) = (compare(a, b), a.or(b)) {
            found.insert(
                join(path, &entry.name),
                Found {
                    change,
                    before: a,
                    after: b,
                },
            );
        }
    }
}

fn compare(before: Option<&Entry>, after: Option<&Entry>) -> Option<Change> {
    let (a, b) = match (before, after) {
        (Some(a), Some(b)) => (a, b),
        (Some(a), None) => return (a.kind != EntryKind::Folder).then_some(Change::Deleted),
        (None, Some(b)) => return (b.kind != EntryKind::Folder).then_some(Change::Added),
        (None, None) => return None,
    };
    if a.kind != b.kind && !(a.is_file() && b.is_file()) {
        return Some(Change::Type);
    }
    let content = match (a.kind, a.oid, b.oid) {
        (
            EntryKind::File | EntryKind::Large | EntryKind::Symlink | EntryKind::Repository,
            Some(a),
            Some(b),
        ) => a != b,
        (EntryKind::File | EntryKind::Large | EntryKind::Symlink, ..) => a.stat != b.stat,
        _ => false,
    };
    if content {
        return Some(Change::Modified);
    }
    (a.is_file() && a.stat.is_executable() != b.stat.is_executable()).then_some(Change::Mode)
}

/// Joins what is gone in one place and new in another with the same content, and gives the old path by the new.
fn take_renames(files: &mut ByPath<'_>) -> BTreeMap<BString, BString> {
    let content = |entry: Option<&Entry>| {
        entry
            .filter(|it| it.stat.size > 0)
            .and_then(|it| Some((it.kind, it.oid?)))
    };
    let mut gone: BTreeMap<(String, Oid), Vec<BString>> = BTreeMap::new();
    for (path, it) in files.iter().rev().filter(|(_, it)| it.change == Change::Deleted) {
        if let Some((kind, oid)) = content(it.before) {
            gone.entry((format!("{kind:?}"), oid))
                .or_default()
                .push(path.clone());
        }
    }
    let mut renames = BTreeMap::new();
    for (path, it) in files.iter_mut().filter(|(_, it)| it.change == Change::Added) {
        let from = content(it.after).and_then(|(kind, oid)| gone.get_mut(&(format!("{kind:?}"), oid))?.pop());
        if let Some(from) = from {
            it.change = Change::Renamed;
            renames.insert(path.clone(), from);
        }
    }
    for from in renames.values() {
        files.remove(from);
    }
    renames
}

/// Whether a file is empty, or what it was up to some byte: as a writer leaves it that was stopped.
fn is_cut(it: &Found<'_>, repo: &Repo) -> bool {
    let Some(after) = it.after.filter(|after| after.is_file()) else {
        return false;
    };
    match (it.change, it.before.filter(|before| before.is_file())) {
        (Change::Added, _) => after.stat.size == 0,
        (Change::Modified, Some(before)) if after.stat.size < before.stat.size => {
            after.stat.size == 0 || is_prefix(before, after, repo).unwrap_or(false)
        }
        _ => false,
    }
}

fn is_prefix(before: &Entry, after: &Entry, repo: &Repo) -> Option<bool> {
    let blob = repo.git().find_blob(before.oid?).ok()?;
    let prefix = blob.content().get(..usize::try_from(after.stat.size).ok()?)?;
    Some(Kind::Blob.hash(prefix).ok()? == after.oid?)
}
