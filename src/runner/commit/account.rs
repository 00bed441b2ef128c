//! Whether all that differs after a task is in its commits or named as left. What is not is named now: the check is on
//! files and trees themselves, whatever anybody believes to have committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use git2::{Delta, DiffOptions, ObjectType, Tree};

use super::{
    Left, Uncommitted, Whose,
    before::{is_left_over, left_by_earlier},
    ignored_in, is_first, within,
};
use crate::{
    guard::{
        gitdir::{
            commit::differing,
            selection::{LeftOut, is_refused_name, raw_path},
        },
        sandbox::Confinement,
    },
    refs::{Oid, Repo},
    runner::{Run, RunnerError, claim::Claim, prepare::Prepared},
    task::{Change, Effects, FileChange, LeftFile},
    worktree::{
        effects::path_text,
        index,
        receipt::Receipt,
        snapshot::{Entry, EntryKind, Manifest},
    },
};

/// Of more files it is not told that they were edited before.
const MOST_EDITED: usize = 100;

/// What there is to hold against each other.
pub(in crate::runner) struct Books<'a> {
    pub(in crate::runner) prepared: &'a Prepared,
    pub(in crate::runner) confinement: &'a Confinement,
    pub(in crate::runner) after: &'a Receipt,
    /// Where HEAD ended; none if that was not taken.
    pub(in crate::runner) head: Option<Oid>,
}

/// Adds to `effects` what was committed besides, and to `found` what is in no commit and not named yet. Gives what is
/// worth a remark.
pub(in crate::runner) fn account(
    (run, claim): (&Run<'_>, &Claim),
    books: &Books<'_>,
    found: &mut Uncommitted,
    effects: &mut Effects,
) -> Result<Vec<String>, RunnerError> {
    let repo = run.ledger.repo();
    let mut remarks = Vec::new();
    if let Some(head) = books.head {
        let end = repo.git().find_commit(head)?.tree()?;
        let other = missing(&end, &books.after.snapshot.manifest, found, effects);
        let missing = differ(books, claim, &end, other.clone());
        let committed = changed(repo, books.prepared.head, &end)?;
        let same = other.into_iter().filter(|file| !missing.contains(file));
        let same = same.filter(|(path, _)| !committed.contains_key(&raw_path(path)));
        let same: Vec<_> = same.map(|(path, _)| the_same_to_git(path)).collect();
        remarks = replaced(books, &committed)?;
        remarks.extend(edited_before((run, claim), books, &committed)?);
        remarks.extend(add_committed(claim, books, committed, effects));
        let cause = Cause::of(repo, books, found, &missing)?;
        let mut left: Vec<_> = missing.into_iter().map(|file| cause.left(file)).collect();
        left.dedup();
        found.left.extend(left);
        found.left.extend(same);
    } else {
        let all = effects.files.iter();
        let why = "the commits of the clone were refused";
        found.left.extend(all.map(|file| Left {
            path: file.path.clone(),
            why: why.to_owned(),
            whose: Whose::All,
        }));
    }
    // What patterns keep away is deleted nowhere.
    let sparse = LeftOut::Sparse.to_string();
    let away: HashSet<_> = found
        .left
        .iter()
        .filter(|left| left.why == sparse)
        .map(|left| &left.path)
        .collect();
    effects
        .files
        .retain(|file| file.change != Change::Deleted || !away.contains(&file.path));
    effects.left = found
        .left
        .iter()
        .map(|left| LeftFile {
            path: left.path.clone(),
            why: left.why.clone(),
        })
        .collect();
    Ok(remarks)
}

/// A file whose change is none in git, so that there is nothing to commit.
fn the_same_to_git(path: String) -> Left {
    Left {
        path,
        why: "no change to git, which stores it by its attributes: line ends, a filter".to_owned(),
        whose: Whose::Others,
    }
}

/// What the commits of the task have changed.
fn changed(repo: &Repo, start: Oid, end: &Tree<'_>) -> Result<BTreeMap<Vec<u8>, Change>, RunnerError> {
    let start = repo.git().find_commit(start)?.tree()?;
    let mut options = DiffOptions::new();
    options.include_typechange(true);
    let diff = repo
        .git()
        .diff_tree_to_tree(Some(&start), Some(end), Some(&mut options))?;
    let changes = diff.deltas().filter_map(|delta| {
        let change = match delta.status() {
            Delta::Added => Change::Added,
            Delta::Deleted => Change::Deleted,
            Delta::Typechange => Change::Type,
            _ => Change::Modified,
        };
        let file = delta.new_file().path_bytes().or(delta.old_file().path_bytes());
        Some((file?.to_vec(), change))
    });
    Ok(changes.collect())
}

/// What a person had staged of a file that was committed now, the index has no more. Without a sandbox it is the brain
/// that commits it.
fn replaced(books: &Books<'_>, committed: &BTreeMap<Vec<u8>, Change>) -> Result<Vec<String>, RunnerError> {
    if committed.is_empty() || books.prepared.ground.private.is_none() {
        return Ok(Vec::new());
    }
    let staged = index::staged(&books.prepared.checkout, &books.prepared.head.to_string())?;
    let replaced = committed.keys().filter(|path| staged.contains(*path));
    Ok(replaced
        .map(|path| format!("committed by the task, and staged no more: {}", path_text(path)))
        .collect())
}

/// Files that were edited when the task began and that it has changed as well: both are in its commit. What an earlier task
/// has left so was a brain's.
fn edited_before(
    (run, claim): (&Run<'_>, &Claim),
    books: &Books<'_>,
    committed: &BTreeMap<Vec<u8>, Change>,
) -> Result<Vec<String>, RunnerError> {
    if !is_first(claim.task()) {
        return Ok(Vec::new());
    }
    let (repo, before) = (run.ledger.repo().git(), &books.prepared.before.snapshot.manifest);
    let start = repo.find_commit(books.prepared.head)?.tree()?;
    let edited = committed.keys().filter_map(|path| {
        let now = before.entry(path)?.oid?;
        let then = start.get_path(Path::new(OsStr::from_bytes(path))).ok()?.id();
        (now != then).then_some((path, now, then))
    });
    let edited: Vec<_> = edited.take(MOST_EDITED).collect();
    if edited.is_empty() {
        return Ok(Vec::new());
    }
    let earlier = left_by_earlier(run, claim.task());
    let is_anothers = |path: &[u8]| {
        let is_left = |earlier| is_left_over(earlier, before, path);
        !earlier.as_ref().is_some_and(is_left)
    };
    let mut told = Vec::new();
    for (path, now, then) in edited.into_iter().filter(|(path, ..)| is_anothers(path)) {
        // The bytes of a file that git converts are not those of its blob.
        let git = books
            .prepared
            .checkout
            .git()
            .args(["hash-object", "--stdin", "--path"]);
        let git = git
            .arg(OsStr::from_bytes(path))
            .input(repo.find_blob(now)?.content().to_vec());
        let stored = git.finish()?;
        if stored.stdout.trim_ascii_end() != then.to_string().as_bytes() {
            told.push(format!(
                "committed with edits from before the task: {}",
                path_text(path)
            ));
        }
    }
    Ok(told)
}

/// Adds what was committed though no file differs by it: what git would ignore, what is not checked out, what was there
/// before.
fn add_committed(
    claim: &Claim,
    books: &Books<'_>,
    committed: BTreeMap<Vec<u8>, Change>,
    effects: &mut Effects,
) -> Vec<String> {
    let before = &books.prepared.before.snapshot.manifest;
    let files = effects.files.iter();
    let known: BTreeSet<_> = files
        .flat_map(|file| std::iter::once(&file.path).chain(&file.from))
        .map(|path| raw_path(path))
        .collect();
    // A submodule differs by what is in it.
    let is_known = |path: &[u8]| {
        let below = [path, b"/"].concat();
        known.contains(path)
            || known
                .range(below.clone()..)
                .next()
                .is_some_and(|it| it.starts_with(&below))
    };
    let mut there = Vec::new();
    for (path, change) in committed.into_iter().filter(|(path, _)| !is_known(path)) {
        let was_there = before
            .entry(&path)
            .is_some_and(|entry| !entry.ignored && entry.kind != EntryKind::Folder);
        let path = path_text(&path);
        if was_there && is_first(claim.task()) {
            there.push(format!("committed, though there before the task: {path}"));
        }
        effects.ignored.retain(|file| file.path != path);
        effects.files.push(FileChange {
            path,
            change,
            from: None,
            truncated: false,
        });
    }
    effects.files.sort_by(|a, b| a.path.cmp(&b.path));
    there
}

/// The paths of the effects that are not in `end` byte for byte, and not named.
fn missing(
    end: &Tree<'_>,
    after: &Manifest,
    found: &Uncommitted,
    effects: &Effects,
) -> Vec<(String, Change)> {
    let named: BTreeSet<&str> = found
        .left
        .iter()
        .map(|left| left.path.strip_suffix('/').unwrap_or(&left.path))
        .collect();
    let is_named = |path: &str| {
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        named.contains(path) || above.any(|folder| named.contains(folder))
    };
    let paths = effects.files.iter().flat_map(|file| {
        let from = file.from.iter().map(|from| (from.clone(), Change::Deleted));
        std::iter::once((file.path.clone(), file.change)).chain(from)
    });
    let is_missing = |(path, _): &(String, Change)| {
        let raw = raw_path(path);
        !is_named(path) && !is_settled(&raw, found) && !is_in(end, after, &raw)
    };
    paths.filter(is_missing).collect()
}

/// Whether `path` lies in a submodule of which all is in its commits: what becomes of that one was decided.
fn is_settled(path: &[u8], found: &Uncommitted) -> bool {
    let mut above = (0..path.len())
        .filter(|at| path[*at] == b'/')
        .map(|at| &path[..at]);
    let link = above.find(|folder| found.links.contains(*folder));
    link.or(found.links.get(path).map(Vec::as_slice))
        .is_some_and(|link| !found.dirty.contains(link))
}

/// Whether a tree has at `path` what is on the disk.
fn is_in(tree: &Tree<'_>, after: &Manifest, path: &[u8]) -> bool {
    let committed = tree.get_path(Path::new(OsStr::from_bytes(path))).ok();
    let (entry, committed) = match (after.entry(path), committed) {
        (None, None) => return true,
        (Some(entry), None) => return entry.kind == EntryKind::Folder,
        (None, Some(committed)) => return committed.kind() == Some(ObjectType::Tree),
        (Some(entry), Some(committed)) => (entry, committed),
    };
    if entry.kind == EntryKind::Folder {
        return committed.kind() == Some(ObjectType::Tree);
    }
    mode_of(entry) == Some(committed.filemode()) && Some(committed.id()) == entry.oid
}

/// Whether a tree has a file at `path` with the mode that it has on the disk.
fn has_mode(tree: &Tree<'_>, after: &Manifest, path: &[u8]) -> bool {
    let committed = tree.get_path(Path::new(OsStr::from_bytes(path))).ok();
    let committed = committed.map(|committed| committed.filemode());
    committed.is_some() && after.entry(path).and_then(mode_of) == committed
}

/// git's mode of a file or link.
fn mode_of(entry: &Entry) -> Option<i32> {
    match entry.kind {
        EntryKind::Symlink => Some(0o120_000),
        EntryKind::File | EntryKind::Large if entry.stat.is_executable() => Some(0o100_755),
        EntryKind::File | EntryKind::Large => Some(0o100_644),
        _ => None,
    }
}

/// Those of `missing` that git, with the repository's filters, finds to be missing as well. It need only be asked of
/// files that the commit has, too.
fn differ(
    books: &Books<'_>,
    claim: &Claim,
    end: &Tree<'_>,
    missing: Vec<(String, Change)>,
) -> Vec<(String, Change)> {
    let after = &books.after.snapshot.manifest;
    let is_both = |path: &[u8]| {
        let kind = after.entry(path).map(|entry| entry.kind);
        let is_file = matches!(
            kind,
            Some(EntryKind::File | EntryKind::Symlink | EntryKind::Large)
        );
        is_file && end.get_path(Path::new(OsStr::from_bytes(path))).is_ok()
    };
    let asked = missing.iter().map(|(path, _)| raw_path(path));
    let asked: BTreeSet<_> = asked.filter(|path| is_both(path)).collect();
    if asked.is_empty() {
        return missing;
    }
    let (git_dir, paths): (_, Vec<_>) = (&books.prepared.ground.git_dir, asked.iter().cloned().collect());
    let differing = match differing(books.confinement, git_dir, &claim.dir, &paths) {
        Ok(differing) => BTreeSet::from_iter(differing),
        Err(error) => {
            tracing::warn!(%error, "what is committed cannot be compared");
            return missing;
        }
    };
    let is_left = |(path, change): &(String, Change)| {
        let path = raw_path(path);
        !asked.contains(&path)
            || differing.contains(&path)
            || *change == Change::Mode && !has_mode(end, after, &path)
    };
    missing.into_iter().filter(is_left).collect()
}

/// Why something is in no commit.
struct Cause<'a> {
    /// Why nothing was committed at all.
    whole: Option<String>,
    after: &'a Manifest,
    dirty: &'a BTreeSet<Vec<u8>>,
    /// What the user's git ignores in the worktree.
    ignored: HashSet<Vec<u8>>,
    ignores_mode: bool,
}

impl<'a> Cause<'a> {
    fn of(
        repo: &Repo,
        books: &'a Books<'_>,
        found: &'a Uncommitted,
        missing: &[(String, Change)],
    ) -> Result<Self, RunnerError> {
        let config = repo.config();
        let mode = config.and_then(|config| config.get_bool("core.filemode"));
        let paths = missing.iter().map(|(path, _)| path.as_str());
        Ok(Self {
            ignored: ignored_in(&books.prepared.checkout, paths)?,
            whole: found.failed.clone().or_else(|| found.untried.clone()),
            after: &books.after.snapshot.manifest,
            dirty: &found.dirty,
            ignores_mode: mode.is_ok_and(|counts| !counts),
        })
    }

    fn left(&self, (path, change): (String, Change)) -> Left {
        let raw = raw_path(&path);
        let left = |path: String, why: &str, whose| Left {
            path,
            why: why.to_owned(),
            whose,
        };
        if let Some(why) = &self.whole {
            return left(path, why, Whose::All);
        }
        if let Some(link) = within(&raw, self.dirty) {
            let why = "changes that are in no commit of the submodule";
            return left(path_text(link), why, Whose::Brains);
        }
        let entry = self.after.entry(&raw);
        let kind = entry.map(|entry| entry.kind);
        if entry.is_some_and(|entry| entry.ignored) || self.ignored.contains(&raw) {
            left(path, "ignored", Whose::Others)
        } else if is_refused_name(&raw) {
            left(path, &LeftOut::Name.to_string(), Whose::Brains)
        } else if change == Change::Mode && self.ignores_mode {
            left(
                path,
                "its mode, which git ignores here (core.fileMode)",
                Whose::Others,
            )
        } else if matches!(
            kind,
            Some(EntryKind::Fifo | EntryKind::Socket | EntryKind::Device)
        ) {
            left(path, "a pipe, socket or device", Whose::Others)
        } else if kind == Some(EntryKind::Unreadable) {
            left(path, "it cannot be read", Whose::Brains)
        } else {
            left(
                path,
                "changed after the commit, or hidden from git",
                Whose::Brains,
            )
        }
    }
}
