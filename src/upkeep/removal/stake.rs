//! What would be lost with a clone.

use std::{fmt, os::unix::ffi::OsStrExt, path::PathBuf};

use bstr::BString;
use git2::Oid;

use super::RemovalError;
use crate::{
    delivery::merged::Judge,
    process::ProcessError,
    refs::{Crew, Ledger, Repo, StoredZone, branch_ref},
    task::{CloneName, ZoneId},
    worktree::{
        carry::{changes, listed},
        checkout::{Checkout, LOCK_WORDS},
        gitlinks,
        nested::{Git, Nested, has_own_commits},
        submodule,
    },
    zone::{apart::own, saving::worktree_of},
};

/// What is at stake in a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stake {
    /// The clone.
    pub clone: CloneName,
    /// Files that are changed, staged or untracked.
    pub uncommitted: Vec<BString>,
    /// Commits that are on no other branch, here or at a remote.
    pub unlanded: usize,
    /// Submodules that stand at another commit: it is in no other repository.
    pub submodules: Vec<PathBuf>,
    /// Ignored repositories with commits that are in no other one.
    pub repositories: Vec<BString>,
    /// A merge, rebase or the like that stands half done.
    pub unfinished: Option<&'static str>,
    /// Why the user has locked the worktree.
    pub locked: Option<String>,
}

impl Stake {
    /// Whether anything is.
    pub fn is_something(&self) -> bool {
        !self.uncommitted.is_empty()
            || self.unlanded > 0
            || !self.submodules.is_empty()
            || !self.repositories.is_empty()
            || self.unfinished.is_some()
            || self.locked.is_some()
    }
}

impl fmt::Display for Stake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.unlanded {
            0 => {}
            1 => parts.push("1 commit that has not landed".to_owned()),
            n => parts.push(format!("{n} commits that have not landed")),
        }
        if !self.uncommitted.is_empty() {
            parts.push(format!("uncommitted changes in {}", listed(&self.uncommitted)));
        }
        let moved = self.submodules.iter();
        parts.extend(moved.map(|path| format!("commits of its own in the submodule {}", path.display())));
        if !self.repositories.is_empty() {
            parts.push(format!("commits of its own in {}", listed(&self.repositories)));
        }
        parts.extend(self.unfinished.map(|what| format!("a {what} in progress")));
        parts.extend(
            self.locked
                .as_ref()
                .map(|why| format!("a locked worktree ({why})")),
        );
        write!(f, "{} has {}", self.clone, parts.join(" and "))
    }
}

/// What is at stake in each clone of a zone.
///
/// # Errors
/// If git cannot tell.
pub fn stakes(ledger: &Ledger<'_>, zone: &StoredZone) -> Result<Vec<Stake>, RemovalError> {
    let zone_tip = ledger.repo().ref_target(&branch_ref(&zone.zone.branch))?;
    zone.crew
        .values()
        .map(|crew| stake(ledger, (&zone.zone.id, crew), zone_tip))
        .collect()
}

fn stake(
    ledger: &Ledger<'_>,
    (zone, crew): (&ZoneId, &Crew),
    zone_tip: Option<Oid>,
) -> Result<Stake, RemovalError> {
    let mut stake = Stake {
        clone: crew.name.clone(),
        uncommitted: Vec::new(),
        unlanded: 0,
        submodules: Vec::new(),
        repositories: Vec::new(),
        unfinished: None,
        locked: None,
    };
    let tip = ledger.repo().ref_target(&branch_ref(&crew.branch))?;
    let checkout = worktree_of(ledger, crew);
    // On no branch, HEAD has commits of its own.
    let head = checkout.as_ref().and_then(Checkout::detached_head);
    let tips: Vec<_> = tip.into_iter().chain(head).collect();
    stake.unlanded = unlanded(ledger, (zone, &crew.name), &tips, zone_tip)?;
    let Some(checkout) = checkout else {
        return Ok(stake);
    };
    stake.locked = checkout
        .lock_reason()
        .filter(|reason| !reason.starts_with(LOCK_WORDS));
    stake.unfinished = checkout.unfinished();
    // What was never whole, or is gone, holds nobody's work.
    if checkout.path.is_dir() && !checkout.is_half_made() {
        stake.uncommitted = changes(&checkout, true)?;
        stake.submodules = submodule::moved(&checkout)?;
        stake.repositories = own_repositories(&checkout)?;
        let is_named = |path: &BString| {
            let mut untracked = stake.uncommitted.iter().filter_map(|it| it.strip_suffix(b"/"));
            let mut moved = stake.submodules.iter().map(|it| it.as_os_str().as_bytes());
            untracked.any(|it| it == path) || moved.any(|it| it == path)
        };
        stake.repositories.retain(|path| !is_named(path));
    }
    Ok(stake)
}

/// The repositories in a worktree that have commits of their own.
///
/// # Errors
/// If the worktree cannot be read.
pub fn own_repositories(checkout: &Checkout) -> Result<Vec<BString>, ProcessError> {
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

/// The commits of `tips` that would be on no branch without them, unless the zone has their work.
fn unlanded(
    ledger: &Ledger<'_>,
    clone: (&ZoneId, &CloneName),
    tips: &[Oid],
    zone_tip: Option<Oid>,
) -> Result<usize, RemovalError> {
    let own = only_here(ledger.repo(), tips, &clone_branches(ledger)?)?;
    let Some(zone_tip) = zone_tip.filter(|_| own > 0) else {
        return Ok(own);
    };
    let mut judge = Judge::new(ledger);
    for tip in tips {
        if !judge.has(clone, *tip, zone_tip)? {
            return Ok(own);
        }
    }
    Ok(0)
}

fn clone_branches(ledger: &Ledger<'_>) -> Result<Vec<String>, RemovalError> {
    let zones = ledger.zones()?;
    let crew = zones.iter().flat_map(|zone| zone.crew.values());
    Ok(crew.map(|member| branch_ref(&member.branch)).collect())
}

fn only_here(repo: &Repo, tips: &[Oid], clones: &[String]) -> Result<usize, git2::Error> {
    let mut walk = repo.git().revwalk()?;
    for tip in tips {
        walk.push(*tip)?;
    }
    for reference in repo.git().references()? {
        let reference = reference?;
        let Ok(name) = reference.name() else { continue };
        let is_kept = name.starts_with("refs/heads/")
            || name.starts_with("refs/remotes/")
            || name.starts_with("refs/tags/");
        if !is_kept || clones.iter().any(|clone| clone == name) {
            continue;
        }
        if let Some(commit) = reference.peel_to_commit().ok().map(|commit| commit.id()) {
            walk.hide(commit)?;
        }
    }
    Ok(walk.count())
}
