//! What stands where a new commit's files would go.

use std::{fs, io, os::unix::ffi::OsStrExt, path::Path};

use bstr::{BString, ByteSlice, ByteVec};
use git2::{Delta, DiffOptions, Oid, Tree};

use super::CarryError;
use crate::refs::Repo;

/// The tree of a commit, or the tree itself.
pub(super) fn tree_of(repo: &Repo, oid: Oid) -> Result<Tree<'_>, git2::Error> {
    repo.git().find_object(oid, None)?.peel_to_tree()
}

/// The files that `to` has and `from` has not.
pub(super) fn added_files(repo: &Repo, from: Oid, to: Oid) -> Result<Vec<BString>, git2::Error> {
    let git = repo.git();
    let tree = |oid| tree_of(repo, oid);
    let mut options = DiffOptions::new();
    options.include_typechange(true);
    let diff = git.diff_tree_to_tree(Some(&tree(from)?), Some(&tree(to)?), Some(&mut options))?;
    let added = diff
        .deltas()
        .filter(|delta| delta.status() == Delta::Added && delta.new_file().mode() != git2::FileMode::Commit);
    Ok(added
        .filter_map(|delta| delta.new_file().path_bytes().map(BString::from))
        .collect())
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
