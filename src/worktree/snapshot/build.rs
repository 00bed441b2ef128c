//! From the folders of a walk to tree objects, bottom up.
//!
//! An object is left out of the sink only where it is sure to stay: it is in the pinned commit's tree at the
//! same place, or it was part of the previous snapshot, whose objects the caller keeps. That the repository has
//! it already is no reason, since a gc may be about to drop it.

use std::{io, mem, sync::Arc};

use bstr::BString;
use git2::{Oid, Repository};
use rustix::fd::{AsFd, OwnedFd};

use super::{
    SnapshotError,
    beneath::{self, Root},
    content::{self, Content},
    encode::{self, Marker},
    index::Cached,
    manifest::{Entry, EntryKind, Manifest, join},
    pinned::Pinned,
    placeholder::tree_entry,
    walk::{Found, Known},
};
use crate::refs::{Kind, ObjectSink, TreeEntry, encode_tree};

pub(super) const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_000;
const FOLDER: u32 = 0o040_000;

/// Everything the building needs.
pub(super) struct Builder<'a> {
    pub(super) root: &'a Root,
    pub(super) repo: &'a Repository,
    pub(super) sink: &'a mut dyn ObjectSink,
    pub(super) previous: Option<&'a Manifest>,
    pub(super) max_blob: u64,
    pub(super) found: Vec<Found>,
}

/// A folder under construction.
pub(super) struct Site {
    fd: Option<OwnedFd>,
    pub(super) path: BString,
}

impl<'a> Builder<'a> {
    /// Builds the tree of the whole work tree.
    pub(super) fn build(
        mut self,
        pinned: Option<Oid>,
        cached: Option<Cached<'a>>,
        manifest: Manifest,
    ) -> Result<(Oid, Manifest), SnapshotError> {
        let tree = match self.folder(BString::default(), pinned, cached)? {
            Some(tree) => tree,
            None => self.put(Kind::Tree, &[])?,
        };
        let folders = self.found.into_iter().map(|found| found.folder).collect();
        Ok((tree, Manifest { folders, ..manifest }))
    }

    pub(super) fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Oid, SnapshotError> {
        self.sink.put(kind, bytes).map_err(SnapshotError::Store)
    }

    /// Builds one folder; an empty one has no tree, as in git.
    fn folder(
        &mut self,
        path: BString,
        pinned: Option<Oid>,
        cached: Option<Cached<'a>>,
    ) -> Result<Option<Oid>, SnapshotError> {
        let Ok(at) = self.found.binary_search_by(|it| it.folder.path.cmp(&path)) else {
            return Ok(None);
        };
        if self.found[at].built || self.is_untouched(at)? {
            return Ok(self.found[at].folder.tree);
        }
        let mut pinned = Pinned::new(pinned, cached);
        let mut site = Site { fd: None, path };
        // A folder of the previous snapshot is copied here, one of this walk is not.
        let entries = mem::take(&mut Arc::make_mut(&mut self.found[at].folder).entries);
        let known = self.found[at].known.take();
        let known = known.unwrap_or_else(|| vec![Known::Previous; entries.len()]);
        let mut kept = Vec::with_capacity(entries.len());
        let mut tree = Vec::with_capacity(entries.len());
        for (mut entry, known) in entries.into_iter().zip(known) {
            let stays = match entry.kind {
                EntryKind::Folder => {
                    self.inner(&site, &mut entry, &mut pinned, &mut tree)?;
                    true
                }
                _ if entry.ignored => true,
                EntryKind::File | EntryKind::Symlink | EntryKind::Large => {
                    self.file(&mut site, (&mut entry, known), &mut pinned, &mut tree)?
                }
                _ => {
                    self.placeholder(&site, &mut entry, &mut tree)?;
                    true
                }
            };
            if stays {
                kept.push(entry);
            }
        }
        let oid = self.finish(&site, &mut tree, pinned.tree)?;
        let folder = Arc::make_mut(&mut self.found[at].folder);
        folder.entries = kept;
        folder.tree = oid;
        self.found[at].built = true;
        Ok(oid)
    }

    /// Whether a folder and all below it are those of the previous snapshot, so that its tree is, too.
    fn is_untouched(&mut self, at: usize) -> Result<bool, SnapshotError> {
        if self.found[at].known.is_some() {
            return Ok(false);
        }
        let folder = Arc::clone(&self.found[at].folder);
        let mut untouched = true;
        for entry in folder
            .entries
            .iter()
            .filter(|it| it.kind == EntryKind::Folder && !it.ignored)
        {
            let path = join(&folder.path, &entry.name);
            let before = self
                .previous
                .and_then(|manifest| manifest.folder(&path))
                .and_then(|it| it.tree);
            untouched &= !self.is_unreadable(&path) && self.folder(path, None, None)? == before;
        }
        Ok(untouched)
    }

    fn finish(
        &mut self,
        site: &Site,
        tree: &mut [TreeEntry],
        pinned: Option<Oid>,
    ) -> Result<Option<Oid>, SnapshotError> {
        if tree.is_empty() {
            return Ok(None);
        }
        let bytes = encode_tree(tree);
        let oid = Kind::Tree.hash(&bytes).map_err(SnapshotError::Store)?;
        let before = self
            .previous
            .and_then(|manifest| manifest.folder(&site.path))
            .and_then(|it| it.tree);
        if Some(oid) == pinned || Some(oid) == before {
            return Ok(Some(oid));
        }
        self.put(Kind::Tree, &bytes).map(Some)
    }

    fn inner(
        &mut self,
        site: &Site,
        entry: &mut Entry,
        pinned: &mut Pinned<'a>,
        tree: &mut Vec<TreeEntry>,
    ) -> Result<(), SnapshotError> {
        let path = join(&site.path, &entry.name);
        let (below, cached) = pinned.below(self.repo, &entry.name);
        if self.is_unreadable(&path) {
            entry.kind = EntryKind::Unreadable;
            return self.placeholder(site, entry, tree);
        }
        if let Some(oid) = self.folder(path, below, cached)? {
            entry.encoded = encode::refused(&entry.name, false);
            tree.push(tree_entry(entry, FOLDER, oid, Marker::Name));
        }
        Ok(())
    }

    fn is_unreadable(&self, path: &BString) -> bool {
        let at = self.found.binary_search_by(|it| it.folder.path.cmp(path));
        at.is_ok_and(|at| self.found[at].unreadable)
    }

    /// Adds a file or link; false if it has vanished since the walk.
    fn file(
        &mut self,
        site: &mut Site,
        (entry, known): (&mut Entry, Known),
        pinned: &mut Pinned<'a>,
        tree: &mut Vec<TreeEntry>,
    ) -> Result<bool, SnapshotError> {
        if !self.is_kept(entry, known, pinned) {
            match self.read(site, entry, pinned) {
                Ok(()) => {}
                Err(Reading::Gone) => return Ok(false),
                Err(Reading::Refused) => {
                    entry.kind = EntryKind::Unreadable;
                    entry.oid = None;
                    entry.doubtful = true;
                }
                Err(Reading::Store(error)) => return Err(error),
            }
        }
        if matches!(entry.kind, EntryKind::Large | EntryKind::Unreadable) {
            self.placeholder(site, entry, tree)?;
            return Ok(true);
        }
        if let Some(oid) = entry.oid {
            let mode = match entry.kind {
                EntryKind::Symlink => SYMLINK,
                _ if entry.stat.is_executable() => EXECUTABLE,
                _ => FILE,
            };
            tree.push(tree_entry(entry, mode, oid, Marker::Name));
        }
        Ok(true)
    }

    /// Whether the blob of an entry is known and sure to stay.
    fn is_kept(&self, entry: &Entry, known: Known, pinned: &mut Pinned<'a>) -> bool {
        let Some(oid) = entry.oid else {
            return known == Known::Previous;
        };
        let in_index = match known {
            Known::Unread => return false,
            Known::Previous => return true,
            Known::Index => true,
            Known::IndexIfSize => {
                let header = self.repo.odb().and_then(|odb| odb.read_header(oid));
                header.is_ok_and(|(size, _)| size as u64 == entry.stat.size)
            }
        };
        in_index && (pinned.indexed || pinned.find(self.repo, &entry.name) == Some(oid))
    }

    fn read(&mut self, site: &mut Site, entry: &mut Entry, pinned: &mut Pinned<'a>) -> Result<(), Reading> {
        let fd = match &site.fd {
            Some(fd) => fd,
            None => site.fd.insert(self.root.folder(&site.path)?),
        };
        let bytes = if entry.kind == EntryKind::Symlink {
            beneath::read_link(fd.as_fd(), &entry.name)?
        } else {
            let taken = content::read(fd.as_fd(), &entry.name, self.max_blob)?;
            entry.doubtful |= taken.torn || taken.stat != entry.stat;
            entry.stat = taken.stat;
            match taken.content {
                Content::Bytes(bytes) => bytes,
                Content::Large(oid) => {
                    entry.kind = EntryKind::Large;
                    entry.oid = oid;
                    return Ok(());
                }
            }
        };
        let oid = Kind::Blob.hash(&bytes)?;
        let before = self.previous.and_then(|manifest| manifest.folder(&site.path));
        let before = before.and_then(|folder| folder.entry(&entry.name)?.oid);
        if before != Some(oid) && pinned.find(self.repo, &entry.name) != Some(oid) {
            self.put(Kind::Blob, &bytes).map_err(Reading::Store)?;
        }
        let regular = entry.kind == EntryKind::File;
        // What stands under its own name in the commit can do no more harm in a snapshot.
        entry.encoded = encode::refused(&entry.name, regular)
            || encode::hostile(&entry.name, &bytes) && pinned.find(self.repo, &entry.name) != Some(oid);
        entry.oid = Some(oid);
        Ok(())
    }
}

/// Why a file could not be read.
enum Reading {
    Gone,
    Refused,
    Store(SnapshotError),
}

impl From<io::Error> for Reading {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Refused,
        }
    }
}
