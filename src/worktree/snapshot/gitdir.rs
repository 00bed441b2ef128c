//! Refs as they lie in a git folder, read as bytes: no repository is opened, no link followed, nothing resolved.
//!
//! Serves the receipt (where a broken ref must be seen, not skipped) and nested repositories (which are never
//! opened, since they are the brain's).

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use rustix::{fd::AsFd, fs::FileType};

use super::{
    beneath::{self, Root},
    manifest::join,
    scan::list,
};

/// A ref file is never longer than this.
const REF_LIMIT: u64 = 4096;
/// Neither is a packed one; a million refs fit.
const PACKED_LIMIT: u64 = 128 << 20;
const DEPTH: usize = 64;

/// The content of `HEAD`, without the line end.
pub(in crate::worktree) fn head(git_dir: &Root) -> BString {
    read_line(git_dir, b"", b"HEAD").unwrap_or_default()
}

/// All refs below `refs/` with their content (an id in hex, or `ref: …`), except those below the folders of `skip`.
pub(in crate::worktree) fn refs(git_dir: &Root, skip: &[&str]) -> BTreeMap<BString, BString> {
    let mut refs = BTreeMap::new();
    let packed = git_dir.folder(b"").ok();
    let packed = packed.and_then(|top| beneath::read_small(top.as_fd(), b"packed-refs", PACKED_LIMIT));
    for line in packed.unwrap_or_default().lines() {
        if let Some((id, name)) = line.split_once_str(" ")
            && id.len() == 40
            && !skipped(name, skip)
        {
            refs.insert(name.into(), id.into());
        }
    }
    loose(git_dir, b"refs", DEPTH, skip, &mut refs);
    refs
}

fn loose(git_dir: &Root, path: &[u8], depth: usize, skip: &[&str], refs: &mut BTreeMap<BString, BString>) {
    let Ok((dir, names)) = git_dir.folder(path).and_then(list) else {
        return;
    };
    let Ok(fd) = dir.fd() else {
        return;
    };
    for name in names {
        let full = join(path, &name);
        if skipped(&full, skip) || name.ends_with(b".lock") {
            continue;
        }
        match beneath::stat(fd, &name).map(|stat| stat.file_type()) {
            Ok(FileType::Directory) if depth > 0 => loose(git_dir, &full, depth - 1, skip, refs),
            Ok(FileType::RegularFile) => {
                if let Some(value) = read_line(git_dir, path, &name) {
                    refs.insert(full, value);
                }
            }
            Ok(FileType::Symlink) => {
                let target = beneath::read_link(fd, &name).unwrap_or_default();
                refs.insert(full, [b"link: ", target.as_slice()].concat().into());
            }
            _ => {}
        }
    }
}

fn skipped(name: &[u8], skip: &[&str]) -> bool {
    skip.iter().any(|prefix| {
        name.strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// The first line of a small file.
pub(in crate::worktree) fn read_line(git_dir: &Root, folder: &[u8], name: &[u8]) -> Option<BString> {
    let folder = git_dir.folder(folder).ok()?;
    let bytes = beneath::read_small(folder.as_fd(), name, REF_LIMIT)?;
    Some(bytes.lines().next().unwrap_or_default().into())
}

/// HEAD and refs of a nested repository as a text, one a line, as they go into a snapshot.
pub(in crate::worktree) fn describe(git_dir: &Root) -> Vec<u8> {
    let mut text = [b"HEAD ", head(git_dir).as_slice(), b"\n"].concat();
    for (name, value) in refs(git_dir, &[]) {
        text.extend_from_slice(&[value.as_slice(), b" ", &name, b"\n"].concat());
    }
    text
}
