//! `update`: a clone's branch is made anew on the zone's tip, commit by commit, in memory.
//!
//! No rebase stands half done at any moment: the new commits are made beside the old ones, then the files of the
//! worktree and the branch move, in the order of [`super::advance`]. So a conflict leaves nothing to undo. Merges
//! are flattened and commits whose change the zone has are left out, as `git rebase` does. The clone as it was is
//! saved first, see [`crate::refs::Undo`].

use std::path::{Path, PathBuf};

use git2::Oid;

use super::{
    advance::{AdvanceError, swap},
    merge::{Conflict, MergeError, Replayed, replay, series},
    merged::landing_of,
};
use crate::{
    refs::{Crew, Ledger, LedgerError, Pack, Repo, Saving, TreeEdit, Zone, branch_ref, move_branch},
    task::explain,
    worktree::{
        carry::{Carry, CarryError, listed, quoted},
        checkout::Checkout,
    },
    zone::saving::{Going, SaveError, save_clone, worktree_of},
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
    #[error("`{subject}` ({commit:.10}) conflicts with the zone in {names}; nothing was changed", names = listed(&.conflict.names()))]
    Conflict {
        /// The branch.
        branch: String,
        /// Its worktree, if it is there.
        path: Option<PathBuf>,
        /// The zone's tip.
        onto: Oid,
        /// The commit that does not fit.
        commit: Oid,
        /// Its subject.
        subject: String,
        /// How.
        conflict: Box<Conflict>,
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
}

explain! {
    UpdateError {
        transparent { Move, Save, Ledger }
        Refused {
            Conflict { path: Some(path), onto, .. } => format!(
                "git -C {} rebase {onto:.10}    # stops where it is to be solved",
                quoted(path)
            ),
            Conflict { branch, onto, .. } => format!("git rebase {onto:.10} {branch}"),
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
        let mut kept = save_clone(ledger, (crew, Going::Some), &mut pack, &mut files)?;
        kept.left = Some(updated.to.to_string());
        let undo = ledger.save_undo(
            &mut pack,
            &mut files,
            Saving {
                verb: "update",
                undoes: None,
                zone,
                clones: vec![kept],
            },
        )?;
        saved = Some(undo.n);
        Ok(())
    };
    // What has landed in another form is not made anew.
    let tip = ledger.repo().ref_target(&branch_ref(&crew.branch))?;
    let landed = tip.map(|tip| landing_of(ledger, (&zone.id, &crew.name), tip, zone_tip));
    let base = landed.transpose()?.flatten();
    let updated = update(
        ledger.repo(),
        checkout.as_ref(),
        (&crew.branch, zone_tip),
        base,
        save,
    )?;
    Ok((updated, saved))
}

/// Puts a branch (without `refs/heads/`) onto the zone's tip, with its worktree, but for commits that `base` has. `save` is called when nothing speaks
/// against it any more, and before anything changes.
///
/// # Errors
/// As [`update_clone`].
pub fn update(
    repo: &Repo,
    checkout: Option<&Checkout>,
    (branch, zone_tip): (&str, Oid),
    base: Option<Oid>,
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
    let path = present.as_ref().map(|checkout| checkout.path.as_path());
    let updated = replayed(repo, (branch, path), (from, base), zone_tip)?;
    let carry = present.map(|checkout| Carry::check(repo, checkout, from, updated.to));
    let carry = carry.transpose()?;
    save(&updated)?;
    swap(carry.as_slice(), || {
        Ok(move_branch(repo, &name, Some(from), updated.to, "khlone update")?)
    })?;
    Ok(updated)
}

fn replayed(
    repo: &Repo,
    (branch, path): (&str, Option<&Path>),
    (from, base): (Oid, Option<Oid>),
    zone_tip: Oid,
) -> Result<Updated, UpdateError> {
    let again = |original, tree, parent| replay(repo, original, tree, parent);
    match series(repo, (from, base), zone_tip, again)? {
        Replayed::Whole(series) => Ok(Updated {
            from,
            to: series.to,
            rewritten: series.rewritten,
            dropped: series.dropped,
        }),
        Replayed::Conflict { commit, conflict } => {
            let subject = repo.git().find_commit(commit)?;
            let subject = String::from_utf8_lossy(subject.summary_bytes().unwrap_or_default());
            Err(UpdateError::Conflict {
                branch: branch.to_owned(),
                path: path.map(Path::to_owned),
                onto: zone_tip,
                commit,
                subject: subject.into_owned(),
                conflict: Box::new(conflict),
            })
        }
    }
}
