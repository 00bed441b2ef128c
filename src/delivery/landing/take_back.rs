//! The undoing of a landing, and of that.
//!
//! The zone's branch moves back by compare-and-swap, with every checkout of it, in the order of the landing itself; the
//! undoing is saved first. It is refused where something stands on the landed commits, where a remote has them, and
//! where a checkout would lose something: then it is reverted by a commit, like any other change.

use std::time::Duration;

use git2::Oid;

use super::{
    LandError,
    apply::{has_happened, tell, tell_of_last},
    bench::Bench,
    holders::holders,
    propose::carries,
    wait,
};
use crate::{
    delivery::{advance::swap, merged::is_in},
    process::fault::point,
    refs::{KeptLanding, Ledger, LedgerError, Repo, Undo, branch_ref},
    task::{LandedBy, Task, TaskId, explain},
    worktree::{
        carry::{CarryError, quoted, restage},
        checkout::Checkout,
    },
};

/// A landing that was taken back, or made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The zone's branch.
    pub branch: String,
    /// Where it was.
    pub from: Oid,
    /// Where it is.
    pub to: Oid,
    /// The tasks whose work it was.
    pub tasks: Vec<TaskId>,
}

/// A landing that was not taken back; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    /// The branch has gone on, or is gone.
    #[error("{branch} is not at {at:.10} any more, where {verb} left it")]
    GoneOn {
        /// The zone's branch.
        branch: String,
        /// Where it would have to be.
        at: Oid,
        /// What was done.
        verb: String,
        /// What takes it back instead.
        instead: String,
    },
    /// A remote has it.
    #[error("{remote} has {at:.10} already, which {verb} brought to {branch}")]
    Pushed {
        /// The remote-tracking branch.
        remote: String,
        /// The landed commit.
        at: Oid,
        /// What was done.
        verb: String,
        /// The zone's branch.
        branch: String,
        /// What takes it back instead.
        instead: String,
    },
    /// A checkout or the branch cannot move.
    #[error(transparent)]
    Land(#[from] LandError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

explain! {
    TakeBackError {
        transparent { Land, Ledger }
        Refused { GoneOn { instead, .. } | Pushed { instead, .. } => instead.clone() }
    }
}

impl From<git2::Error> for TakeBackError {
    fn from(error: git2::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<CarryError> for TakeBackError {
    fn from(error: CarryError) -> Self {
        Self::Land(error.into())
    }
}

/// Takes a landing back, or makes one again that was. One that was cut short before the branch moved leaves at most
/// staged files, which go.
///
/// # Errors
/// [`TakeBackError`].
pub fn take_back(
    ledger: &Ledger<'_>,
    (saved, record): (&Undo, &KeptLanding),
    patience: Duration,
) -> Result<TakenBack, TakeBackError> {
    let _turn = wait(ledger).map_err(LedgerError::from)?;
    tell_of_last(ledger)?;
    let repo = ledger.repo();
    let (old, new): (Oid, Oid) = (record.landed.old.parse()?, record.landed.new.parse()?);
    let (from, to) = if record.taken_back { (old, new) } else { (new, old) };
    let branch = record.landed.branch.clone();
    let done = TakenBack {
        branch: branch.clone(),
        from,
        to,
        tasks: record.tasks.clone(),
    };
    let tip = repo.ref_target(&branch_ref(&branch))?;
    if tip == Some(to) && !has_happened(repo, saved)? {
        for checkout in holders(repo, &branch)? {
            restage(repo, &checkout, from, to)?;
        }
        ledger.forget_undo(saved)?;
        return Ok(done);
    }
    // Also where what landed was made anew (`commit --amend`, a rebase) and its commit is not in the branch any more.
    if tip != Some(from) {
        let (verb, instead) = (saved.verb.clone(), instead(repo, record)?);
        return Err(TakeBackError::GoneOn {
            branch,
            at: from,
            verb,
            instead,
        });
    }
    if !record.taken_back
        && let Some(remote) = remote_with(repo, new)?
    {
        let (verb, instead) = (saved.verb.clone(), instead(repo, record)?);
        return Err(TakeBackError::Pushed {
            remote,
            at: new,
            verb,
            branch,
            instead,
        });
    }
    let carries = carries(repo, &branch, from, to)?;
    let holder = carries.first().map(|carry| carry.checkout().clone());
    let home = holder.clone().or_else(|| Checkout::main(repo));
    let bench = Bench::new((repo, ledger.site()), home.as_ref(), (&branch, from), patience)?;
    let undoing = KeptLanding {
        taken_back: !record.taken_back,
        ..record.clone()
    };
    let verb = format!("undo of {}", saved.verb);
    let undoing = ledger.save_landing((&verb, Some(saved.n)), &saved.zone, undoing)?;
    // Undoings of this that were cut short before the branch moved; after the save, so that no number is used again.
    for (void, _) in ledger.undos()? {
        if void.undoes == Some(saved.n) && void.n != undoing.n {
            ledger.forget_undo(&void)?;
        }
    }
    point("take-back-saved", &branch);
    let log = format!("khlone {verb}");
    let moved = swap(&carries, || {
        bench.move_zone(repo, holder.as_ref(), (&branch, from, to), &log)
    });
    if let Err(error) = moved {
        ledger.forget_undo(&undoing)?;
        return Err(LandError::from(error).into());
    }
    point("taken-back", &branch);
    tell(ledger, &undoing)?;
    ledger.forget_undo(saved)?;
    Ok(done)
}

/// The command that takes a task's landing out of its zone again, if the zone has it: `undo` where that does, else a
/// revert.
///
/// # Errors
/// If the ledger or git cannot be read.
pub fn way_back(ledger: &Ledger<'_>, task: &Task) -> Result<Option<String>, TakeBackError> {
    let Some(landed) = &task.landed else {
        return Ok(None);
    };
    let (repo, new) = (ledger.repo(), landed.new.parse()?);
    let Some(tip) = repo.ref_target(&branch_ref(&landed.branch))? else {
        return Ok(None);
    };
    if !is_in(repo, new, tip) {
        return Ok(None);
    }
    if tip == new && remote_with(repo, new)?.is_none() {
        for (undo, _) in ledger.undos()? {
            let landing = undo.landing.filter(|landing| !landing.taken_back);
            if landing.is_some_and(|landing| landing.landed.new == landed.new) {
                return Ok(Some(format!("git khlone undo {}", undo.n)));
            }
        }
    }
    let record = KeptLanding {
        landed: landed.clone(),
        tasks: Vec::new(),
        taken_back: false,
    };
    instead(repo, &record).map(Some)
}

/// A remote-tracking branch that has `commit`.
fn remote_with(repo: &Repo, commit: Oid) -> Result<Option<String>, git2::Error> {
    for reference in repo.git().references_glob("refs/remotes/*")? {
        let reference = reference?;
        let Ok(tip) = reference.peel_to_commit() else {
            continue;
        };
        if tip.id() == commit || repo.git().graph_descendant_of(tip.id(), commit)? {
            let name = reference.name().unwrap_or_default();
            return Ok(Some(name.trim_start_matches("refs/remotes/").to_owned()));
        }
    }
    Ok(None)
}

/// The command that takes a landing back by a commit; for one that was taken back, the command that lands it again.
fn instead(repo: &Repo, record: &KeptLanding) -> Result<String, TakeBackError> {
    let landed = &record.landed;
    if record.taken_back {
        return Ok(format!(
            "git switch {} && git merge {:.10}",
            landed.branch, landed.new
        ));
    }
    let place = match holders(repo, &landed.branch)?.first() {
        Some(checkout) => format!("git -C {}", quoted(&checkout.path)),
        None => format!("git switch {} && git", landed.branch),
    };
    let (old, new) = (short(&landed.old), short(&landed.new));
    Ok(match landed.how {
        LandedBy::Merge => format!("{place} revert --no-edit -m 1 {new}"),
        LandedBy::Squash => format!("{place} revert --no-edit {new}"),
        _ if !has_merges(repo, &landed.old, &landed.new)? => {
            format!("{place} revert --no-edit {old}..{new}")
        }
        // No revert takes a range with merges back: what the range changed, in reverse.
        _ => {
            let git = place.rsplit(" && ").next().unwrap_or(&place);
            format!(
                "{place} diff --binary {new} {old} | {git} apply --3way --index && {git} commit -m 'Take back {new}'"
            )
        }
    })
}

fn short(oid: &str) -> &str {
    oid.get(..10).unwrap_or(oid)
}

fn has_merges(repo: &Repo, old: &str, new: &str) -> Result<bool, git2::Error> {
    let mut walk = repo.git().revwalk()?;
    walk.push(new.parse()?)?;
    walk.hide(old.parse()?)?;
    for oid in walk {
        if repo.git().find_commit(oid?)?.parent_count() > 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
