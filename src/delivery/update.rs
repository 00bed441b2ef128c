//! `update`: a clone's branch is made anew on the zone's tip, commit by commit, in memory.
//!
//! No rebase stands half done at any moment: the new commits are made beside the old ones, then the files of the
//! worktree and the branch move, in the order of [`super::advance`]. So a conflict leaves nothing to undo. Merges
//! are flattened and commits whose change the zone has are left out, as `git rebase` does. The clone as it was is
//! saved first, see [`crate::refs::Undo`].

use bstr::BString;
use git2::Oid;

use super::{
    advance::{AdvanceError, swap},
    merge::{MergeError, Merged, pick, replay},
};
use crate::{
    process::{Cmd, ProcessError},
    refs::{Crew, Ledger, LedgerError, Pack, Repo, TreeEdit, Zone, branch_ref},
    task::{Class, Explain},
    worktree::{
        carry::{Carry, CarryError, listed},
        checkout::Checkout,
    },
    zone::saving::{SaveError, save_clone, worktree_of},
};

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// Where the branch was.
    pub from: Oid,
    /// Where it is.
    pub to: Oid,
    /// The commits that were made anew, old and new, oldest first.
    pub rewritten: Vec<(Oid, Oid)>,
    /// The commits whose change the zone has already.
    pub dropped: Vec<Oid>,
}

/// A branch that was not updated; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A commit does not fit.
    #[error("`{subject}` ({commit:.10}) conflicts with the zone in {names}; nothing was changed", names = listed(.files))]
    Conflict {
        /// The branch.
        branch: String,
        /// The zone's tip.
        onto: Oid,
        /// The commit that does not fit.
        commit: Oid,
        /// Its subject.
        subject: String,
        /// The files.
        files: Vec<BString>,
    },
    /// The files or the branch could not be moved.
    #[error(transparent)]
    Move(#[from] AdvanceError),
    /// The clone cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// git failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Explain for UpdateError {
    fn class(&self) -> Class {
        match self {
            Self::Conflict { .. } => Class::Refused,
            Self::Move(error) => error.class(),
            Self::Save(error) => error.class(),
            Self::Ledger(error) => error.class(),
            Self::Process(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict { branch, onto, .. } => Some(format!(
                "solve it by hand: git -C \"$(git khlone path {})\" rebase {onto:.10}",
                clone_of(branch)
            )),
            Self::Move(error) => error.hint(),
            Self::Save(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Process(error) => error.hint(),
        }
    }
}

impl From<MergeError> for UpdateError {
    fn from(error: MergeError) -> Self {
        Self::Move(error.into())
    }
}

impl From<git2::Error> for UpdateError {
    fn from(error: git2::Error) -> Self {
        Self::Move(error.into())
    }
}

impl From<CarryError> for UpdateError {
    fn from(error: CarryError) -> Self {
        Self::Move(error.into())
    }
}

/// Puts a clone's branch onto the zone's tip, with its worktree; gives the number under which the clone as it was is
/// saved, if anything changed.
///
/// # Errors
/// [`UpdateError`], naming the files in conflict or uncommitted.
pub fn update_clone(
    ledger: &Ledger<'_>,
    zone: &Zone,
    crew: &Crew,
    zone_tip: Oid,
) -> Result<(Updated, Option<u64>), UpdateError> {
    let checkout = worktree_of(ledger, crew);
    let mut saved = None;
    let save = |updated: &Updated| {
        let mut pack = Pack::begin(ledger.site()).map_err(LedgerError::from)?;
        let mut files = TreeEdit::default();
        let mut kept = save_clone(ledger, crew, &mut pack, &mut files)?;
        kept.left = Some(updated.to.to_string());
        let undo = ledger.save_undo(&mut pack, ("update", None), zone, vec![kept], &mut files)?;
        saved = Some(undo.n);
        Ok(())
    };
    let updated = update(ledger.repo(), checkout.as_ref(), (&crew.branch, zone_tip), save)?;
    Ok((updated, saved))
}

/// Puts a branch (without `refs/heads/`) onto the zone's tip, with its worktree. `save` is called when nothing speaks
/// against it any more, and before anything changes.
///
/// # Errors
/// As [`update_clone`].
pub fn update(
    repo: &Repo,
    checkout: Option<&Checkout>,
    (branch, zone_tip): (&str, Oid),
    save: impl FnOnce(&Updated) -> Result<(), UpdateError>,
) -> Result<Updated, UpdateError> {
    let name = branch_ref(branch);
    let Some(from) = repo.ref_target(&name)? else {
        return Err(AdvanceError::NoBranch(branch.to_owned()).into());
    };
    let present = checkout.filter(|checkout| checkout.path.exists()).cloned();
    if from == zone_tip || repo.git().graph_descendant_of(from, zone_tip)? {
        return Ok(Updated {
            from,
            to: from,
            rewritten: Vec::new(),
            dropped: Vec::new(),
        });
    }
    let updated = replayed(repo, branch, from, zone_tip)?;
    let carry = present.map(|checkout| Carry::check(repo, checkout, from, updated.to));
    let carry = carry.transpose()?;
    save(&updated)?;
    swap(repo, carry.as_slice(), (&name, from, updated.to), "khlone update")?;
    Ok(updated)
}

fn replayed(repo: &Repo, branch: &str, from: Oid, zone_tip: Oid) -> Result<Updated, UpdateError> {
    let (fresh, mut dropped) = own_commits(repo, from, zone_tip)?;
    let mut rewritten = Vec::new();
    let mut to = zone_tip;
    for commit in fresh {
        let tree = match pick(repo, commit, to)? {
            Merged::Clean(tree) => tree,
            Merged::Conflict(files) => {
                let subject = repo.git().find_commit(commit)?;
                let subject = String::from_utf8_lossy(subject.summary_bytes().unwrap_or_default());
                return Err(UpdateError::Conflict {
                    branch: branch.to_owned(),
                    onto: zone_tip,
                    commit,
                    subject: subject.into_owned(),
                    files,
                });
            }
        };
        if tree == repo.git().find_commit(to)?.tree_id() && changes_something(repo, commit)? {
            dropped.push(commit);
            continue;
        }
        to = replay(repo, commit, tree, to)?;
        rewritten.push((commit, to));
    }
    Ok(Updated {
        from,
        to,
        rewritten,
        dropped,
    })
}

/// The branch's own commits, oldest first: those to be made anew, and those whose change the zone has.
fn own_commits(repo: &Repo, from: Oid, zone_tip: Oid) -> Result<(Vec<Oid>, Vec<Oid>), ProcessError> {
    let list = Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let list = list.args([
        "rev-list",
        "--reverse",
        "--topo-order",
        "--no-merges",
        "--right-only",
        "--cherry-mark",
    ]);
    let out = list.arg(format!("{zone_tip}...{from}")).output()?;
    let (mut fresh, mut landed) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(&out).lines() {
        let into = if line.starts_with('=') {
            &mut landed
        } else {
            &mut fresh
        };
        into.extend(line.trim_start_matches(['=', '+', '>']).parse::<Oid>());
    }
    Ok((fresh, landed))
}

fn changes_something(repo: &Repo, commit: Oid) -> Result<bool, git2::Error> {
    let commit = repo.git().find_commit(commit)?;
    Ok(commit.parent(0)?.tree_id() != commit.tree_id())
}

/// `foreman.1` of `khlone/main/foreman.1`.
fn clone_of(branch: &str) -> &str {
    branch.rsplit_once('/').map_or(branch, |(_, clone)| clone)
}
