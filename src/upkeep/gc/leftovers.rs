//! Saved states that are old, private git folders without a clone, and what killed programs left behind.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bstr::ByteSlice;
use git2::Oid;

use super::{Collected, GcError, entries, forgotten::apart};
use crate::{
    process::{FileLock, file::read_no_link},
    refs::{KEPT, LANDED, Layout, Ledger, LedgerError, UNDO, Undo, delete_ref},
    upkeep::work::kept,
    worktree::{erase::erase, remove::sweep},
};

/// A temporary file that is older belongs to a program that is gone.
const ABANDONED: Duration = Duration::from_hours(24);

/// Saved states from before `before`. What was moved aside for one that is there no more is somebody's last, whatever its age.
pub(super) fn undos(
    ledger: &Ledger<'_>,
    before: i64,
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), GcError> {
    for (undo, _) in ledger.undos()?.into_iter().filter(|(undo, _)| undo.at < before) {
        if holds_work(ledger, &undo)? {
            collected.held_undos.push(undo.n);
            continue;
        }
        collected.undos.push(undo.n);
        if !dry_run {
            ledger.forget_undo(&undo)?;
        }
    }
    let whole: BTreeSet<u64> = ledger.undos()?.into_iter().map(|(undo, _)| undo.n).collect();
    let folder = |n: &u64| ledger.site().layout().apart().join(n.to_string());
    let without = apart(ledger)?;
    collected
        .held_folders
        .extend(without.difference(&whole).map(folder));
    Ok(())
}

/// The tips of states that were never saved whole, or are forgotten but for them. Whoever saves one holds the packs.
pub(super) fn tips(ledger: &Ledger<'_>) -> Result<(), GcError> {
    let Some(_turn) = FileLock::try_take(&ledger.site().layout().packs_lock())? else {
        return Ok(());
    };
    let whole: BTreeSet<u64> = ledger.undos()?.into_iter().map(|(undo, _)| undo.n).collect();
    let repo = ledger.repo();
    for reference in repo.git().references_glob(&format!("{UNDO}*"))? {
        let reference = reference?;
        let (Ok(name), Some(tip)) = (reference.name(), reference.target()) else {
            continue;
        };
        let n = name.strip_prefix(UNDO).and_then(|rest| rest.split('/').next());
        let Some(Ok(n)) = n.map(str::parse::<u64>) else {
            continue;
        };
        // One that nothing else has is somebody's last.
        let is_alone = || -> Result<bool, GcError> {
            let mut tips = BTreeSet::from([tip]);
            if name.ends_with(KEPT) {
                tips = repo.git().find_commit(tip)?.parent_ids().collect();
            }
            let found = kept(ledger, tips.clone())?;
            Ok(found != tips)
        };
        // A landing without its state was never made, or is forgotten.
        let is_landing = name.ends_with(&format!("/{LANDED}"));
        if !whole.contains(&n) && (is_landing || !is_alone()?) {
            delete_ref(repo, name, tip).map_err(LedgerError::from)?;
        }
    }
    Ok(())
}

/// Whether a saved state has a commit or a file that nothing else has. A work tree that is not the one of its
/// commit, to the byte, may.
fn holds_work(ledger: &Ledger<'_>, undo: &Undo) -> Result<bool, GcError> {
    let git = ledger.repo().git();
    let mut tips = BTreeSet::new();
    for kept in &undo.clones {
        let Some(tip) = kept.tip.as_ref().and_then(|tip| tip.parse::<Oid>().ok()) else {
            return Ok(true);
        };
        let tree = git.find_commit(tip)?.tree_id().to_string();
        let differs = |saved: &Option<String>| saved.as_ref().is_some_and(|saved| *saved != tree);
        let is_more = !kept.ignored.is_empty() || !kept.apart.is_empty();
        if differs(&kept.work) || differs(&kept.index) || is_more {
            return Ok(true);
        }
        tips.insert(tip);
        tips.extend(
            kept.commits
                .iter()
                .filter_map(|commit| commit.parse::<Oid>().ok()),
        );
    }
    let found = kept(ledger, tips.clone())?;
    Ok(found != tips)
}

/// Folders that belong to no clone, and are older than `before`.
pub(super) fn folders(
    ledger: &Ledger<'_>,
    before: SystemTime,
    dry_run: bool,
    collected: &mut Collected,
) -> Result<(), GcError> {
    let (mut clones, mut holders) = (BTreeSet::new(), BTreeSet::new());
    // Listed before the clones: what comes up meanwhile is in use.
    let private = entries(&ledger.site().layout().private_gits())?;
    for zone in ledger.zones()? {
        for (name, crew) in &zone.crew {
            clones.insert(Layout::clone_key(&zone.zone.id, name));
            holders.extend(
                crew.path
                    .as_ref()
                    .and_then(|path| Path::new(path).parent().map(Path::to_owned)),
            );
        }
    }
    let is_without = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !clones.contains(name.as_ref()) && is_older(path, before)
    };
    for folder in private.into_iter().filter(is_without) {
        if has_own_commits(ledger, &folder.join("git"))? {
            collected.held_folders.push(folder);
            continue;
        }
        if !dry_run {
            erase(&folder)?;
        }
        collected.folders.push(folder);
    }
    let since = SystemTime::now() - ABANDONED;
    for file in entries(&ledger.site().layout().temp())?
        .into_iter()
        .filter(|path| is_older(path, since))
    {
        if !dry_run {
            erase(&file)?;
        }
        collected.folders.push(file);
    }
    if !dry_run {
        for holder in &holders {
            sweep(holder);
        }
    }
    Ok(())
}

/// Whether a private git folder has a ref on a commit that the repository does not have, or that cannot be read.
fn has_own_commits(ledger: &Ledger<'_>, git_dir: &Path) -> io::Result<bool> {
    let mut values = Vec::new();
    // A brain writes there: what is no file is nothing to wait for, and leads nowhere.
    let read = |path: &Path| read_no_link(path).map(|bytes| bytes.to_str_lossy().into_owned());
    for file in ["HEAD", "ORIG_HEAD", "packed-refs"] {
        match read(&git_dir.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Ok(true),
            text => values.extend(text),
        }
    }
    let mut folders = vec![git_dir.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            match fs::symlink_metadata(&entry)? {
                meta if meta.is_dir() => folders.push(entry),
                _ => match read(&entry) {
                    Ok(text) => values.push(text),
                    Err(_) => return Ok(true),
                },
            }
        }
    }
    let words = values.iter().flat_map(|text| text.split_whitespace());
    let mut commits = words.filter_map(|word| {
        word.trim_start_matches('^')
            .parse::<Oid>()
            .ok()
            .filter(|_| word.len() >= 40)
    });
    Ok(commits.any(|commit| ledger.repo().git().find_object(commit, None).is_err()))
}

fn is_older(path: &Path, than: SystemTime) -> bool {
    fs::symlink_metadata(path)
        .and_then(|meta| meta.modified())
        .is_ok_and(|at| at < than)
}
