//! What would be lost with a clone.

use std::fmt;

use git2::Oid;

use super::RemovalError;
use crate::{
    delivery::merged::Judge,
    refs::{Crew, Ledger, StoredZone, branch_ref},
    task::{CloneName, ZoneId, a},
    upkeep::work::{Inside, inside, only_in},
    worktree::{carry::listed, checkout::Checkout},
    zone::saving::worktree_of,
};

/// What is at stake in a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stake {
    /// The clone.
    pub clone: CloneName,
    /// Commits that are on no other branch, here or at a remote.
    pub unlanded: usize,
    /// What its worktree has.
    pub inside: Inside,
}

impl Stake {
    /// Whether anything is.
    pub fn is_something(&self) -> bool {
        self.unlanded > 0 || self.inside != Inside::default()
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
        if !self.inside.uncommitted.is_empty() {
            parts.push(format!(
                "uncommitted changes in {}",
                listed(&self.inside.uncommitted)
            ));
        }
        let moved = self.inside.submodules.iter();
        parts.extend(moved.map(|path| format!("commits of its own in the submodule {}", path.display())));
        if !self.inside.repositories.is_empty() {
            parts.push(format!(
                "commits of its own in {}",
                listed(&self.inside.repositories)
            ));
        }
        parts.extend(
            self.inside
                .unfinished
                .map(|what| format!("{} in progress", a(what))),
        );
        parts.extend(
            self.inside
                .locked
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
    let tip = ledger.repo().ref_target(&branch_ref(&crew.branch))?;
    let checkout = worktree_of(ledger, crew);
    // On no branch, HEAD has commits of its own.
    let head = checkout.as_ref().and_then(Checkout::detached_head);
    let tips: Vec<_> = tip.into_iter().chain(head).collect();
    Ok(Stake {
        clone: crew.name.clone(),
        unlanded: unlanded(ledger, (zone, &crew.name), &tips, zone_tip)?,
        inside: checkout.as_ref().map(inside).transpose()?.unwrap_or_default(),
    })
}

/// The commits of `tips` that would be on no branch without them, unless the zone has their work.
fn unlanded(
    ledger: &Ledger<'_>,
    clone: (&ZoneId, &CloneName),
    tips: &[Oid],
    zone_tip: Option<Oid>,
) -> Result<usize, RemovalError> {
    let own = only_in(ledger, tips)?;
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
