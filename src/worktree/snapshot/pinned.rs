//! What the pinned commit has of a folder: objects that are sure to stay.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice};
use git2::{Oid, Repository};

use super::index::Cached;

/// The folder of the pinned commit that stands at the same path.
#[derive(Debug)]
pub(super) struct Pinned<'a> {
    /// Its tree.
    pub(super) tree: Option<Oid>,
    /// Git's note of what the index of this folder stands for.
    cached: Option<Cached<'a>>,
    /// The note says that it is this very tree.
    pub(super) indexed: bool,
    entries: Option<HashMap<BString, Oid>>,
}

impl<'a> Pinned<'a> {
    pub(super) fn new(tree: Option<Oid>, cached: Option<Cached<'a>>) -> Self {
        Self {
            tree,
            cached,
            indexed: tree.is_some() && cached.and_then(Cached::oid) == tree,
            entries: None,
        }
    }

    /// The tree of a folder inside, and git's note of it.
    pub(super) fn below(&mut self, repo: &Repository, name: &[u8]) -> (Option<Oid>, Option<Cached<'a>>) {
        let cached = self.cached.and_then(|cached| cached.child(name.as_bstr()));
        let noted = cached.and_then(Cached::oid).filter(|_| self.indexed);
        (noted.or_else(|| self.find(repo, name)), cached)
    }

    /// What stands there under a name.
    pub(super) fn find(&mut self, repo: &Repository, name: &[u8]) -> Option<Oid> {
        let entries = self.entries.get_or_insert_with(|| {
            let tree = self.tree.and_then(|oid| repo.find_tree(oid).ok());
            let entries = tree.iter().flat_map(|tree| {
                tree.iter()
                    .map(|it| (it.name_bytes().into(), it.id()))
                    .collect::<Vec<_>>()
            });
            entries.collect()
        });
        entries.get(BStr::new(name)).copied()
    }
}
