//! `git khlone redact`: a secret that a task came across and that was stored is taken out again.
//!
//! The order: the task is written anew without it (documents, transcript, artifacts, snapshots), then the local spool,
//! then what only pins of the task reach is let go, then the objects leave our packs. Killed anywhere, a second run
//! finishes. Commits on anybody's branches are not rewritten: they are named, with everything else that is out of
//! reach.

mod documents;
mod remains;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use crate::{
    guard::{beneath::Beneath, secrets::redact::Redactor},
    process::{ProcessError, file::replace_durably},
    refs::{self, Kind, Layout, Ledger, LedgerError, Oid, Pack, RefError, Stored, Update},
    task::{TaskId, explain},
    zone::hold::{HoldError, Waiting, hold_settled},
};

pub use remains::Remains;

/// The secret among the objects of the repository, by id.
type Tainted = BTreeMap<Oid, Kind>;

/// What was done.
#[derive(Debug, Default)]
pub struct Redacted {
    /// How many secrets of which kind were taken out.
    pub taken: BTreeMap<String, u64>,
    /// Files of the task, its snapshots and its spool that were written anew.
    pub files: usize,
    /// Objects that are gone from the repository.
    pub objects: usize,
    /// Pins of the task that were let go, since what only they reached held it.
    pub pins: Vec<String>,
    /// What still holds it.
    pub remains: Vec<Remains>,
}

/// What kept us from it.
#[derive(Debug, thiserror::Error)]
pub enum RedactionError {
    /// A task of the clone is under way.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// Someone wrote to the task meanwhile.
    #[error("{0} has changed meanwhile")]
    Changed(TaskId),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A pin refuses.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// git failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// git cannot read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

explain! {
    RedactionError {
        transparent { Hold, Ledger, Ref, Process }
        Refused { Changed(id) => format!("git khlone redact {id}") }
        Failed { Git, Io }
    }
}

/// Takes out of a task what `redactor` finds. No task of its clone may be under way.
///
/// # Errors
/// [`RedactionError`]; what was done until then stays done.
pub fn redact(ledger: &Ledger<'_>, id: &TaskId, redactor: &Redactor) -> Result<Redacted, RedactionError> {
    let named = ledger.task(id)?.task;
    // The clone's own git folder, which goes, may have the only copy of what a dead attempt committed.
    let _held = hold_settled(ledger, (&named.zone, &named.clone), Waiting::May)?;
    let stored = ledger.task(id)?;
    let mut tainted = Tainted::new();
    refs::every_object(ledger.repo(), |oid, kind, bytes| {
        if redactor.redact_bytes(bytes).is_some() {
            tainted.insert(oid, kind);
        }
    })?;
    let mut done = Redacted::default();
    let repo = ledger.repo();
    refs::amid_gc(repo, || rewrite(ledger, &stored, redactor, &tainted, &mut done))?;
    let site = ledger.site();
    spool(&site.layout().attempts_of(id), redactor, &mut done)?;
    if !tainted.is_empty() {
        refs::amid_gc(repo, || unpin(ledger, id, &tainted, &mut done.pins))?;
        // The clone's own copy of what it committed; the next task gets another.
        let gitdirs = site.layout().private_gits();
        if gitdirs.is_dir() {
            Beneath::open(&gitdirs)?.remove(&Layout::clone_key(&named.zone, &named.clone))?;
        }
    }
    let doomed: BTreeSet<Oid> = tainted.keys().copied().collect();
    let purged = if doomed.is_empty() {
        refs::Purged::default()
    } else {
        let all = ["--all", "--reflog", "--indexed-objects"];
        let kept = refs::amid_gc(repo, || {
            Ok::<_, RedactionError>(refs::reached(repo, &doomed, &all)?)
        })?;
        refs::purge(repo, site, &doomed, &kept)?
    };
    done.objects = purged.gone;
    done.remains = refs::amid_gc(repo, || {
        remains::look(ledger, &stored.task, redactor, &purged.left)
    })?;
    Ok(done)
}

/// Writes the task anew.
fn rewrite(
    ledger: &Ledger<'_>,
    stored: &Stored,
    redactor: &Redactor,
    tainted: &Tainted,
    done: &mut Redacted,
) -> Result<(), RedactionError> {
    let mut pack = Pack::begin(ledger.site())?;
    let mut work = documents::Rewriter::new(ledger.repo(), redactor, tainted, &mut pack);
    let changed = work.task(stored)?;
    (done.taken, done.files) = (work.taken, work.files);
    if changed.is_empty() {
        return Ok(());
    }
    let id = &stored.task.id;
    ledger.update_with(&mut pack, id, "cli", |update: &mut Update<'_>| {
        if *update.task != stored.task {
            return Err(RedactionError::Changed(id.clone()));
        }
        changed.apply(update);
        Ok(())
    })?;
    Ok(())
}

/// The local files of a task's attempts. Locks are left, and so are receipts, which hold hashes and no content.
fn spool(folder: &Path, redactor: &Redactor, done: &mut Redacted) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() {
            spool(&path, redactor, done)?;
        } else if kind.is_file() && !name.ends_with(".lock") && !name.starts_with("receipt-") {
            let Some((clean, counts)) = redactor.redact_bytes(&fs::read(&path)?) else {
                continue;
            };
            replace_durably(&path, &clean)?;
            done.files += 1;
            for (name, count) in counts {
                *done.taken.entry(name).or_default() += count;
            }
        }
    }
    Ok(())
}

/// Lets go of the task's pins whose own commits hold the secret; those of anybody's branches stay.
fn unpin(
    ledger: &Ledger<'_>,
    id: &TaskId,
    tainted: &Tainted,
    gone: &mut Vec<String>,
) -> Result<(), RedactionError> {
    let repo = ledger.repo();
    let wanted: BTreeSet<Oid> = tainted.keys().copied().collect();
    let glob = format!("refs/khlone/pins/{id}/*");
    let names: Vec<String> = repo
        .git()
        .references_glob(&glob)?
        .names()
        .filter_map(|name| name.ok().map(str::to_owned))
        .collect();
    for name in names {
        let Some(target) = repo.ref_target(&name)? else {
            continue;
        };
        let tip = target.to_string();
        let alone = ["--branches", "--tags", "--remotes"];
        let from: Vec<&str> = [tip.as_str(), "--not"].into_iter().chain(alone).collect();
        if !refs::reached(repo, &wanted, &from)?.is_empty() {
            refs::delete_ref(repo, &name, target)?;
            gone.push(name);
        }
    }
    Ok(())
}
