//! Bringing the files of a work tree back to a snapshot.
//!
//! Order: first everything of the snapshot is put in its place, each file whole by a rename; then the tree is
//! walked again, under the ignore rules that the snapshot brought back, and what is not of the snapshot and not
//! ignored is removed. So a file that was ignored before, and that a brain's `.gitignore` exposed, survives.
//!
//! Nothing is overwritten or removed but what `now` knows exactly: the caller has saved that state, and whatever
//! appeared or changed since stays and is named. Ignored files are touched only where they are in the way. The
//! `.git` of a nested repository is never touched. No link is followed. Killed half way, it can be run again.

mod apply;
mod target;
#[cfg(test)]
mod tests;

use std::io;

use bstr::{BString, ByteSlice};
use git2::Oid;

use super::{
    effects::path_text,
    snapshot::{EntryKind, Limits, Manifest, SnapshotError, Source, beneath::Root, snapshot},
};
use crate::{
    refs::{Kind, ObjectSink},
    task::explain,
};
use apply::{Hands, UNFINISHED};
use target::Target;

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files that were written or whose mode was set.
    pub written: Vec<String>,
    /// Files that were removed.
    pub removed: Vec<String>,
    /// What is not as the snapshot has it, and why.
    pub kept: Vec<Kept>,
}

/// A path that a restore left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The path, as documents have it.
    pub path: String,
    /// The reason.
    pub why: Why,
}

/// Why a path was left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not what the caller saw and saved.
    #[error("it changed meanwhile")]
    Changed,
    /// A snapshot has the name and the type of such things only, or their hash and size.
    #[error("its content is not in the snapshot")]
    NotStored,
    /// A repository of its own.
    #[error("it is a repository of its own")]
    Repository,
    /// The disk refused.
    #[error("{0}")]
    Failed(String),
}

/// Why nothing could be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot is not whole.
    #[error("cannot read the snapshot {tree}: {source}")]
    Snapshot {
        /// Its tree.
        tree: Oid,
        /// Why.
        source: git2::Error,
    },
    /// The work tree cannot be read.
    #[error(transparent)]
    WorkTree(#[from] SnapshotError),
}

explain! {
    RestoreError {
        transparent { WorkTree }
        Failed { Snapshot => "git khlone fsck" }
    }
}

/// Brings the work tree back to the snapshot `tree`; `now` is what is there, as the caller has saved it.
///
/// # Errors
/// If the snapshot or the work tree cannot be read. What fails for one file is in [`Restored::kept`].
pub fn restore(source: &Source<'_>, tree: Oid, now: &Manifest) -> Result<Restored, RestoreError> {
    let target = Target::read(source.repo.git(), tree)
        .map_err(|error| RestoreError::Snapshot { tree, source: error })?;
    let root = Root::open(source.work_dir).map_err(|error| SnapshotError::Folder {
        path: source.work_dir.display().to_string(),
        source: error,
    })?;
    let hands = Hands {
        root: &root,
        repo: source.repo.git(),
        now,
    };
    let mut restored = Restored::default();
    for (path, want) in target.entries() {
        match hands.put(path, want) {
            Ok(true) => restored.written.push(path_text(path)),
            Ok(false) => {}
            Err(why) => restored.keep(path, why),
        }
    }
    restored.remove_others(source, &target, &hands)?;
    Ok(restored)
}

impl Restored {
    fn keep(&mut self, path: &[u8], why: Why) {
        let path = path_text(path);
        if !self.kept.iter().any(|kept| kept.path == path) {
            self.kept.push(Kept { path, why });
        }
    }

    /// Removes what the snapshot does not have and git does not ignore.
    fn remove_others(
        &mut self,
        source: &Source<'_>,
        target: &Target,
        hands: &Hands<'_>,
    ) -> Result<(), SnapshotError> {
        let limits = Limits {
            ignored: 0,
            ..Limits::default()
        };
        let found = snapshot(source, &limits, Some(hands.now), &mut Forget)?.manifest;
        for (path, entry) in found.entries() {
            if entry.ignored || entry.kind == EntryKind::Folder || target.has(&path) {
                continue;
            }
            if entry.name == UNFINISHED {
                hands.remove_unfinished(&path);
                continue;
            }
            match (entry.kind, hands.remove(&path)) {
                (EntryKind::Repository, _) => self.keep(&path, Why::Repository),
                (_, Ok(())) => self.removed.push(path_text(&path)),
                (_, Err(why)) => self.keep(&path, why),
            }
        }
        let mut folders: Vec<BString> = found.folders().iter().map(|folder| folder.path.clone()).collect();
        // The deepest first.
        folders.sort_by_key(|path| std::cmp::Reverse(path.find_iter("/").count()));
        let emptied = |path: &&BString| {
            found
                .folder(path)
                .is_some_and(|folder| !folder.entries.is_empty())
        };
        folders
            .iter()
            .filter(emptied)
            .for_each(|path| hands.remove_folder(path));
        Ok(())
    }
}

/// A sink for a snapshot that is only compared.
struct Forget;

impl ObjectSink for Forget {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Oid> {
        kind.hash(bytes)
    }
}
