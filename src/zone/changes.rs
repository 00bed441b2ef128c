//! The uncommitted files of the user's checkout, for a task that starts from them (`--with-changes`).

use std::io;

use crate::{
    refs::{Oid, Pack, Repo, Site},
    task::explain,
    worktree::snapshot::{self, SnapshotError, Source, snapshot},
};

/// Files that could not be taken along.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// There is no checkout.
    #[error("a bare repository has no changes to start from")]
    Bare,
    /// Its commit cannot be told.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// They cannot be stored.
    #[error("the snapshot of your changes: {0}")]
    Io(#[from] io::Error),
    /// They cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

explain! {
    ChangesError {
        transparent { Snapshot }
        Usage { Bare => "git worktree list    # run it in a checkout, or leave --with-changes out" }
        Failed {
            Io => "df -h .",
            Git,
        }
    }
}

/// The files of the checkout of `repo` as they stand, as a tree: durable as long as the pack's lock is held.
///
/// # Errors
/// [`ChangesError`]; nothing but unreferenced objects is left then.
pub fn own_changes(repo: &Repo, site: &Site) -> Result<(Oid, Pack), ChangesError> {
    let work_dir = repo.work_dir().ok_or(ChangesError::Bare)?;
    let head = repo.git().head()?.peel_to_commit()?;
    let mut pack = Pack::begin(site)?;
    let index = repo.git_dir().join("index");
    let source = Source {
        work_dir,
        index: &index,
        repo,
        pinned: Some(head.id()),
    };
    let taken = snapshot(&source, &snapshot::Limits::default(), None, &mut pack)?;
    pack.publish()?;
    Ok((taken.tree, pack))
}
