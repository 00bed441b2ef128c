//! The files of a clone: its worktree found, a receipt of it taken, files laid into it and taken back.

use std::{fs, path::Path};

use super::{Run, RunnerError};
use crate::{
    refs::{MemorySink, ObjectSink, Oid},
    task::Task,
    upkeep::adopt::{Surveyor, settle_clone, stood},
    worktree::{
        checkout::Checkout,
        place::Rules,
        receipt::{Receipt, take_receipt},
        restore::restore,
        snapshot::{Limits, Manifest, Source, snapshot},
    },
};

/// Finds the clone's worktree again where the repository, or both, were moved.
pub(super) fn find_again(run: &Run<'_>, task: &Task) -> Result<(), RunnerError> {
    let surveyor = || {
        let stood = stood(run.ledger, &run.paths.khlone_home.join("sites"))?;
        Ok(Surveyor {
            rules: rules(run),
            stood,
        })
    };
    Ok(settle_clone(run.ledger, (&task.zone, &task.clone), surveyor)?)
}

pub(super) fn rules<'a>(run: &'a Run<'_>) -> Rules<'a> {
    Rules {
        root: run.config.worktree.root.as_deref(),
        data_home: &run.paths.data_home,
    }
}

/// The clone's worktree, as git knows it and if it is there.
pub(super) fn checkout_of(run: &Run<'_>, task: &Task) -> Result<Option<Checkout>, RunnerError> {
    let zone = run.ledger.zone(&task.zone)?;
    let path = zone.and_then(|zone| zone.crew.get(&task.clone).and_then(|member| member.path.clone()));
    let found = path.and_then(|path| Checkout::linked_at(run.ledger.repo().common_dir(), path.as_ref()));
    Ok(found.filter(|checkout| checkout.path.join(".git").exists()))
}

/// A receipt of the clone's work tree and of the repository around it.
pub(super) fn shot(
    run: &Run<'_>,
    checkout: &Checkout,
    pinned: Option<Oid>,
    previous: Option<&Manifest>,
    sink: &mut dyn ObjectSink,
) -> Result<Receipt, RunnerError> {
    let source = Source {
        work_dir: &checkout.path,
        index: &checkout.git_dir.join("index"),
        repo: run.ledger.repo(),
        pinned,
    };
    let limits = Limits {
        max_blob: run.config.limits.blob.as_u64(),
        ..Limits::default()
    };
    Ok(take_receipt(&source, &limits, previous, sink)?)
}

/// The receipt that was last taken of an attempt's end.
pub(super) fn last_seen(dir: &Path) -> Option<Receipt> {
    Receipt::from_bytes(&fs::read(dir.join("receipt-after")).ok()?).ok()
}

/// Lays the user's uncommitted files into the worktree.
pub(super) fn bring_changes(
    run: &Run<'_>,
    checkout: &Checkout,
    tip: Oid,
    tree: Oid,
) -> Result<(), RunnerError> {
    let index = checkout.git_dir.join("index");
    let repo = run.ledger.repo();
    let source = Source {
        work_dir: &checkout.path,
        index: &index,
        repo,
        pinned: Some(tip),
    };
    let now = snapshot(&source, &Limits::default(), None, &mut MemorySink::default())?;
    restore(&source, tree, &now.manifest)?;
    Ok(())
}

/// Takes back what an ask wrote, which it can where no sandbox keeps it from it. All of it is in the receipt after, and
/// that is in the ledger.
pub(super) fn put_back(
    run: &Run<'_>,
    checkout: &Checkout,
    (before, pinned): (Oid, Option<Oid>),
    after: &Receipt,
) -> Result<(), RunnerError> {
    let source = Source {
        work_dir: &checkout.path,
        index: &checkout.git_dir.join("index"),
        repo: run.ledger.repo(),
        pinned,
    };
    restore(&source, before, &after.snapshot.manifest)?;
    Ok(())
}
