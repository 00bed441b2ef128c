//! What still holds work: the one place that says which refs keep a commit, and what in a worktree is nowhere else.
//!
//! Retention, gc, prune, removal and uninstall ask here. Whether a zone has a clone's work in another form is
//! [`crate::delivery::merged`]'s to say.

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt, path::PathBuf};

use bstr::BString;
use git2::Oid;

use crate::{
    process::ProcessError,
    refs::{Ledger, LedgerError, branch_ref},
    worktree::{
        carry::changes,
        checkout::{Checkout, LOCK_WORDS},
        gitlinks,
        nested::{Git, Nested, has_own_commits},
        submodule,
    },
    zone::apart::own,
};

/// Clocks of committers differ by so much at most, in seconds.
const SKEW: i64 = 86_400;

/// The commits of the user's own branches and tags, and of those of remotes: what they have is kept. A clone's branch
/// does not count.
fn tips(ledger: &Ledger<'_>) -> Result<BTreeSet<Oid>, LedgerError> {
    let zones = ledger.zones()?;
    let crew = zones.iter().flat_map(|zone| zone.crew.values());
    let clones: BTreeSet<String> = crew.map(|member| branch_ref(&member.branch)).collect();
    let mut tips = BTreeSet::new();
    for kind in ["refs/heads/*", "refs/remotes/*", "refs/tags/*"] {
        for reference in ledger.repo().git().references_glob(kind)? {
            let reference = reference?;
            if reference.name().is_ok_and(|name| !clones.contains(name))
                && let Ok(commit) = reference.peel_to_commit()
            {
                tips.insert(commit.id());
            }
        }
    }
    Ok(tips)
}

/// Which of `commits` the user's own branches and tags have, or those of a remote.
pub(super) fn kept(ledger: &Ledger<'_>, mut commits: BTreeSet<Oid>) -> Result<BTreeSet<Oid>, LedgerError> {
    let (git, mut found) = (ledger.repo().git(), BTreeSet::new());
    let time = |oid: &Oid| git.find_commit(*oid).ok().map(|commit| commit.time().seconds());
    let Some(oldest) = commits.iter().filter_map(time).min() else {
        return Ok(found);
    };
    let mut walk = git.revwalk()?;
    walk.set_sorting(git2::Sort::TIME)?;
    for tip in tips(ledger)? {
        walk.push(tip)?;
    }
    for oid in walk {
        let oid = oid?;
        if commits.remove(&oid) {
            found.insert(oid);
        }
        // Newest first: what is older than all of them, and then some, has none of them behind it.
        if commits.is_empty() || git.find_commit(oid)?.time().seconds() < oldest - SKEW {
            break;
        }
    }
    Ok(found)
}

/// How many commits would be kept by nothing without these.
pub(super) fn only_in(ledger: &Ledger<'_>, commits: &[Oid]) -> Result<usize, LedgerError> {
    let mut walk = ledger.repo().git().revwalk()?;
    for commit in commits {
        walk.push(*commit)?;
    }
    for tip in tips(ledger)? {
        walk.hide(tip)?;
    }
    Ok(walk.count())
}

/// What a worktree has that is nowhere else, besides commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Files that are changed, staged or untracked.
    pub uncommitted: Vec<BString>,
    /// Submodules that stand at another commit: it is in no other repository.
    pub submodules: Vec<PathBuf>,
    /// Ignored repositories with commits that are in no other one.
    pub repositories: Vec<BString>,
    /// A merge, rebase or the like that stands half done.
    pub unfinished: Option<&'static str>,
    /// Why the user has locked it.
    pub locked: Option<String>,
}

/// Looks into a worktree.
///
/// # Errors
/// If it cannot be read.
pub(super) fn inside(checkout: &Checkout) -> Result<Inside, ProcessError> {
    let mut found = Inside {
        unfinished: checkout.unfinished(),
        locked: checkout
            .lock_reason()
            .filter(|reason| !reason.starts_with(LOCK_WORDS)),
        ..Inside::default()
    };
    // What was never whole, or is gone, holds nobody's work.
    if checkout.path.is_dir() && !checkout.is_half_made() {
        found.uncommitted = changes(checkout, true)?;
        found.submodules = submodule::moved(checkout)?;
        found.repositories = own_repositories(checkout)?;
        let is_named = |path: &BString| {
            let mut untracked = found.uncommitted.iter().filter_map(|it| it.strip_suffix(b"/"));
            let mut moved = found.submodules.iter().map(|it| it.as_os_str().as_bytes());
            untracked.any(|it| it == path) || moved.any(|it| it == path)
        };
        found.repositories.retain(|path| !is_named(path));
    }
    Ok(found)
}

/// The repositories in a worktree that have commits of their own.
fn own_repositories(checkout: &Checkout) -> Result<Vec<BString>, ProcessError> {
    let found = own(checkout)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let links = gitlinks::listed(checkout)?;
    let has_commits = |repo: &Nested| {
        let known = links.iter().find(|(path, _)| *path == repo.path);
        !matches!(repo.git, Git::Elsewhere(_))
            && has_own_commits(&repo.git_dir(&checkout.path), known.map(|(_, commit)| *commit))
    };
    let with_commits = found.into_iter().filter(has_commits);
    Ok(with_commits.map(|repo| repo.path).collect())
}
