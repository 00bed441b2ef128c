//! What a landing would do, and all that speaks against it. Nothing is changed; new commits are objects that no ref has.

use std::collections::HashSet;

use bstr::ByteSlice;
use git2::Oid;

use super::{
    FastForward, Kind, LandError, Landing, Policy, Stat, Style,
    covered::clone_of,
    holders::holders,
    join::{Joined, Make, between, joined, on_branch, stat},
    seal::{is_verified, unsigned},
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
    /// Commits to be made anew, signed or signed off, oldest first.
    pub(super) remade: Vec<Oid>,
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
    let mut style = landing.style;
    if style == Style::Auto && policy.squashes {
        style = Style::Squash;
    }
    if style == Style::Auto && policy.fast_forward == FastForward::Never {
        style = Style::NoFf;
    }
    let told = &policy.merge.strategy;
    let join = |style| joined(repo, &Landing { style, ..*landing }, (old, tip, base), told);
    let mut joined = join(style)?;
    if style == Style::Auto && policy.fast_forward == FastForward::Only && joined.kind == Kind::Merge {
        return Err(LandError::Apart {
            branch: landing.branch.to_owned(),
            zone: landing.zone.to_owned(),
        });
    }
    let fresh = fresh(repo, &joined, (old, tip))?;
    let mut unsigned = match policy.signs {
        Some(_) => unsigned(repo, &fresh)?,
        None => HashSet::new(),
    };
    match policy.signs {
        Some(LandSign::Refuse) if !unsigned.is_empty() => {
            return Err(LandError::Unsigned {
                branch: landing.branch.to_owned(),
                zone: landing.zone.to_owned(),
                commits: unsigned.len(),
            });
        }
        Some(LandSign::Merge) if joined.kind == Kind::FastForward && !unsigned.is_empty() => {
            joined = join(Style::NoFf)?;
            unsigned.clear();
        }
        // What a signed merge is above stays as it is.
        Some(LandSign::Merge) if joined.kind == Kind::Merge => unsigned.clear(),
        _ => {}
    }
    let remade = remade(repo, &fresh, |oid, message| {
        unsigned.contains(&oid)
            || policy
                .signs_off
                .as_ref()
                .is_some_and(|who| !is_signed_off(message, who))
    })?;
    if policy.merge.verifies && matches!(joined.kind, Kind::FastForward | Kind::Merge | Kind::Squash) {
        let signs_it = policy.signs.is_some() && remade.contains(&tip);
        if !signs_it && !is_verified(repo, tip, policy.merge.trusts_anybody)? {
            return Err(LandError::Unverified {
                commit: tip,
                branch: landing.branch.to_owned(),
                zone: landing.zone.to_owned(),
                next: match policy.signs {
                    None => "git config commit.gpgSign true    # a landing signs what it brings, as you",
                    Some(_) => "git khlone config --path    # land: {sign: rewrite}, and no squash",
                },
            });
        }
    }
    let mut proposal = Proposal {
        old,
        tip,
        commits: Vec::new(),
        stat: Stat::default(),
        joined,
        remade,
    };
    if proposal.kind() != Kind::Already {
        proposal.commits = between(repo, old, tip)?;
        proposal.stat = stat(repo, old, proposal.joined.tree)?;
        carries(repo, landing.zone, old, proposal.joined.tree)?;
    }
    Ok(proposal)
}

/// The commits of the clone's that would come into the zone, oldest first, made anew on its tip or as they are.
fn fresh(repo: &Repo, joined: &Joined, (old, tip): (Oid, Oid)) -> Result<Vec<Oid>, LandError> {
    let mut commits = match (joined.kind, &joined.make) {
        (Kind::Squash | Kind::Already, _) => Vec::new(),
        (Kind::Rebase, Make::Move(to)) => between(repo, old, *to)?,
        _ => between(repo, old, tip)?,
    };
    commits.reverse();
    Ok(commits)
}

/// Those of `commits`, oldest first, that are to be made anew, and those that stand on such.
fn remade(repo: &Repo, commits: &[Oid], is_due: impl Fn(Oid, &[u8]) -> bool) -> Result<Vec<Oid>, LandError> {
    let mut found: Vec<Oid> = Vec::new();
    for oid in commits {
        let commit = repo.git().find_commit(*oid)?;
        if is_due(*oid, commit.message_bytes()) || commit.parent_ids().any(|parent| found.contains(&parent)) {
            found.push(*oid);
        }
    }
    Ok(found)
}

fn is_signed_off(message: &[u8], who: &str) -> bool {
    let line = format!("Signed-off-by: {who}");
    message.lines().any(|found| found == line.as_bytes())
}

/// The checkouts of a zone's branch, each ready to be brought from a commit to another, or to a tree.
pub(super) fn carries(repo: &Repo, zone: &str, from: Oid, to: Oid) -> Result<Vec<Carry>, LandError> {
    let holders = holders(repo, zone)?.into_iter();
    let carries = holders.map(|checkout| Carry::check_around_changes(repo, checkout, from, to));
    Ok(carries.collect::<Result<_, _>>()?)
}
