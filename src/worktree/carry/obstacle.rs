//! The files that a move touches, and what stands where they would go.

use std::{collections::BTreeSet, fs, io, ops::Bound, os::unix::ffi::OsStrExt, path::Path};

use bstr::{BStr, BString, ByteSlice, ByteVec};
use git2::{Delta, DiffOptions, FileMode, Oid, Tree};

use super::CarryError;
use crate::refs::Repo;

/// The files that a move from one commit to another touches.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// That only the new one has.
    added: Vec<BString>,
    /// That the old one has, and the new one not or otherwise.
    old: BTreeSet<BString>,
    /// Both, and submodules.
    all: BTreeSet<BString>,
}

impl Moved {
    /// Those that differ between two commits, or trees.
    pub(super) fn between(repo: &Repo, from: Oid, to: Oid) -> Result<Self, git2::Error> {
        let (from, to) = (tree_of(repo, from)?, tree_of(repo, to)?);
        let mut options = DiffOptions::new();
        options.include_typechange(true);
        let diff = repo
            .git()
            .diff_tree_to_tree(Some(&from), Some(&to), Some(&mut options))?;
        let mut moved = Self::default();
        for delta in diff.deltas() {
            let is_added = delta.status() == Delta::Added;
            let file = if is_added {
                delta.new_file()
            } else {
                delta.old_file()
            };
            let Some(name) = file.path_bytes().map(BString::from) else {
                continue;
            };
            moved.all.insert(name.clone());
            match (file.mode(), is_added) {
                (FileMode::Commit, _) => {}
                (_, true) => moved.added.push(name),
                (_, false) => drop(moved.old.insert(name)),
            }
        }
        Ok(moved)
    }

    /// Those that only the new one has; no submodules.
    pub(super) fn added(&self) -> &[BString] {
        &self.added
    }

    /// Whether the old one has the file `name`, and it is to change or go.
    pub(super) fn is_old_file(&self, name: &[u8]) -> bool {
        self.old.contains(name.as_bstr())
    }

    /// Whether the move touches `name`: the file, one in whose place it would be a folder, or one below it.
    pub(super) fn touches(&self, name: &[u8]) -> bool {
        let parents = name.find_iter(b"/").map(|end| &name[..end]);
        let folder = [name, b"/"].concat();
        let below = self
            .all
            .range::<BStr, _>((Bound::Included(folder.as_bstr()), Bound::Unbounded))
            .next();
        parents
            .chain([name])
            .any(|name| self.all.contains(name.as_bstr()))
            || below.is_some_and(|below| below.starts_with(&folder))
    }
}

/// The tree of a commit, or the tree itself.
fn tree_of(repo: &Repo, oid: Oid) -> Result<Tree<'_>, git2::Error> {
    repo.git().find_object(oid, None)?.peel_to_tree()
}

/// What stands untracked in the work tree where one of `added` must go: the path itself, a file where one of its
/// folders must be, or files below it.
pub(super) fn in_the_way(
    repo: &Repo,
    top: &Path,
    from: Oid,
    added: &[BString],
) -> Result<Vec<BString>, CarryError> {
    let tree = tree_of(repo, from)?;
    let is_tracked = |name: &[u8]| tree.get_path(&name.to_path_lossy()).is_ok();
    let mut found = Vec::new();
    for name in added {
        let ends = name.find_iter(b"/").chain([name.len()]);
        for end in ends {
            let part = &name[..end];
            let path = top.join(part.to_path_lossy());
            let Ok(meta) = fs::symlink_metadata(&path) else {
                break;
            };
            let is_last = end == name.len();
            if meta.is_dir() && is_last {
                untracked_below(&path, part, &is_tracked, &mut found)
                    .map_err(|source| CarryError::Io { path, source })?;
            } else if !meta.is_dir() && !is_tracked(part) {
                found.push(part.into());
            }
            if !meta.is_dir() {
                break;
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn untracked_below(
    dir: &Path,
    name: &[u8],
    is_tracked: &impl Fn(&[u8]) -> bool,
    found: &mut Vec<BString>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mut below = name.to_vec();
        below.push(b'/');
        below.push_str(entry.file_name().as_bytes());
        if entry.file_type()?.is_dir() {
            untracked_below(&entry.path(), &below, is_tracked, found)?;
        } else if !is_tracked(&below) {
            found.push(below.into());
        }
    }
    Ok(())
}
