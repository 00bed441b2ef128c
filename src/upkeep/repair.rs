//! `zone repair`: worktrees put right at their places, and locks that nobody holds cleared.
//!
//! A clone that is at work is left alone. Locks of ours that nobody holds are cleared: worktree locks of a run that
//! is over, and ref locks below `refs/khlone/` that are older than any writer. Other lock files may be somebody's,
//! for as long as an editor is open, so they are named and never removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    refs::{Crew, Ledger, LedgerError, StoredZone, branch_ref, settle_announced, sweep_locks},
    task::{CloneName, ZoneId, explain},
    worktree::{
        checkout::Checkout,
        create::{CreateError, Made, Want, ensure},
    },
    zone::hold::{HoldError, Waiting, hold_settled},
};

/// What was done for a clone, or could not be.
#[derive(Debug)]
pub struct Mending {
    /// The zone.
    pub zone: ZoneId,
    /// The clone.
    pub clone: CloneName,
    /// What came of it.
    pub result: Result<Mended, MendError>,
}

/// What a clone's worktree needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// Nothing.
    Whole,
    /// It never had a worktree; the first task makes it.
    Unmade,
    /// This.
    Put(Made),
    /// A lock that a run had left.
    Unlocked,
}

/// A clone's worktree that could not be put right.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// A task of it is under way.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// Its branch and its zone's are both gone.
    #[error("neither its branch nor its zone's branch {0} is there")]
    NoBranch(String),
    /// It cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// git cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

explain! {
    MendError {
        transparent { Hold, Create }
        NotFound { NoBranch => "git khlone zone prune" }
        Failed { Io, Git }
    }
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Where.
    pub path: PathBuf,
    /// It was ours and is gone now.
    pub cleared: bool,
}

/// Puts the worktrees of a zone, or of all, right.
///
/// # Errors
/// If the ledger cannot be read. What goes wrong with one clone is in its [`Mending`].
pub fn repair(
    ledger: &Ledger<'_>,
    only: Option<&ZoneId>,
    folders: &[String],
) -> Result<Vec<Mending>, LedgerError> {
    let zones = ledger
        .zones()?
        .into_iter()
        .filter(|zone| only.is_none_or(|only| zone.zone.id == *only));
    let mut mendings = Vec::new();
    for zone in zones {
        for crew in zone.crew.values() {
            mendings.push(Mending {
                zone: zone.zone.id.clone(),
                clone: crew.name.clone(),
                result: mend(ledger, &zone, crew, folders),
            });
        }
    }
    Ok(mendings)
}

fn mend(
    ledger: &Ledger<'_>,
    zone: &StoredZone,
    crew: &Crew,
    folders: &[String],
) -> Result<Mended, MendError> {
    let Some(place) = &crew.path else {
        return Ok(Mended::Unmade);
    };
    // What is made anew before recovery has looked would be taken for what the dead attempt left.
    let _held = hold_settled(ledger, (&zone.zone.id, &crew.name), Waiting::MayNot)?;
    let repo = ledger.repo();
    let tip = |branch: &str| repo.ref_target(&branch_ref(branch));
    let start = match tip(&crew.branch)? {
        Some(own) => Some(own),
        None => tip(&zone.zone.branch)?,
    };
    let want = Want {
        place: place.as_ref(),
        branch: &crew.branch,
        start: start.ok_or_else(|| MendError::NoBranch(zone.zone.branch.clone()))?,
        folders,
    };
    let ready = ensure(repo, &want)?;
    let was_locked = ready.checkout.lock_reason().is_some();
    ready.checkout.unlock()?;
    Ok(match ready.made {
        Made::Reused if was_locked && ready.checkout.lock_reason().is_none() => Mended::Unlocked,
        Made::Reused => Mended::Whole,
        made => Mended::Put(made),
    })
}

/// Clears our stale lock files and names everyone else's.
///
/// # Errors
/// If a folder cannot be read.
pub fn locks(ledger: &Ledger<'_>) -> io::Result<Vec<Lock>> {
    let common = ledger.repo().common_dir();
    let before = all_locks(common)?;
    sweep_locks(common)?;
    settle_announced(common)?;
    let locks = before.into_iter().map(|path| {
        let cleared = !path.exists();
        Lock { path, cleared }
    });
    Ok(locks.collect())
}

fn all_locks(common: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in [
        "refs/khlone",
        "refs/notes",
        "refs/heads",
        "refs/tags",
        "refs/remotes",
    ] {
        lock_files(&common.join(dir), &mut found)?;
    }
    for file in [
        "index.lock",
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
    ] {
        found.extend(Some(common.join(file)).filter(|path| path.exists()));
    }
    for checkout in Checkout::linked(common)? {
        let names = ["index.lock", "HEAD.lock"].into_iter();
        found.extend(
            names
                .map(|name| checkout.git_dir.join(name))
                .filter(|path| path.exists()),
        );
    }
    Ok(found)
}

fn lock_files(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            lock_files(&entry.path(), found)?;
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "lock")
        {
            found.push(entry.path());
        }
    }
    Ok(())
}
