//! `land`: a clone's commits become the zone's.
//!
//! First it is proposed: what the zone's branch would go to is worked out in memory, and everything that speaks against
//! it is found, with nothing changed. Then the user's hooks are asked and the commits made, see `seal.rs`. Then it is applied, in turn with other landings at the site: what it
//! changes is saved, so that `undo` can take it back; files and branch move; the tasks are told. Where the zone's branch
//! has moved in between, it is proposed anew.
//!
//! Where the zone's branch is checked out, files and branch must move together, which git cannot do in one step. The
//! files and index of each checkout go first, then the branch, by compare-and-swap; the files go back if that fails. A
//! kill between the two leaves the landed work as staged changes on the old commit: visible, complete, and finished by
//! the same command again, or taken away by `undo`. The other order would leave the reverse staged, and the user's next
//! commit would silently take the landed work out. A kill after the branch has moved leaves tasks that have not been
//! told; the next landing or undoing tells them.

mod apply;
mod bench;
mod covered;
mod error;
mod holders;
mod hooks;
mod join;
mod make;
mod message;
mod options;
mod policy;
mod propose;
mod recorded;
mod seal;
mod take_back;

use std::path::PathBuf;

use git2::Oid;

pub use error::LandError;
pub use policy::{FastForward, HookUse, MergePolicy, Policy, Voice};
pub use propose::{Proposal, propose};
pub use take_back::{TakeBackError, TakenBack, take_back, way_back};

use self::{bench::Bench, holders::holders, seal::seal};
use super::advance::AdvanceError;
use crate::{
    process::FileLock,
    refs::{Ledger, RefError},
    task::{LandedBy, TaskId},
    worktree::checkout::Checkout,
};

/// How often a landing is proposed while the zone's branch moves under it.
const TRIES: usize = 4;

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
    /// What a squash of several commits is about: a subject, then the rest of the prompt. Else as its last commit says.
    pub about: Option<&'a str>,
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
    /// The commits one by one, on the zone's tip.
    Rebase,
}

/// How they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The branch moved to them.
    FastForward,
    /// By a merge commit.
    Merge,
    /// As one new commit.
    Squash,
    /// Made anew on the branch's tip.
    Rebase,
    /// The zone had them, or their changes, already.
    Already,
}

impl Kind {
    /// As documents have it; nothing where nothing landed.
    fn stored(self) -> Option<LandedBy> {
        match self {
            Self::FastForward => Some(LandedBy::FastForward),
            Self::Merge => Some(LandedBy::Merge),
            Self::Squash => Some(LandedBy::Squash),
            Self::Rebase => Some(LandedBy::Rebase),
            Self::Already => None,
        }
    }
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
    /// The tasks whose commits those are.
    pub tasks: Vec<TaskId>,
    /// What changed in the zone.
    pub stat: Stat,
    /// The checkouts that were brought along.
    pub checkouts: Vec<PathBuf>,
    /// The number by which `undo` takes it back.
    pub undo: Option<u64>,
    /// The clone's commits that were made anew, old and new, oldest first.
    pub rewritten: Vec<(Oid, Oid)>,
}

impl Landed {
    /// Nothing, where the zone's branch is at `tip`.
    fn nothing(tip: Oid) -> Self {
        Self {
            kind: Kind::Already,
            old: tip,
            new: tip,
            commits: Vec::new(),
            tasks: Vec::new(),
            stat: Stat::default(),
            checkouts: Vec::new(),
            undo: None,
            rewritten: Vec::new(),
        }
    }
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

/// Lands a clone's branch, or its commits up to one of them, in the zone's branch, as the user's policy wants it.
///
/// # Errors
/// [`LandError`]; nothing has changed then.
pub fn land(
    ledger: &Ledger<'_>,
    landing: &Landing<'_>,
    (policy, voice): (&Policy, &Voice<'_>),
) -> Result<Landed, LandError> {
    let mut turn = None;
    for _ in 1..TRIES {
        let is_alone = turn.is_some();
        match land_once(ledger, landing, (policy, voice), turn.take()) {
            // From the second try on no other landing comes between; a person still may.
            Err(LandError::Move(AdvanceError::Ref(RefError::Moved { .. }))) => turn = Some(wait(ledger)?),
            // What stood in the way may have been another landing's files, on their way.
            Err(LandError::Move(AdvanceError::Carry(_))) if !is_alone => turn = Some(wait(ledger)?),
            other => return other,
        }
    }
    land_once(ledger, landing, (policy, voice), turn)
}

fn land_once(
    ledger: &Ledger<'_>,
    landing: &Landing<'_>,
    (policy, voice): (&Policy, &Voice<'_>),
    turn: Option<FileLock>,
) -> Result<Landed, LandError> {
    let (repo, site) = (ledger.repo(), ledger.site());
    let proposal = propose(ledger, landing, policy)?;
    if proposal.kind() == Kind::Already {
        let _turn = turn.map_or_else(|| wait(ledger), Ok)?;
        apply::tell_of_last(ledger)?;
        return Ok(Landed::nothing(proposal.old));
    }
    let holder = holders(repo, landing.zone)?.into_iter().next();
    let home = holder.clone().or_else(|| Checkout::main(repo));
    let stands = (landing.zone, proposal.old);
    let mut bench = Bench::new((repo, site), home.as_ref(), stands, policy.patience)?;
    let sealed = seal(repo, landing, &proposal, &mut bench, (policy, voice))?;
    let landed = {
        let _turn = turn.map_or_else(|| wait(ledger), Ok)?;
        apply::tell_of_last(ledger)?;
        apply::apply(ledger, landing, (&proposal, &sealed), &bench)?
    };
    seal::tell(&proposal, &sealed, (&mut bench, holder.as_ref()), voice);
    Ok(landed)
}

fn wait(ledger: &Ledger<'_>) -> std::io::Result<FileLock> {
    FileLock::wait(&ledger.site().layout().land_lock())
}
