//! `land`: a clone's commits become the zone's.
//!
//! The merge is made in memory, so a conflict changes nothing. Where the zone's branch is checked out, files and
//! branch must move together, which git cannot do in one step. The order is: check every such checkout; move the
//! files and index of each; move the branch by compare-and-swap; undo the files if that fails. A kill between the
//! last two leaves the landed work as staged changes on the old commit: visible, complete, and finished by the
//! same command again. The other order would leave the reverse staged, and the user's next commit would silently
//! take the landed work out.
//!
//! Landings at one site take turns. A checkout that is not clean refuses the landing whole.

mod error;
mod join;

use std::path::PathBuf;

use git2::Oid;

pub use error::LandError;

use super::advance::{AdvanceError, swap};
use crate::{
    refs::{MainTree, RefError, Repo, Site, Turn, branch_ref},
    worktree::{carry::Carry, checkout::Checkout},
};

/// How often a landing is tried again when the zone's branch moves under it.
const TRIES: usize = 3;

/// What should land where.
#[derive(Debug, Clone, Copy)]
pub struct Landing<'a> {
    /// The zone's branch, without `refs/heads/`.
    pub zone: &'a str,
    /// The clone's branch, without `refs/heads/`.
    pub branch: &'a str,
    /// Land no further than this commit: the last one of a task.
    pub up_to: Option<Oid>,
    /// How.
    pub style: Style,
    /// What is landed, for the message of a merge: `t-7k3q9w2m1x (foreman.1): add login`.
    pub what: &'a str,
}

/// How commits come into the zone's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Fast-forward where possible, else merge.
    #[default]
    Auto,
    /// Always a merge commit.
    NoFf,
    /// One new commit with all the changes.
    Squash,
}

/// How they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The branch moved to them.
    FastForward,
    /// By a merge commit.
    Merge,
    /// As one new commit.
    Squash,
    /// The zone had them, or their changes, already.
    Already,
}

/// What landed.
#[derive(Debug)]
pub struct Landed {
    /// How.
    pub kind: Kind,
    /// Where the zone's branch was.
    pub old: Oid,
    /// Where it is.
    pub new: Oid,
    /// The clone's commits that landed, newest first.
    pub commits: Vec<Oid>,
    /// What changed in the zone.
    pub stat: Stat,
    /// The checkouts that were brought along.
    pub checkouts: Vec<PathBuf>,
}

/// The size of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Stat {
    /// Files changed.
    pub files: usize,
    /// Lines added.
    pub insertions: usize,
    /// Lines removed.
    pub deletions: usize,
}

/// Lands a clone's branch, or its commits up to one of them, in the zone's branch.
///
/// # Errors
/// [`LandError`]; nothing has changed then.
pub fn land(repo: &Repo, site: &Site, landing: &Landing<'_>) -> Result<Landed, LandError> {
    let _turn = Turn::wait(&site.lock_path("land.lock"))?;
    for _ in 1..TRIES {
        match land_once(repo, landing) {
            Err(LandError::Move(AdvanceError::Ref(RefError::Moved { .. }))) => {}
            other => return other,
        }
    }
    land_once(repo, landing)
}

fn land_once(repo: &Repo, landing: &Landing<'_>) -> Result<Landed, LandError> {
    let tip_of = |branch: &str| {
        let target = repo.ref_target(&branch_ref(branch))?;
        target.ok_or_else(|| LandError::NoBranch(branch.to_owned()))
    };
    let old = tip_of(landing.zone)?;
    let tip = tip_of(landing.branch)?;
    let source = match landing.up_to {
        None => tip,
        Some(commit) => join::on_branch(repo, landing, commit, old, tip)?,
    };
    let (kind, new) = join::joined(repo, landing, old, source)?;
    let mut landed = Landed {
        kind,
        old,
        new,
        commits: Vec::new(),
        stat: Stat::default(),
        checkouts: Vec::new(),
    };
    if kind == Kind::Already {
        return Ok(landed);
    }
    landed.commits = join::between(repo, old, source)?;
    landed.stat = join::stat(repo, old, new)?;
    let carries = holders(repo, landing.zone)?
        .into_iter()
        .map(|checkout| Carry::check(repo, checkout, old, new))
        .collect::<Result<Vec<_>, _>>()?;
    let log = format!("khlone land: {}", landing.what);
    swap(repo, &carries, (&branch_ref(landing.zone), old, new), &log)?;
    landed.checkouts = carries
        .iter()
        .map(|carry| carry.checkout().path.clone())
        .collect();
    Ok(landed)
}

/// The checkouts that have the zone's branch.
fn holders(repo: &Repo, zone: &str) -> Result<Vec<Checkout>, LandError> {
    let name = branch_ref(zone);
    let common = repo.common_dir().to_owned();
    let unplaced = Checkout {
        path: common.clone(),
        git_dir: common,
    };
    if *repo.main_tree() == MainTree::Unknown && unplaced.held_ref().as_ref() == Some(&name) {
        return Err(LandError::Unplaced {
            zone: zone.to_owned(),
            common: unplaced.git_dir,
        });
    }
    let mut holders = Checkout::all(repo)?;
    holders.retain(|checkout| checkout.held_ref().as_ref() == Some(&name));
    let away = holders
        .iter()
        .find(|checkout| !checkout.path.exists() && checkout.lock_reason().is_some());
    if let Some(away) = away {
        return Err(LandError::Away {
            zone: zone.to_owned(),
            path: away.path.clone(),
        });
    }
    holders.retain(|checkout| checkout.path.exists());
    Ok(holders)
}
