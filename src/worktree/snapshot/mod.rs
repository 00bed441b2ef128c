//! Snapshots: the files of a work tree as a raw-byte git tree, and a manifest of everything that was seen.
//!
//! Raw means the bytes on disk, no filter, no line-end conversion: a snapshot is never a commit's tree, though
//! for a clean work tree without filters the two have the same id. Ignored files are in the manifest only. Git's
//! own `add -A` is no help here: it runs filters, drops nested repositories and gives up over a name like
//! `.GIT`.
//!
//! Files are known by their stat where that is proof (see [`Entry::doubtful`] and the index rules) and read
//! where it is not. What changes during the walk is seen either way or marked doubtful, and the next snapshot
//! looks again.

#[cfg(test)]
mod again;
pub(super) mod beneath;
mod build;
pub(super) mod codec;
pub(super) mod content;
mod encode;
pub(super) mod gitdir;
mod glance;
mod ignored;
mod index;
pub(super) mod manifest;
mod of_tree;
mod pinned;
pub(super) mod placeholder;
mod rules;
pub(super) mod scan;
mod sources;
mod stat;
#[cfg(test)]
mod tests;
mod walk;

use std::{io, path::Path};

use git2::Oid;

pub use codec::Damaged;
pub use encode::{Marker, decode, encode};
pub use manifest::{Entry, EntryKind, Folder, Manifest};
pub use stat::StatKey;
pub(super) use stat::now;

use crate::{
    refs::{ObjectSink, Repo},
    task::explain,
};
use beneath::Root;
use build::Builder;
use index::Index;
use rules::Rules;
use sources::Sources;
use walk::Walk;

/// What a snapshot is taken of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The work tree's top folder.
    pub work_dir: &'a Path,
    /// The host's index of it, `<common>/worktrees/<id>/index`.
    pub index: &'a Path,
    /// The repository.
    pub repo: &'a Repo,
    /// A commit that a ref holds: what is in its tree needs not be stored again.
    pub pinned: Option<Oid>,
}

/// How much a snapshot takes in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files longer than this are stored as hash and size only.
    pub max_blob: u64,
    /// So many entries inside ignored folders are looked at; the rest is marked cut.
    pub ignored: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_blob: 50 << 20,
            ignored: 20_000,
        }
    }
}

/// The files of a work tree at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Their tree.
    pub tree: Oid,
    /// Everything that was seen.
    pub manifest: Manifest,
}

/// Why no snapshot could be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The work tree cannot be opened.
    #[error("cannot read the work tree {path}: {source}")]
    Folder {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An object could not be stored.
    #[error("cannot store the snapshot: {0}")]
    Store(#[source] io::Error),
}

explain! {
    SnapshotError {
        Failed {
            Folder => "git khlone zone repair",
            Store => "df -h .",
        }
    }
}

/// Takes a snapshot and puts its objects into `sink`.
///
/// With `previous`, files whose stat key is unchanged are not read again and their objects not put again: the
/// caller keeps the objects of that snapshot.
///
/// # Errors
/// If the work tree cannot be opened, or the sink fails. Files that cannot be read are no error; they are
/// marked [`EntryKind::Unreadable`].
pub fn snapshot(
    source: &Source<'_>,
    limits: &Limits,
    previous: Option<&Manifest>,
    sink: &mut dyn ObjectSink,
) -> Result<Snapshot, SnapshotError> {
    let root = Root::open(source.work_dir).map_err(|error| SnapshotError::Folder {
        path: source.work_dir.display().to_string(),
        source: error,
    })?;
    let index = Index::at(source.index);
    let sources = Sources::read(source.repo);
    let basis = sources.digest(source.index);
    let quiet = basis.is_some() && previous.is_some_and(|previous| previous.basis == basis);
    let started = stat::now();
    let top = root.stat().ok().filter(|stat| !stat.is_recent(started));
    let walk = Walk {
        root: &root,
        index: &index,
        previous,
        rules: &Rules::top(&sources),
        started,
        ignored: limits.ignored,
    };
    let builder = Builder {
        root: &root,
        repo: source.repo.git(),
        sink,
        previous,
        max_blob: limits.max_blob,
        found: walk.run(quiet, top),
    };
    // Git's notes save little where most folders are known anyway, and reading the index costs.
    let noted = if quiet { None } else { index.tree() };
    let (tree, manifest) = builder.build(
        pinned_tree(source),
        noted,
        Manifest {
            basis,
            top,
            ..Manifest::default()
        },
    )?;
    Ok(Snapshot { tree, manifest })
}

fn pinned_tree(source: &Source<'_>) -> Option<Oid> {
    let object = source.repo.git().find_object(source.pinned?, None).ok()?;
    Some(object.peel_to_tree().ok()?.id())
}
