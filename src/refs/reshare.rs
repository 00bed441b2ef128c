//! Modes of what was made in the git folder before `core.sharedRepository` was set, or by a version that did not heed it.
//!
//! git leaves that to whoever sets it, who does not know what is ours. What the modes were last made for stands in the
//! site's folder, so that this happens once. Whatever stands elsewhere is the user's and stays as it is.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Layout, shared::Sharing};
use crate::process::file::replace;

/// What is ours in a git folder, besides packs and worktrees.
const OURS: [&str; 7] = [
    "refs/khlone",
    "refs/heads/khlone",
    "refs/notes/khlone",
    "logs/refs/khlone",
    "logs/refs/heads/khlone",
    "packed-refs",
    "khlone-site.json",
];
/// The folders above that we may have made.
const ABOVE: [&str; 5] = ["worktrees", "refs/notes", "logs", "logs/refs", "logs/refs/heads"];
/// How the HEAD of a clone's worktree begins.
const CLONE: &str = "ref: refs/heads/khlone/";

/// Gives all of it the modes that `sharing` asks for, if that was not done. Where the disk refuses, it is tried again
/// the next time.
pub(super) fn mend(common: &Path, layout: &Layout, sharing: Sharing) {
    if let Err(error) = try_mend(common, layout, sharing) {
        tracing::warn!(%error, "others may not read what an earlier version made");
    }
}

fn try_mend(common: &Path, layout: &Layout, sharing: Sharing) -> io::Result<()> {
    let mark = layout.shared();
    let wanted = format!("{sharing:?}\n");
    if !sharing.is_set() || fs::read(&mark).is_ok_and(|made| made == wanted.as_bytes()) {
        return Ok(());
    }
    for name in ABOVE {
        adjust(sharing, &common.join(name))?;
    }
    for name in OURS {
        adjust_all(sharing, common.join(name))?;
    }
    for worktree in entries(&common.join("worktrees"))? {
        let head = fs::read_to_string(worktree.join("HEAD"));
        if head.is_ok_and(|head| head.starts_with(CLONE)) {
            adjust_all(sharing, worktree)?;
        }
    }
    let packs = common.join("objects/pack");
    for marker in entries(&layout.packs())? {
        let stem = packs.join(marker.file_stem().unwrap_or_default());
        for extension in ["pack", "idx", "rev", "keep"] {
            adjust(sharing, &stem.with_extension(extension))?;
        }
    }
    replace(&mark, wanted.as_bytes())
}

fn adjust_all(sharing: Sharing, top: PathBuf) -> io::Result<()> {
    let mut todo = vec![top];
    while let Some(path) = todo.pop() {
        if adjust(sharing, &path)? {
            todo.extend(entries(&path)?);
        }
    }
    Ok(())
}

/// Adjusts a file or folder of this user's, which may go meanwhile. Gives whether it is a folder.
fn adjust(sharing: Sharing, path: &Path) -> io::Result<bool> {
    let Some(data) = absent(fs::symlink_metadata(path))? else {
        return Ok(false);
    };
    if data.is_symlink() || data.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    Ok(absent(sharing.adjust(path))?.is_some() && data.is_dir())
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = absent(fs::read_dir(dir))? else {
        return Ok(Vec::new());
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
