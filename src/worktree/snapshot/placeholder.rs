//! What stands in a tree for that which is no file, or none that can be stored: a small text under an encoded
//! name.

use git2::Oid;

use super::{
    SnapshotError,
    beneath::Root,
    build::{Builder, FILE, Site},
    encode::{self, Marker},
    gitdir,
    manifest::{Entry, EntryKind, join},
};
use crate::refs::{Kind, TreeEntry};

impl Builder<'_> {
    /// Adds what is no file, or none that can be stored, as a small text under an encoded name.
    pub(super) fn placeholder(
        &mut self,
        site: &Site,
        entry: &mut Entry,
        tree: &mut Vec<TreeEntry>,
    ) -> Result<(), SnapshotError> {
        let (marker, text) = match entry.kind {
            EntryKind::Fifo => (Marker::Fifo, Vec::new()),
            EntryKind::Socket => (Marker::Socket, Vec::new()),
            EntryKind::Device => (Marker::Device, Vec::new()),
            EntryKind::Repository => (Marker::Repository, self.describe(site, entry)),
            EntryKind::Large => (Marker::Large, describe_large(entry)),
            EntryKind::File | EntryKind::Symlink | EntryKind::Folder | EntryKind::Unreadable => {
                (Marker::Unreadable, Vec::new())
            }
        };
        let blob = self.put(Kind::Blob, &text)?;
        if entry.kind == EntryKind::Repository {
            entry.oid = Some(blob);
        }
        entry.encoded = true;
        tree.push(tree_entry(entry, FILE, blob, marker));
        Ok(())
    }

    fn describe(&self, site: &Site, entry: &Entry) -> Vec<u8> {
        let folder = self.root.folder(&join(&site.path, &entry.name));
        folder
            .map(|fd| gitdir::describe(&Root::from(fd)))
            .unwrap_or_default()
    }
}

/// What stands for a file that is too large.
pub(in crate::worktree) fn describe_large(entry: &Entry) -> Vec<u8> {
    let id = entry.oid.map_or_else(
        || format!("mtime {}", entry.stat.mtime),
        |oid| format!("blob {oid}"),
    );
    format!("size {}\n{id}\n", entry.stat.size).into_bytes()
}

/// An entry of a tree, under its name or the encoded one.
pub(super) fn tree_entry(entry: &Entry, mode: u32, oid: Oid, marker: Marker) -> TreeEntry {
    let name = if entry.encoded {
        encode::encode(&entry.name, marker).into()
    } else {
        entry.name.to_vec()
    };
    TreeEntry { mode, name, oid }
}
