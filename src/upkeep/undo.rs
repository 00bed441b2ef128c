//! `undo`: what a destructive verb saved comes back.
//!
//! The zone and its clones first, then branch and worktree of each, then files, what was staged, and ignored files.
//! Nothing that is there now is overwritten: a branch that stands elsewhere, or a clone of the same name that was
//! enrolled meanwhile, refuses the whole before anything is changed. Killed half way, it can be run again; the
//! saved state is forgotten last.
//!
//! A landing is taken back as [`crate::delivery::landing`] says.
//!
//! A clone that is there still, because the verb took back a part of it only, is brought back in its place; what
//! that replaces is saved as the undoing of `undo`.

use std::{io, path::PathBuf, time::Duration};

use git2::Oid;

use super::rollback::lay_out;
use crate::{
    delivery::landing::{TakeBackError, TakenBack, take_back},
    refs::{
        KeptClone, Ledger, LedgerError, Pack, Saving, StoredZone, TreeEdit, Undo, branch_ref, move_branch,
    },
    task::{CloneName, ZoneId, explain},
    worktree::{
        apart,
        carry::{CarryError, patiently},
        create::{CreateError, Want, ensure},
        index,
        keep::put_back,
        modes,
        restore::{RestoreError, Restored},
        snapshot::SnapshotError,
        standing,
    },
    zone::{
        apart::places,
        hold::{HoldError, Waiting, hold_settled},
        saving::{Going, SaveError, save_clone, worktree_of},
    },
};

/// What came back.
#[derive(Debug)]
pub struct Undone {
    /// What was undone.
    pub verb: String,
    /// The zone.
    pub zone: ZoneId,
    /// Its clones.
    pub clones: Vec<CloneName>,
    /// Paths that could not be put back, with the reason: `clone: path: why`.
    pub kept: Vec<String>,
    /// Ignored files and folders that had not been saved: `clone: path`.
    pub lost: Vec<String>,
    /// The landing that was taken back, or made again.
    pub landing: Option<TakenBack>,
}

/// A state that was not brought back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Nothing is saved under this number, or at all.
    #[error("{}", .0.map_or_else(|| "there is nothing to undo".to_owned(), |n| format!("nothing is saved as {n}")))]
    Nothing(Option<u64>),
    /// Something stands where it would go.
    #[error("{0} is there again and stands elsewhere; nothing was changed")]
    Taken(String),
    /// A landing stays.
    #[error(transparent)]
    Landing(#[from] TakeBackError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A worktree cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A worktree cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The clone is at work.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// What stands there now cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Files cannot be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// git failed.
    #[error(transparent)]
    Index(#[from] CarryError),
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

explain! {
    UndoError {
        transparent { Landing, Ledger, Create, Snapshot, Hold, Save, Restore, Index }
        NotFound { Nothing => "git khlone undo --list" }
        Refused { Taken }
        Failed { Io }
    }
}

/// Brings back what was saved under `n`, or last. A hook of the user's may take as long as `patience`.
///
/// # Errors
/// [`UndoError`]; what was saved stays saved then.
pub fn undo(ledger: &Ledger<'_>, n: Option<u64>, patience: Duration) -> Result<Undone, UndoError> {
    let saved: Vec<_> = ledger.undos()?.into_iter().map(|(undo, _)| undo).collect();
    let saved = chosen(saved, n).ok_or(UndoError::Nothing(n))?;
    let mut undone = Undone {
        verb: saved.verb.clone(),
        zone: saved.zone.id.clone(),
        clones: Vec::new(),
        kept: Vec::new(),
        lost: Vec::new(),
        landing: None,
    };
    if let Some(landing) = &saved.landing {
        undone.landing = Some(take_back(ledger, (&saved, landing), patience)?);
        return Ok(undone);
    }
    check(ledger, &saved)?;
    let there = saved.clones.iter().filter(|kept| kept.left.is_some());
    let held = there.map(|kept| hold_settled(ledger, (&saved.zone.id, &kept.crew.name), Waiting::May));
    let _held: Vec<_> = held.collect::<Result<_, _>>()?;
    ledger.update_zone(&saved.zone.id, Some(&saved.zone), |stored: &mut StoredZone| {
        for kept in &saved.clones {
            stored
                .crew
                .entry(kept.crew.name.clone())
                .or_insert_with(|| kept.crew.clone());
        }
        Ok::<_, UndoError>(())
    })?;
    for kept in &saved.clones {
        let name = &kept.crew.name;
        let restored = match kept.left {
            Some(_) => replace(ledger, &saved, kept)?,
            None => bring_back(ledger, &saved, kept)?,
        };
        undone.kept.extend(
            restored
                .kept
                .iter()
                .map(|left| format!("{name}: {}: {}", left.path, left.why)),
        );
        undone
            .lost
            .extend(kept.lost.iter().map(|path| format!("{name}: {path}")));
        undone.clones.push(name.clone());
    }
    // What could not be put back is nowhere else.
    if undone.kept.is_empty() {
        ledger.forget_undo(&saved)?;
    }
    Ok(undone)
}

/// What is to be brought back: the state of that number, or the last. Where the last was saved by an `undo` whose own
/// state is still there, that one was cut short, or could not put all of it back, and is gone on with.
fn chosen(saved: Vec<Undo>, n: Option<u64>) -> Option<Undo> {
    let last = saved.first()?;
    let unfinished = last
        .undoes
        .filter(|undoes| saved.iter().any(|undo| undo.n == *undoes));
    let n = n.or(unfinished).unwrap_or(last.n);
    saved.into_iter().find(|undo| undo.n == n)
}

/// Refuses if a branch or clone of the saved state is there again as something else.
fn check(ledger: &Ledger<'_>, saved: &Undo) -> Result<(), UndoError> {
    let zone = ledger.zone(&saved.zone.id)?;
    for kept in &saved.clones {
        let branch = branch_ref(&kept.crew.branch);
        let tip = ledger.repo().ref_target(&branch).map_err(LedgerError::from)?;
        let tip = tip.map(|tip| tip.to_string());
        if tip.is_some() && tip != kept.tip && tip != kept.left {
            return Err(UndoError::Taken(format!("branch {}", kept.crew.branch)));
        }
        let now = zone.as_ref().and_then(|zone| zone.crew.get(&kept.crew.name));
        if now.is_some_and(|now| now.created != kept.crew.created) {
            return Err(UndoError::Taken(format!("clone {}", kept.crew.name)));
        }
    }
    Ok(())
}

/// A clone that is there, as it was. What this replaces is saved first.
fn replace(ledger: &Ledger<'_>, saved: &Undo, kept: &KeptClone) -> Result<Restored, UndoError> {
    let repo = ledger.repo();
    let mut pack = Pack::begin(ledger.site()).map_err(LedgerError::from)?;
    let mut files = TreeEdit::default();
    let mut now = save_clone(ledger, (&kept.crew, Going::Some), &mut pack, &mut files)?;
    now.left.clone_from(&kept.tip);
    let verb = format!("undo of {}", saved.verb);
    ledger.save_undo(
        &mut pack,
        &mut files,
        Saving {
            verb: &verb,
            undoes: Some(saved.n),
            zone: &saved.zone,
            clones: vec![now],
        },
    )?;
    let name = branch_ref(&kept.crew.branch);
    let oid = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Oid>().ok());
    let at = repo.ref_target(&name).map_err(LedgerError::from)?;
    if let (Some(at), Some(tip)) = (at, oid(&kept.tip).filter(|tip| Some(*tip) != at)) {
        move_branch(repo, &name, Some(at), tip, "khlone undo").map_err(LedgerError::from)?;
        if let Some(checkout) = worktree_of(ledger, &kept.crew) {
            patiently(&checkout, || index::reset(&checkout, &tip.to_string()))?;
        }
    }
    bring_back(ledger, saved, kept)
}

/// Branch, worktree and files of one clone.
fn bring_back(ledger: &Ledger<'_>, saved: &Undo, kept: &KeptClone) -> Result<Restored, UndoError> {
    let repo = ledger.repo();
    let oid = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Oid>().ok());
    let Some(tip) = oid(&kept.tip) else {
        return Ok(Restored::default());
    };
    let Some(place) = kept.crew.path.as_ref() else {
        let moved = crate::refs::move_branch(repo, &branch_ref(&kept.crew.branch), None, tip, "khlone undo");
        return match moved {
            Ok(()) | Err(crate::refs::RefError::Moved { .. }) => Ok(Restored::default()),
            Err(error) => Err(LedgerError::from(error).into()),
        };
    };
    let want = Want {
        place: place.as_ref(),
        branch: &kept.crew.branch,
        start: tip,
        folders: &[],
    };
    let blob = |oid: &str| {
        let oid = oid.parse().map_err(io::Error::other)?;
        let blob = repo.git().find_blob(oid).map_err(io::Error::other)?;
        Ok(blob.content().to_vec())
    };
    // Where HEAD was on no branch, an `undo` that was cut short has put it there already.
    let there = worktree_of(ledger, &kept.crew).filter(|checkout| {
        let is_whole = checkout.path.join(".git").exists() && !checkout.is_half_made();
        is_whole && standing::is_put_back(checkout, &kept.git, blob)
    });
    let (checkout, is_fresh) = match there {
        Some(checkout) => (checkout, false),
        None => {
            let ready = ensure(repo, &want)?;
            (ready.checkout, ready.made.is_fresh())
        }
    };
    let failed = |source| UndoError::Io {
        path: checkout.path.clone(),
        source,
    };
    if !kept.git.is_empty() {
        standing::end_operations(&checkout).map_err(failed)?;
    }
    standing::put_back(&checkout, &kept.git, blob).map_err(failed)?;
    // Before the files: the snapshot has some of it by name.
    let places = places(ledger, (&saved.zone.id, &kept.crew), &checkout, saved.n);
    let in_the_way = apart::put_back(&places, &kept.apart, is_fresh).map_err(failed)?;
    let Some(work) = oid(&kept.work) else {
        return Ok(Restored::default());
    };
    let mut restored = lay_out(ledger, &checkout, tip, work)?;
    restored.kept.extend(in_the_way);
    let staged = kept.index.clone().unwrap_or_else(|| tip.to_string());
    patiently(&checkout, || index::reset_and_look(&checkout, &staged))?;
    if let Some(conflicts) = &kept.conflicts {
        standing::put_back_conflicts(&checkout, &blob(&conflicts.blob).map_err(failed)?)?;
    }
    put_back(&checkout, &kept.ignored, blob).map_err(failed)?;
    if let Some(index) = &kept.whole_index {
        standing::put_back_index(&checkout, &blob(&index.blob).map_err(failed)?)?;
    }
    if let Some(modes) = &kept.modes {
        modes::put_back(&checkout, &blob(&modes.blob).map_err(failed)?).map_err(failed)?;
    }
    Ok(restored)
}
