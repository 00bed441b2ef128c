//! `zone remove`: a zone's clones, their worktrees and branches, and its place in the ledger go; its own branch and
//! the record of its tasks stay. With a clone named, that clone alone goes.
//!
//! What is not landed or not committed refuses the removal, named. With `force` it goes too; but everything, at
//! stake or not, is saved first (see [`crate::refs::Undo`]) and `undo` brings it back. Nothing is removed before
//! the save is durable. Killed half way, the zone is still in the ledger with the clones that are left, and the
//! same command finishes it.

mod error;
mod stake;

use bstr::ByteSlice;
use git2::Oid;

pub use error::RemovalError;
pub use stake::{Stake, stakes};

use crate::{
    refs::{
        Ledger, LedgerError, Origin, Pack, Saving, StoredZone, TreeEdit, Undo, Update, branch_ref, delete_ref,
    },
    task::{CloneName, Move, Status, TaskId, ZoneId},
    worktree::{apart, checkout::Checkout, erase::erase, remove},
    zone::{
        apart::{own, places},
        hold::hold,
        saving::{Going, save_clone, worktree_of},
    },
};

/// What went.
#[derive(Debug)]
pub struct Removed {
    /// The zone's branch, which stays.
    pub branch: String,
    /// Its clones.
    pub clones: Vec<CloneName>,
    /// Tasks that were waiting and are cancelled now.
    pub cancelled: Vec<TaskId>,
    /// The number of the saved state.
    pub undo: u64,
    /// Ignored files and folders that were not saved: `clone: path`.
    pub lost: Vec<String>,
}

/// Removes a zone.
///
/// # Errors
/// [`RemovalError::AtStake`] without `force`, if something would go that is nowhere else; nothing has changed then.
pub fn remove(ledger: &Ledger<'_>, id: &ZoneId, force: bool) -> Result<Removed, RemovalError> {
    remove_part(ledger, (id, None), force)
}

/// Removes a zone for `verb`, under whose name it is saved.
///
/// # Errors
/// As [`remove()`].
pub fn remove_for(
    ledger: &Ledger<'_>,
    verb: &str,
    id: &ZoneId,
    force: bool,
) -> Result<Removed, RemovalError> {
    take_out(ledger, verb, (id, None), force)
}

/// Removes one clone of a zone, or all of it.
///
/// # Errors
/// As [`remove()`]; [`RemovalError::NoClone`].
pub fn remove_part(
    ledger: &Ledger<'_>,
    part: (&ZoneId, Option<&CloneName>),
    force: bool,
) -> Result<Removed, RemovalError> {
    take_out(ledger, "zone remove", part, force)
}

fn take_out(
    ledger: &Ledger<'_>,
    verb: &str,
    (id, only): (&ZoneId, Option<&CloneName>),
    force: bool,
) -> Result<Removed, RemovalError> {
    let Some(mut stored) = ledger.zone(id)? else {
        return Err(LedgerError::NoZone(id.clone()).into());
    };
    if let Some(clone) = only {
        stored.crew.retain(|name, _| name == clone);
        if stored.crew.is_empty() {
            return Err(RemovalError::NoClone(clone.clone(), stored.zone.branch));
        }
    }
    let held = stored.crew.keys().map(|clone| hold(ledger.site(), id, clone));
    let _held: Vec<_> = held.collect::<Result<_, _>>()?;
    let tasks = ledger
        .heads()?
        .into_iter()
        .filter(|head| head.zone == *id && only.is_none_or(|only| head.clone == *only))
        .filter(|head| !head.status.is_over());
    let is_active = |status: Status| status.is_active() || (status == Status::Interrupted && !force);
    let (active, waiting): (Vec<_>, Vec<_>) = tasks.partition(|head| is_active(head.status));
    if let Some(active) = active.into_iter().next() {
        return Err(RemovalError::Active(active.id, active.status));
    }
    let at_stake: Vec<_> = stakes(ledger, &stored)?
        .into_iter()
        .filter(Stake::is_something)
        .collect();
    if !force && !at_stake.is_empty() {
        return Err(RemovalError::AtStake {
            stakes: at_stake,
            zone: stored.zone.branch,
            only: only.cloned(),
        });
    }
    is_checked_out_nowhere_else(ledger, &stored)?;
    holds_no_worktree(ledger, &stored, only)?;
    let undo = save(ledger, verb, &stored)?;
    // What an interrupted task has not brought home yet is in its clone's own git folder, which stays then.
    let is_interrupted = waiting.iter().any(|head| head.status == Status::Interrupted);
    let why = match only {
        Some(_) => "its clone was removed",
        None => "its zone was removed",
    };
    let mut cancelled = Vec::new();
    for head in waiting {
        ledger.update(&head.id, "cli", |update: &mut Update<'_>| {
            let moved = update.transition(Move::Cancel { why: why.to_owned() }, why);
            moved.map_err(|source| LedgerError::Illegal {
                id: head.id.clone(),
                source,
            })
        })?;
        cancelled.push(head.id);
    }
    let doomed = take_away(ledger, &stored, &undo, is_interrupted)?;
    match only {
        Some(only) => ledger.update_zone(id, None, |zone| {
            zone.crew.remove(only);
            Ok::<_, LedgerError>(())
        })?,
        None => ledger.remove_zone(id, &stored)?,
    }
    sweep(doomed, &undo);
    let lost = undo.clones.iter().flat_map(|kept| {
        let name = &kept.crew.name;
        kept.lost.iter().map(move |path| format!("{name}: {path}"))
    });
    Ok(Removed {
        branch: stored.zone.branch.clone(),
        clones: stored.crew.keys().cloned().collect(),
        cancelled,
        undo: undo.n,
        lost: lost.collect(),
    })
}

/// git, too, deletes no branch that somebody has checked out.
fn is_checked_out_nowhere_else(ledger: &Ledger<'_>, stored: &StoredZone) -> Result<(), RemovalError> {
    let all = Checkout::all(ledger.repo()).map_err(LedgerError::from)?;
    for crew in stored.crew.values() {
        let branch = branch_ref(&crew.branch);
        let own = worktree_of(ledger, crew).map(|checkout| checkout.git_dir);
        let elsewhere = all.iter().find(|checkout| {
            let is_main = checkout.git_dir == ledger.repo().common_dir();
            // One that was moved away is not known for the clone's own.
            let is_other = own.as_ref().is_some_and(|own| *own != checkout.git_dir);
            (is_main || is_other) && checkout.held_ref().as_ref() == Some(&branch)
        });
        if let Some(elsewhere) = elsewhere {
            return Err(RemovalError::CheckedOut {
                branch: crew.branch.clone(),
                path: elsewhere.path.clone(),
                zone: stored.zone.branch.clone(),
            });
        }
    }
    Ok(())
}

/// Nor does it take a folder away in which another worktree of somebody's stands: that one would be forgotten.
fn holds_no_worktree(
    ledger: &Ledger<'_>,
    stored: &StoredZone,
    only: Option<&CloneName>,
) -> Result<(), RemovalError> {
    for crew in stored.crew.values() {
        let Some(checkout) = worktree_of(ledger, crew).filter(|checkout| checkout.path.is_dir()) else {
            continue;
        };
        let private = ledger.site().layout().private_git(&stored.zone.id, &crew.name);
        let private = private.canonicalize().unwrap_or(private);
        let linked = own(&checkout)?.into_iter().find(|repo| {
            repo.is_linked(&checkout.path) && !repo.git_dir(&checkout.path).starts_with(&private)
        });
        if let Some(linked) = linked {
            let path = checkout.path.join(linked.path.to_path_lossy());
            return Err(RemovalError::Worktree {
                aside: checkout.path.with_file_name(path.file_name().unwrap_or_default()),
                path,
                zone: stored.zone.branch.clone(),
                only: only.cloned(),
            });
        }
    }
    Ok(())
}

/// Saves every clone as it stands.
fn save(ledger: &Ledger<'_>, verb: &str, stored: &StoredZone) -> Result<Undo, RemovalError> {
    let mut pack = Pack::begin(ledger.site()).map_err(LedgerError::from)?;
    let mut files = TreeEdit::default();
    let mut clones = Vec::new();
    for crew in stored.crew.values() {
        let what = (crew, Going::All(&stored.zone.id));
        clones.push(save_clone(ledger, what, &mut pack, &mut files)?);
    }
    Ok(ledger.save_undo(
        &mut pack,
        &mut files,
        Saving {
            verb,
            undoes: None,
            zone: &stored.zone,
            clones,
        },
    )?)
}

/// Worktrees, branches, private git folders; the bytes on the disk go last.
fn take_away(
    ledger: &Ledger<'_>,
    stored: &StoredZone,
    undo: &Undo,
    keep_private: bool,
) -> Result<Vec<remove::Doomed>, RemovalError> {
    let mut doomed = Vec::new();
    for kept in &undo.clones {
        let crew = &kept.crew;
        if let Some(checkout) = worktree_of(ledger, crew) {
            let mut aside = kept.apart.clone();
            aside.retain(|it| !keep_private || it.origin != Origin::Private);
            let places = places(ledger, (&stored.zone.id, crew), &checkout, undo.n);
            apart::take(&places, &aside).map_err(|source| RemovalError::Io {
                path: checkout.path.clone(),
                source,
            })?;
            doomed.push(remove::discard(&checkout).map_err(|source| RemovalError::Io {
                path: checkout.path.clone(),
                source,
            })?);
        }
        if let Some(tip) = kept.tip.as_ref().and_then(|tip| tip.parse::<Oid>().ok()) {
            delete_ref(ledger.repo(), &branch_ref(&crew.branch), tip).map_err(LedgerError::from)?;
        }
        let private = ledger.site().layout().private_git(&stored.zone.id, &crew.name);
        if !keep_private {
            drop(erase(&private));
        }
    }
    Ok(doomed)
}

fn sweep(doomed: Vec<remove::Doomed>, undo: &Undo) {
    for dir in doomed {
        dir.sweep();
    }
    for kept in &undo.clones {
        if let Some(holder) = kept
            .crew
            .path
            .as_ref()
            .and_then(|path| std::path::Path::new(path).parent())
        {
            remove::sweep(holder);
        }
    }
}
