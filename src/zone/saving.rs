//! Saving a clone as it stands, before a verb takes something of it away: branch, files, what is staged, small
//! ignored files. What is too large or too many of those is named instead. Where the whole worktree is to go, what no
//! object can hold is found, too, and moved aside ([`super::apart`]).

use std::io;

use git2::Oid;

use super::apart::apart;
use crate::{
    process::ProcessError,
    refs::{
        Crew, KeptApart, KeptClone, KeptFile, Kind, Ledger, ObjectSink, Origin, Pack, TreeEdit, branch_ref,
    },
    task::{ZoneId, explain},
    worktree::{checkout::Checkout, keep::keep, modes, snapshot::SnapshotError, standing},
};

/// A clone that cannot be saved; the verb must not go on then.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Its files cannot be read or stored.
    #[error(transparent)]
    Files(#[from] SnapshotError),
    /// The repositories in it cannot be looked at.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its branch cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

explain! {
    SaveError {
        transparent { Files, Process }
        Failed { Git, Io }
    }
}

/// How much of a clone is about to go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Going<'a> {
    /// Its worktree, with all that is in it.
    All(&'a ZoneId),
    /// Files and commits; what is not saved stays.
    Some,
}

/// Saves a clone: its objects go to `pack`, its files to `files`, in a folder of its name.
pub(crate) fn save_clone(
    ledger: &Ledger<'_>,
    (crew, going): (&Crew, Going<'_>),
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
        whole_index: None,
        modes: None,
        apart: Vec::new(),
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
        saved.whole_index = stands.index;
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
        let modes = modes::keep(&kept.manifest);
        if !modes.is_empty() {
            let blob = pack.put(Kind::Blob, &modes)?;
            files.file(format!("{name}/modes"), modes);
            saved.modes = Some(KeptFile {
                path: "modes".to_owned(),
                mode: 0o644,
                blob: blob.to_string(),
            });
        }
        if let Going::All(zone) = going {
            saved.apart = apart(ledger, (zone, crew), &checkout, &kept.manifest)?;
            saved.lost.retain(|path| !is_apart(path, &saved.apart));
        }
    }
    Ok(saved)
}

/// Whether a path, as documents have it, is in what is moved aside.
fn is_apart(path: &str, apart: &[KeptApart]) -> bool {
    let all = apart.iter().filter(|kept| kept.origin == Origin::Worktree);
    let mut rests = all.filter_map(|kept| path.strip_prefix(kept.path.as_str()));
    rests.any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The worktree that git knows at a clone's place.
pub(crate) fn worktree_of(ledger: &Ledger<'_>, crew: &Crew) -> Option<Checkout> {
    let path = crew.path.as_ref()?;
    Checkout::linked_at(ledger.repo().common_dir(), path.as_ref())
}
