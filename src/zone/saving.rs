//! Saving a clone as it stands, before a verb takes something of it away: branch, files, what is staged, small
//! ignored files. What is too large or too many is named instead.

use std::io;

use git2::Oid;

use crate::{
    process::ProcessError,
    refs::{Crew, KeptClone, Ledger, Pack, TreeEdit, branch_ref},
    task::{Class, Explain},
    worktree::{checkout::Checkout, keep::keep, snapshot::SnapshotError, standing, submodule},
};

/// A clone that cannot be saved; the verb must not go on then.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Its files cannot be read or stored.
    #[error(transparent)]
    Files(#[from] SnapshotError),
    /// Its submodules cannot be looked at.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its branch cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Explain for SaveError {
    fn class(&self) -> Class {
        match self {
            Self::Files(error) => error.class(),
            Self::Process(error) => error.class(),
            Self::Git(_) | Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Files(error) => error.hint(),
            Self::Process(error) => error.hint(),
            Self::Git(_) | Self::Io(_) => None,
        }
    }
}

/// Saves a clone: its objects go to `pack`, its files to `files`, in a folder of its name.
pub(crate) fn save_clone(
    ledger: &Ledger<'_>,
    crew: &Crew,
    pack: &mut Pack,
    files: &mut TreeEdit,
) -> Result<KeptClone, SaveError> {
    let repo = ledger.repo();
    let tip: Option<Oid> = repo.ref_target(&branch_ref(&crew.branch))?;
    let mut saved = KeptClone {
        crew: crew.clone(),
        tip: tip.map(|tip| tip.to_string()),
        left: None,
        work: None,
        index: None,
        ignored: Vec::new(),
        git: Vec::new(),
        commits: Vec::new(),
        conflicts: None,
        lost: Vec::new(),
    };
    let checkout = worktree_of(ledger, crew);
    if let Some(checkout) = checkout.as_ref().filter(|checkout| !checkout.is_half_made()) {
        let stands = standing::keep(repo, checkout, tip, pack)?;
        if let Some(tree) = stands.tree {
            files.graft(format!("{}/git", crew.name), tree);
        }
        saved.git = stands.files;
        saved.commits = stands.commits.iter().map(ToString::to_string).collect();
        saved.conflicts = stands.conflicts;
    }
    let present = checkout.filter(|checkout| checkout.path.is_dir());
    if let Some(checkout) = present {
        let kept = keep(repo, &checkout, tip, pack)?;
        let name = &crew.name;
        files.graft(format!("{name}/work"), kept.work);
        let grafts = [("index", kept.index), ("ignored", kept.ignored_tree)];
        for (folder, tree) in grafts {
            if let Some(tree) = tree {
                files.graft(format!("{name}/{folder}"), tree);
            }
        }
        saved.work = Some(kept.work.to_string());
        saved.index = kept.index.map(|tree| tree.to_string());
        saved.ignored = kept.ignored;
        saved.lost = kept.lost;
        let moved = submodule::moved(&checkout)?;
        saved.lost.extend(
            moved
                .iter()
                .map(|path| format!("{} (commits of the submodule)", path.display())),
        );
    }
    Ok(saved)
}

/// The worktree that git knows at a clone's place.
pub(crate) fn worktree_of(ledger: &Ledger<'_>, crew: &Crew) -> Option<Checkout> {
    let path = crew.path.as_ref()?;
    Checkout::linked_at(ledger.repo().common_dir(), path.as_ref())
}
