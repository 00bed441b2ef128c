//! Worktrees beside the repository that no clone has any more: a kill between the forgetting of a clone and the removal
//! of its worktree leaves one.
//!
//! It goes if nothing is lost with it: no file that is changed or new, no commit that no ref has, nothing half done,
//! nobody's lock. Ignored files go with it, as in any removal. Everything else stays, and is named with the reason and
//! the next command. The user's own worktrees are not looked at, also where they keep them in the same folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;
use git2::Oid;

use super::GcError;
use crate::{
    process::FileLock,
    refs::{Ledger, StoredZone, branch_ref},
    task::{TaskId, a},
    upkeep::work::inside,
    worktree::{
        carry::{listed, quoted},
        checkout::{Checkout, LOCK_WORDS},
        place::{self, Rules},
        remove::discard,
    },
};

/// A worktree that no clone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it stands.
    pub path: PathBuf,
    /// What would be lost with it, and what to do about it; it stays then.
    pub held: Option<Held>,
}

/// Why a worktree stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is in it.
    pub why: String,
    /// The next step.
    pub next: String,
}

/// Finds them, and removes those with which nothing is lost.
pub(super) fn strays(ledger: &Ledger<'_>, rules: &Rules<'_>, dry_run: bool) -> Result<Vec<Stray>, GcError> {
    // Listed before the clones, who are told of their worktree before it is made: what comes up meanwhile is in use.
    let all = Checkout::linked(ledger.repo().common_dir())?;
    let zones = ledger.zones()?;
    let holders = place::holders(ledger.repo(), rules);
    let mut found = Vec::new();
    for checkout in all {
        let parent = checkout.path.parent();
        let is_ours = holders.iter().any(|holder| Some(holder.as_path()) == parent)
            && place::is_a_clones(ledger.repo(), &checkout.path);
        if !is_ours || is_someones(&checkout, &zones) {
            continue;
        }
        let held = what_holds(ledger, &checkout)?;
        let path = checkout.path.clone();
        if held.is_none() && !dry_run {
            discard(&checkout)?.sweep();
        }
        found.push(Stray { path, held });
    }
    Ok(found)
}

/// Whether a clone has its place, or the branch that it is on.
fn is_someones(checkout: &Checkout, zones: &[StoredZone]) -> bool {
    let held = checkout.held_ref();
    let mut crew = zones.iter().flat_map(|zone| zone.crew.values());
    crew.any(|member| {
        let has_place = member.path.as_ref().is_some_and(|path| checkout.path == *path);
        has_place || held.as_ref() == Some(&branch_ref(&member.branch))
    })
}

fn what_holds(ledger: &Ledger<'_>, checkout: &Checkout) -> Result<Option<Held>, GcError> {
    if checkout.is_half_made() {
        return Ok(None);
    }
    let path = quoted(&checkout.path);
    let held = |why: String, next: String| Ok(Some(Held { why, next }));
    if let Some(reason) = checkout.lock_reason()
        && let Some(next) = is_locked(ledger, &reason, &path)
    {
        return held(format!("locked: {reason}"), next);
    }
    let inside = inside(checkout)?;
    if let Some(what) = inside.unfinished {
        return held(
            format!("{} stands half done there", a(what)),
            format!("git -C {path} status"),
        );
    }
    if let Some(commit) = lonely_commit(ledger, checkout)? {
        return held(
            format!("commit {commit:.10} is on no branch"),
            format!("git branch NAME {commit:.10}"),
        );
    }
    if !inside.uncommitted.is_empty() {
        return held(
            format!("uncommitted changes in {}", listed(&inside.uncommitted)),
            format!("git -C {path} status"),
        );
    }
    let log = |repo: &Path| format!("git -C {} log", quoted(&checkout.path.join(repo)));
    if let Some(moved) = inside.submodules.first() {
        let why = format!("commits of its own in the submodule {}", moved.display());
        return held(why, log(moved));
    }
    if let Some(repo) = inside.repositories.first() {
        let repo = repo.to_path_lossy();
        return held(format!("commits of its own in {}", repo.display()), log(&repo));
    }
    Ok(None)
}

/// Whether a lock is a person's, or that of a task which is not over; with the command that ends it.
fn is_locked(ledger: &Ledger<'_>, reason: &str, path: &str) -> Option<String> {
    let Some(ours) = reason.strip_prefix(LOCK_WORDS) else {
        return Some(format!("git worktree unlock {path}"));
    };
    let mut ids = ours
        .split_whitespace()
        .filter_map(|word| word.parse::<TaskId>().ok());
    let task = ids.find_map(|id| ledger.task(&id).ok())?.task;
    let n = task.last_attempt().map_or(0, |last| last.n);
    let runs = FileLock::is_taken(&ledger.site().layout().attempt(&task.id, n).join("attempt.lock"));
    (runs || !task.status.is_over()).then(|| format!("git khlone cancel {}", task.id))
}

/// The commit at its HEAD, or at a ref of its own, if no ref of the repository has it.
fn lonely_commit(ledger: &Ledger<'_>, checkout: &Checkout) -> Result<Option<Oid>, GcError> {
    let git = ledger.repo().git();
    for tip in own_tips(checkout) {
        let mut walk = git.revwalk()?;
        // One that is gone is lost already.
        if walk.push(tip).is_err() {
            continue;
        }
        for reference in git.references()? {
            if let Ok(commit) = reference?.peel_to_commit() {
                walk.hide(commit.id())?;
            }
        }
        if walk.next().is_some() {
            return Ok(Some(tip));
        }
    }
    Ok(None)
}

/// The commits that the worktree's own git folder names: a detached HEAD, and refs of the worktree alone.
fn own_tips(checkout: &Checkout) -> Vec<Oid> {
    let mut files = vec![checkout.git_dir.join("HEAD")];
    let mut folders = vec![checkout.git_dir.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => files.push(entry.path()),
            }
        }
    }
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.filter_map(|text| text.trim().parse().ok()).collect()
}
