//! What a landing would do, and all that speaks against it. Nothing is changed; new commits are objects that no ref has.

use git2::Oid;

use super::{
    Kind, LandError, Landing, Stat,
    covered::clone_of,
    holders::holders,
    join::{between, joined, on_branch, stat},
};
use crate::{
    delivery::merged::landing_of,
    refs::{Ledger, Repo, branch_ref},
    worktree::carry::Carry,
};

/// A landing that nothing speaks against, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// How.
    pub kind: Kind,
    /// Where the zone's branch is.
    pub old: Oid,
    /// Where it would go.
    pub new: Oid,
    /// The last of the clone's commits that would land.
    pub tip: Oid,
    /// The clone's commits that would land, newest first.
    pub commits: Vec<Oid>,
    /// What would change in the zone.
    pub stat: Stat,
}

/// Proposes a landing.
///
/// # Errors
/// [`LandError`] for the first thing that speaks against it.
pub fn propose(ledger: &Ledger<'_>, landing: &Landing<'_>) -> Result<Proposal, LandError> {
    let repo = ledger.repo();
    let tip_of = |branch: &str| {
        let target = repo.ref_target(&branch_ref(branch))?;
        target.ok_or_else(|| LandError::NoBranch(branch.to_owned()))
    };
    let old = tip_of(landing.zone)?;
    let branch_tip = tip_of(landing.branch)?;
    let tip = match landing.up_to {
        None => branch_tip,
        Some(commit) => on_branch(repo, landing, commit, old, branch_tip)?,
    };
    let base = match clone_of(ledger, landing)? {
        Some((zone, clone)) => landing_of(ledger, (&zone, &clone), tip, old)?,
        None => None,
    };
    let (kind, new) = joined(repo, landing, old, (tip, base))?;
    let mut proposal = Proposal {
        kind,
        old,
        new,
        tip,
        commits: Vec::new(),
        stat: Stat::default(),
    };
    if kind == Kind::Already {
        return Ok(proposal);
    }
    proposal.commits = between(repo, old, tip)?;
    proposal.stat = stat(repo, old, new)?;
    carries(repo, landing.zone, old, new)?;
    Ok(proposal)
}

/// The checkouts of a zone's branch, each ready to be brought from one commit to another.
pub(super) fn carries(repo: &Repo, zone: &str, from: Oid, to: Oid) -> Result<Vec<Carry>, LandError> {
    let holders = holders(repo, zone)?.into_iter();
    let carries = holders.map(|checkout| Carry::check(repo, checkout, from, to));
    Ok(carries.collect::<Result<_, _>>()?)
}
