//! What an attempt changed: two receipts, and the commits between.

use std::collections::BTreeSet;

use super::{Run, RunnerError};
use crate::{
    refs::{Oid, Repo},
    task::Effects,
    worktree::{
        checkout::Checkout,
        effects::{Context, Outside, effects},
        moved::is_as_linked,
        receipt::Receipt,
    },
};

/// So many things of a kind are named as reasons; effects have more of them.
pub(super) const NAMED: usize = 20;

/// What is known of the time between two receipts.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The sandbox proves that the brain wrote nothing outside its worktree.
    pub(super) confined: bool,
    /// The branches of clones; where they are not known, those of their prefix.
    pub(super) clones: Option<&'a BTreeSet<String>>,
}

/// What changed, and whose doing it can be. Branches and worktrees of other clones are their runners' doing.
pub(super) fn compare(
    run: &Run<'_>,
    (before, after): (&Receipt, &Receipt),
    (branch, checkout): (&str, &Checkout),
    seen: Seen<'_>,
) -> Effects {
    let prefix = format!("refs/heads/{}/", run.config.branch.prefix.as_str());
    let explained = |outside: Outside<'_>| match outside {
        Outside::Ref(name) if name == branch => false,
        Outside::Ref(name) => match seen.clones {
            Some(clones) => clones.contains(name),
            None => name.starts_with(&prefix),
        },
        Outside::Head(id) => id.contains('.'),
        // A worktree whose repository was moved is linked with it again.
        Outside::Config(".git") => is_as_linked(checkout),
        Outside::Config(path) => path.starts_with("worktrees/"),
    };
    let worktree = checkout.git_dir.file_name().unwrap_or_default().to_string_lossy();
    let context = Context {
        branch,
        worktree: &worktree,
        own: &|_| false,
        explained: &explained,
        confined: seen.confined,
        died: false,
    };
    effects(before, after, run.ledger.repo(), &context)
}

/// The commits that came after `old`.
pub(super) fn new_commits(repo: &Repo, old: Oid, new: Oid) -> Result<Vec<String>, RunnerError> {
    let mut walk = repo.git().revwalk()?;
    walk.push(new)?;
    walk.hide(old)?;
    Ok(walk
        .map(|oid| oid.map(|oid| oid.to_string()))
        .collect::<Result<_, _>>()?)
}
