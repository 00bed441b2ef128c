//! Brings a clone's branch and worktree to the zone's tip before a task, when nothing of its own would be lost.
//!
//! A branch is behind when the zone has all its work ([`super::merged`]): so one that was squashed into the zone, here or
//! by a pull request, counts as landed, and its old commits stay pinned by their tasks. A branch with unlanded commits is left alone, and so is a worktree with uncommitted changes.
//!
//! The files move first, then the branch by compare-and-swap: a kill in between leaves changes that are staged
//! and in the zone anyway, and the next call finds them to be what it wants and moves the branch.

use git2::Oid;

use super::{merge::MergeError, merged::Judge};
use crate::{
    refs::{Ledger, LedgerError, RefError, Repo, branch_ref, move_branch},
    task::{Class, CloneName, Explain, ZoneId, explain},
    worktree::{
        carry::{Carry, CarryError},
        checkout::Checkout,
    },
};

/// How a branch stands to its zone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Commits that the zone has not.
    pub ahead: usize,
    /// Commits of the zone that the branch has not.
    pub behind: usize,
}

/// What became of a clone's branch.
#[derive(Debug)]
pub enum Advance {
    /// It was at the zone's tip.
    Current,
    /// It is at the zone's tip now.
    Moved {
        /// Where it was.
        from: Oid,
        /// The zone's tip.
        to: Oid,
    },
    /// It has commits of its own and stays.
    Unlanded(Standing),
    /// Its worktree has something that must not be lost, so both stay.
    Held(CarryError),
}

/// A branch whose standing cannot be told or changed.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// There is no such branch.
    #[error("there is no branch {0}")]
    NoBranch(String),
    /// The repository could not be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// It cannot be told whether its commits have landed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Commits cannot be merged or made.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The files could not be moved, or moved back.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// The branch moved meanwhile, or is locked.
    #[error(transparent)]
    Ref(#[from] RefError),
}

explain! {
    AdvanceError {
        transparent { Ledger, Merge, Carry, Ref }
        NotFound { NoBranch }
        Failed { Git }
    }
}

/// How commit `tip` stands to `zone_tip`.
///
/// # Errors
/// If git cannot read the history.
pub fn standing(repo: &Repo, tip: Oid, zone_tip: Oid) -> Result<Standing, git2::Error> {
    let (ahead, behind) = repo.git().graph_ahead_behind(tip, zone_tip)?;
    Ok(Standing { ahead, behind })
}

/// Brings a clone's branch (without `refs/heads/`) to the zone's tip if that loses nothing.
///
/// # Errors
/// [`AdvanceError`]; nothing has changed then.
pub fn advance(
    ledger: &Ledger<'_>,
    clone: (&ZoneId, &CloneName),
    checkout: Option<&Checkout>,
    (branch, zone_tip): (&str, Oid),
) -> Result<Advance, AdvanceError> {
    let repo = ledger.repo();
    let name = branch_ref(branch);
    let Some(from) = repo.ref_target(&name)? else {
        return Err(AdvanceError::NoBranch(branch.to_owned()));
    };
    if from == zone_tip {
        return Ok(Advance::Current);
    }
    let standing = standing(repo, from, zone_tip)?;
    if standing.ahead > 0 && !Judge::new(ledger).has(clone, from, zone_tip)? {
        return Ok(Advance::Unlanded(standing));
    }
    let present = checkout.filter(|checkout| checkout.path.exists()).cloned();
    let carry = match present.map(|checkout| Carry::check(repo, checkout, from, zone_tip)) {
        None => None,
        Some(Ok(carry)) => Some(carry),
        Some(Err(error)) if error.class() == Class::Refused => return Ok(Advance::Held(error)),
        Some(Err(error)) => return Err(error.into()),
    };
    let log = "khlone: brought to the zone's tip";
    swap(carry.as_slice(), || {
        Ok(move_branch(repo, &name, Some(from), zone_tip, log)?)
    })?;
    Ok(Advance::Moved { from, to: zone_tip })
}

/// Moves files, then a branch, or neither.
pub(super) fn swap(
    carries: &[Carry],
    move_branch: impl FnOnce() -> Result<(), AdvanceError>,
) -> Result<(), AdvanceError> {
    let mut done = Vec::new();
    let moved = carries
        .iter()
        .try_for_each(|carry| {
            carry.run()?;
            done.push(carry);
            Ok(())
        })
        .and_then(|()| move_branch());
    if moved.is_err() {
        for carry in done {
            carry.undo()?;
        }
    }
    moved
}
