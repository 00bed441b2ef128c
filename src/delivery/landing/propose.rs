//! What a landing would do, and all that speaks against it. Nothing is changed; new commits are objects that no ref has.

use git2::Oid;

use super::{
    Kind, LandError, Landing, Policy, Stat, Style,
    covered::clone_of,
    holders::holders,
    join::{Joined, Make, between, joined, on_branch, stat},
    seal::unsigned,
};
use crate::{
    config::LandSign,
    delivery::merged::landing_of,
    refs::{Ledger, Repo, branch_ref},
    worktree::carry::Carry,
};

/// A landing that nothing speaks against, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Where the zone's branch is.
    pub old: Oid,
    /// The last of the clone's commits that would land.
    pub tip: Oid,
    /// The clone's commits that would land, newest first.
    pub commits: Vec<Oid>,
    /// What would change in the zone.
    pub stat: Stat,
    pub(super) joined: Joined,
    /// Commits to be made anew since they are not signed, oldest first.
    pub(super) to_sign: Vec<Oid>,
}

impl Proposal {
    /// How it would land.
    pub fn kind(&self) -> Kind {
        self.joined.kind
    }
}

/// Proposes a landing.
///
/// # Errors
/// [`LandError`] for the first thing that speaks against it.
pub fn propose(ledger: &Ledger<'_>, landing: &Landing<'_>, policy: &Policy) -> Result<Proposal, LandError> {
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
    let mut joined = joined(repo, landing, old, (tip, base))?;
    let mut to_sign = signable(repo, &joined, (old, tip), policy)?;
    if joined.kind == Kind::FastForward && policy.signs == Some(LandSign::Merge) && !to_sign.is_empty() {
        let above = Landing {
            style: Style::NoFf,
            ..*landing
        };
        joined = super::join::joined(repo, &above, old, (tip, base))?;
    }
    match policy.signs {
        Some(LandSign::Refuse) if !to_sign.is_empty() => {
            return Err(LandError::Unsigned {
                branch: landing.branch.to_owned(),
                commits: to_sign.len(),
            });
        }
        // What a merge commit is above stays as it is.
        Some(LandSign::Merge) if joined.kind == Kind::Merge => to_sign.clear(),
        _ => {}
    }
    let mut proposal = Proposal {
        old,
        tip,
        commits: Vec::new(),
        stat: Stat::default(),
        joined,
        to_sign,
    };
    if proposal.kind() != Kind::Already {
        proposal.commits = between(repo, old, tip)?;
        proposal.stat = stat(repo, old, proposal.joined.tree)?;
        carries(repo, landing.zone, old, proposal.joined.tree)?;
    }
    Ok(proposal)
}

/// The commits that would come into the zone and are not signed, oldest first, where the user signs.
fn signable(
    repo: &Repo,
    joined: &Joined,
    (old, tip): (Oid, Oid),
    policy: &Policy,
) -> Result<Vec<Oid>, LandError> {
    if policy.signs.is_none() {
        return Ok(Vec::new());
    }
    let commits = match (joined.kind, &joined.make) {
        (Kind::Squash | Kind::Already, _) => return Ok(Vec::new()),
        // Made anew in any case.
        (Kind::Rebase, Make::Move(to)) => between(repo, old, *to)?,
        _ => between(repo, old, tip)?,
    };
    unsigned(repo, &commits.into_iter().rev().collect::<Vec<_>>())
}

/// The checkouts of a zone's branch, each ready to be brought from a commit to another, or to a tree.
pub(super) fn carries(repo: &Repo, zone: &str, from: Oid, to: Oid) -> Result<Vec<Carry>, LandError> {
    let holders = holders(repo, zone)?.into_iter();
    let carries = holders.map(|checkout| Carry::check(repo, checkout, from, to));
    Ok(carries.collect::<Result<_, _>>()?)
}
