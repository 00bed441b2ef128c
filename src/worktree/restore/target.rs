//! A snapshot's tree, read back: every path under its own name, with what stands for it.

use std::collections::BTreeMap;

use bstr::BString;
use git2::{ObjectType, Oid, Repository};

use crate::worktree::snapshot::{Marker, decode, manifest::join};

/// Something that the snapshot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    /// The blob.
    pub(super) oid: Oid,
    /// A regular file may be executable.
    pub(super) executable: bool,
    /// A symbolic link.
    pub(super) link: bool,
    /// No file at all, or none that was stored.
    pub(super) marker: Option<Marker>,
}

/// All that a snapshot has, by path.
#[derive(Debug, Default)]
pub(super) struct Target(BTreeMap<BString, Want>);

impl Target {
    pub(super) fn read(repo: &Repository, tree: Oid) -> Result<Self, git2::Error> {
        let mut target = Self::default();
        let mut waiting = vec![(BString::default(), tree)];
        while let Some((folder, tree)) = waiting.pop() {
            for entry in &repo.find_tree(tree)? {
                let (name, marker) = decode(entry.name_bytes());
                let path = join(&folder, &name);
                if !is_one_name(&name) {
                    return Err(git2::Error::from_str("a name in the snapshot is no file name"));
                }
                if entry.kind() == Some(ObjectType::Tree) {
                    waiting.push((path, entry.id()));
                    continue;
                }
                let want = Want {
                    oid: entry.id(),
                    executable: entry.filemode_raw() & 0o100 != 0,
                    link: entry.filemode_raw() == 0o120_000,
                    marker: marker.filter(|marker| *marker != Marker::Name),
                };
                target.0.insert(path, want);
            }
        }
        Ok(target)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&BString, &Want)> {
        self.0.iter()
    }

    pub(super) fn has(&self, path: &BString) -> bool {
        self.0.contains_key(path)
    }
}

/// A snapshot is data: no name in it may lead elsewhere.
fn is_one_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/')
}
