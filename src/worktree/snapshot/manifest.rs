//! What was found in a work tree: every entry with its stat key, also the ignored ones.
//!
//! The manifest makes the next snapshot cheap and the comparison of two snapshots exact. It is local: it goes
//! to the spool, its digest to the ledger.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use git2::Oid;

use super::{codec::Writer, stat::StatKey};
use crate::refs::Kind;

/// All folders of a work tree, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub(super) folders: Vec<Arc<Folder>>,
    /// Hash of what decides which names are ignored besides the tree itself: the index, exclude files, settings.
    pub(super) basis: Option<Oid>,
    /// The stat of the top folder, where it proves its listing.
    pub(super) top: Option<StatKey>,
}

/// One folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Path from the top, without a slash at the end; the top is empty.
    pub path: BString,
    /// What is in it, sorted by name.
    pub entries: Vec<Entry>,
    /// Its tree in the snapshot, where it has one.
    pub tree: Option<Oid>,
    /// Not all of it was looked at: too many ignored files, or too deep.
    pub cut: bool,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes.
    pub name: BString,
    /// What it is.
    pub kind: EntryKind,
    /// Ignored by git, so in the manifest alone.
    pub ignored: bool,
    /// What the file system said of it.
    pub stat: StatKey,
    /// The blob of its bytes; none for folders, ignored files, and files too large to hash.
    pub oid: Option<Oid>,
    /// Its key may hide a later write, or it changed while it was read: the next snapshot reads it again.
    pub doubtful: bool,
    /// It stands in the tree under an encoded name.
    pub encoded: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file over the size limit.
    Large,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Folder,
    /// The `.git` folder of a nested repository.
    Repository,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// Something that could not be read.
    Unreadable,
}

impl Manifest {
    /// A digest of everything in it but the doubts: the same for two looks at the same files.
    pub fn digest(&self) -> String {
        let mut writer = Writer::new(b"");
        writer.manifest(self, false);
        Kind::Blob
            .hash(&writer.finish())
            .map(|oid| oid.to_string())
            .unwrap_or_default()
    }

    /// The folders, sorted by path.
    pub fn folders(&self) -> &[Arc<Folder>] {
        &self.folders
    }

    /// The folder at `path`; the top is the empty path.
    pub fn folder(&self, path: &[u8]) -> Option<&Folder> {
        self.shared(path).map(Arc::as_ref)
    }

    /// As [`Manifest::folder`], to be handed on.
    pub(super) fn shared(&self, path: &[u8]) -> Option<&Arc<Folder>> {
        let at = self
            .folders
            .binary_search_by(|folder| folder.path.as_slice().cmp(path))
            .ok()?;
        self.folders.get(at)
    }

    /// The entry at `path`.
    pub fn entry(&self, path: &[u8]) -> Option<&Entry> {
        let (folder, name) = split(path);
        self.folder(folder)?.entry(name)
    }

    /// All entries with their paths, folders too, in the order of the folders.
    pub fn entries(&self) -> impl Iterator<Item = (BString, &Entry)> {
        self.folders.iter().flat_map(|folder| {
            folder
                .entries
                .iter()
                .map(|entry| (join(&folder.path, &entry.name), entry))
        })
    }
}

impl Folder {
    /// The entry called `name`.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.name.as_slice().cmp(name))
            .ok()?;
        self.entries.get(at)
    }
}

impl Entry {
    /// Whether it is a regular file, of any size.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, EntryKind::File | EntryKind::Large)
    }
}

/// The path of `name` in `folder`.
pub(in crate::worktree) fn join(folder: &[u8], name: &[u8]) -> BString {
    if folder.is_empty() {
        return name.into();
    }
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    path.push(b'/');
    path.extend_from_slice(name);
    path.into()
}

/// The folder and the name of a path.
pub(in crate::worktree) fn split(path: &[u8]) -> (&[u8], &BStr) {
    match path.rfind_byte(b'/') {
        Some(slash) => (&path[..slash], path[slash + 1..].as_bstr()),
        None => (&[], path.as_bstr()),
    }
}
