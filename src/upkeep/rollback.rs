//! `rollback`: a clone's files and branch are as they were before a task began.
//!
//! Everything that this replaces is saved first (see [`crate::refs::Undo`]), and stands in the task as
//! `attempts/<n>/discarded`. A branch that has gone on since, with later tasks or somebody's own commits, is not
//! taken back. The files go first, then the branch, then what is half done (a merge, a pick) and the index: killed in
//! between, the same command finishes it, and `undo` brings back what was there.

use git2::Oid;

use crate::{
    refs::{
        Crew, Ledger, LedgerError, MemorySink, Pack, Saving, Stored, TreeEdit, Undo, Update, branch_ref,
        move_branch, pin_ref,
    },
    task::{CloneName, Status, Task, TaskId, explain},
    worktree::{
        carry::{CarryError, patiently},
        checkout::Checkout,
        create::{CreateError, Want, ensure},
        index,
        restore::{RestoreError, Restored, restore},
        snapshot::{Limits, SnapshotError, Source, snapshot},
        standing,
    },
    zone::{
        Place, ResolveError, clone_named,
        hold::{HoldError, Waiting, hold_settled},
        saving::{Going, SaveError, save_clone, worktree_of},
    },
};

/// What a rollback did.
#[derive(Debug)]
pub struct RolledBack {
    /// The task.
    pub task: TaskId,
    /// The number under which the replaced state is saved.
    pub undo: u64,
    /// What happened to the files.
    pub files: Restored,
    /// Where the branch was and is, if it was taken back.
    pub branch: Option<(String, Oid, Oid)>,
    /// Ignored files and folders that are not saved.
    pub lost: Vec<String>,
}

/// A task that was not rolled back; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// It runs, or waits for its first attempt.
    #[error("{0} is {1}")]
    NotOver(TaskId, Status),
    /// It has changed nothing that is known.
    #[error("{0} has no snapshot of before: it never began")]
    NeverBegan(TaskId),
    /// Something else was built on it.
    #[error("{branch} has gone on since {task}: what came later would go too")]
    GoneOn {
        /// The task.
        task: TaskId,
        /// The clone's branch.
        branch: String,
    },
    /// The clone never had a worktree.
    #[error("clone {0} has no worktree")]
    NoWorktree(CloneName),
    /// HEAD of the worktree stands elsewhere.
    #[error("{} is not on {branch}", .path.display())]
    Elsewhere {
        /// The worktree.
        path: std::path::PathBuf,
        /// The clone's branch.
        branch: String,
    },
    /// The clone is gone.
    #[error(transparent)]
    Clone(#[from] ResolveError),
    /// The clone is at work.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// Its state cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Its worktree cannot be made again.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Its files cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its files cannot be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// git failed.
    #[error(transparent)]
    Index(#[from] CarryError),
    /// git cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

explain! {
    RollbackError {
        transparent { Clone, Hold, Save, Create, Snapshot, Restore, Ledger, Index }
        Refused {
            NotOver(id, _) => format!("git khlone cancel {id}"),
            GoneOn { branch, .. } => format!("git log {branch}    # shows what came later"),
            Elsewhere { path, branch } => format!("git -C {} switch {branch}", path.display()),
        }
        NotFound {
            NoWorktree => "git khlone zone repair",
            NeverBegan(id) => format!("git khlone show {id}"),
        }
        Failed { Git }
    }
}

/// Rolls a task back; `verb` is what the command line calls it.
///
/// # Errors
/// [`RollbackError`].
pub fn rollback(ledger: &Ledger<'_>, stored: &Stored, verb: &str) -> Result<RolledBack, RollbackError> {
    let task = &stored.task;
    let is_still = task.status.is_over() || task.status == Status::Interrupted && task.is_recovered();
    if !is_still {
        return Err(RollbackError::NotOver(task.id.clone(), task.status));
    }
    let place = Place {
        zone: task.zone.clone(),
        branch: task.branch.clone(),
        inside: None,
    };
    let (zone, crew) = clone_named(ledger, &place, &task.clone)?;
    let _held = hold_settled(ledger, (&task.zone, &task.clone), Waiting::May)?;
    let never = || RollbackError::NeverBegan(task.id.clone());
    let before = ledger.folder(stored, "attempts/1/before")?.ok_or_else(never)?;
    let start = ledger
        .repo()
        .ref_target(&pin_ref(&task.id, 1, "head-before"))?
        .ok_or_else(never)?;
    let checkout = worktree(ledger, &crew, start)?;
    let tip = own_tip(ledger, task, &crew)?;
    let mut pack = Pack::begin(ledger.site()).map_err(LedgerError::from)?;
    let mut files = TreeEdit::default();
    let mut kept = save_clone(ledger, (&crew, Going::Some), &mut pack, &mut files)?;
    kept.left = Some(start.to_string());
    let verb = format!("{verb} {}", task.id);
    let undo = ledger.save_undo(
        &mut pack,
        &mut files,
        Saving {
            verb: &verb,
            undoes: None,
            zone: &zone.zone,
            clones: vec![kept],
        },
    )?;
    note_discarded(ledger, task, &undo)?;
    let restored = lay_out(ledger, &checkout, tip, before)?;
    let name = branch_ref(&crew.branch);
    if tip != start {
        move_branch(ledger.repo(), &name, Some(tip), start, &format!("khlone: {verb}"))
            .map_err(LedgerError::from)?;
    }
    // A merge or the like that was begun since is a part of what is taken back.
    standing::end_operations(&checkout).map_err(LedgerError::from)?;
    patiently(&checkout, || index::reset(&checkout, &start.to_string()))?;
    let lost = undo.clones.iter().flat_map(|kept| kept.lost.clone());
    Ok(RolledBack {
        task: task.id.clone(),
        undo: undo.n,
        files: restored,
        branch: (tip != start).then(|| (crew.branch.clone(), tip, start)),
        lost: lost.collect(),
    })
}

/// The clone's worktree, on its branch; made again if it is gone.
fn worktree(ledger: &Ledger<'_>, crew: &Crew, start: Oid) -> Result<Checkout, RollbackError> {
    let known = worktree_of(ledger, crew).filter(|checkout| checkout.path.join(".git").exists());
    let checkout = match (known, &crew.path) {
        (Some(checkout), _) => checkout,
        (None, Some(path)) => {
            let want = Want {
                place: path.as_ref(),
                branch: &crew.branch,
                start,
                folders: &[],
            };
            ensure(ledger.repo(), &want)?.checkout
        }
        (None, None) => return Err(RollbackError::NoWorktree(crew.name.clone())),
    };
    if checkout.head_ref() != Some(branch_ref(&crew.branch)) {
        return Err(RollbackError::Elsewhere {
            path: checkout.path,
            branch: crew.branch.clone(),
        });
    }
    Ok(checkout)
}

/// The branch's tip, which must be one that an attempt of this task began or ended on.
fn own_tip(ledger: &Ledger<'_>, task: &Task, crew: &Crew) -> Result<Oid, RollbackError> {
    let repo = ledger.repo();
    let gone_on = || RollbackError::GoneOn {
        task: task.id.clone(),
        branch: crew.branch.clone(),
    };
    let tip = repo.ref_target(&branch_ref(&crew.branch))?.ok_or_else(gone_on)?;
    for attempt in &task.attempts {
        for what in ["head-before", "head-after"] {
            if repo.ref_target(&pin_ref(&task.id, attempt.n, what))? == Some(tip) {
                return Ok(tip);
            }
        }
    }
    Err(gone_on())
}

/// What is replaced stands in the task, too.
fn note_discarded(ledger: &Ledger<'_>, task: &Task, undo: &Undo) -> Result<(), LedgerError> {
    let work = undo
        .clones
        .first()
        .and_then(|kept| kept.work.as_ref()?.parse().ok());
    let Some(work) = work else { return Ok(()) };
    let n = task.last_attempt().map_or(1, |last| last.n);
    ledger.update(&task.id, "cli", |update: &mut Update<'_>| {
        update.edit.graft(format!("attempts/{n}/discarded"), work);
        Ok::<_, LedgerError>(())
    })?;
    Ok(())
}

/// Lays the files of a snapshot out.
pub(super) fn lay_out(
    ledger: &Ledger<'_>,
    checkout: &Checkout,
    tip: Oid,
    tree: Oid,
) -> Result<Restored, RestoreError> {
    let source = Source {
        work_dir: &checkout.path,
        index: &checkout.git_dir.join("index"),
        repo: ledger.repo(),
        pinned: Some(tip),
    };
    let now = snapshot(&source, &Limits::default(), None, &mut MemorySink::default())?;
    restore(&source, tree, &now.manifest)
}
