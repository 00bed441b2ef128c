//! What a verb saves of a worktree before it takes it away: the snapshot, what is staged, and small ignored files.
//!
//! Ignored files are no part of a snapshot, but some of them are work (`.env`, a local database). Those under
//! 1 MiB are kept, up to a total; larger ones, what was copied in from the main work tree, and what lies in folders
//! of many files (dependencies, build output) are named and not kept.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
};

use bstr::{BString, ByteSlice};
use git2::Oid;

use super::{
    carry::patiently,
    checkout::Checkout,
    effects::{path_bytes, path_text},
    include::copied_paths,
    snapshot::{EntryKind, Limits, Manifest, SnapshotError, Source, beneath::Root, snapshot},
};
use crate::refs::{KeptFile, Kind, ObjectSink, Repo, TreeEntry, encode_tree};

/// The largest ignored file that is kept.
const MAX_FILE: u64 = 1 << 20;
/// How much of a worktree's ignored files is kept.
const MAX_ALL: u64 = 32 << 20;
/// An ignored folder with more entries than this is something that a tool made and makes again.
const MAX_ENTRIES: usize = 500;

/// What was saved of a worktree.
#[derive(Debug)]
pub struct Kept {
    /// Its files.
    pub work: Oid,
    /// What was seen of them.
    pub manifest: Manifest,
    /// What was staged, if that differs from both HEAD and nothing.
    pub index: Option<Oid>,
    /// Ignored files.
    pub ignored: Vec<KeptFile>,
    /// Their bytes, as a tree of blobs that keeps them reachable.
    pub ignored_tree: Option<Oid>,
    /// Ignored files and folders that were not kept, as documents have paths.
    pub lost: Vec<String>,
}

/// Saves what is in a worktree; the objects go to `sink`.
///
/// # Errors
/// If the work tree cannot be read, or the sink fails.
pub fn keep(
    repo: &Repo,
    checkout: &Checkout,
    pinned: Option<Oid>,
    sink: &mut dyn ObjectSink,
) -> Result<Kept, SnapshotError> {
    let source = Source {
        work_dir: &checkout.path,
        index: &checkout.git_dir.join("index"),
        repo,
        pinned,
    };
    let taken = snapshot(&source, &Limits::default(), None, sink)?;
    let (ignored, lost) = keep_ignored(checkout, &taken.manifest, sink).map_err(SnapshotError::Store)?;
    let blobs = ignored.iter().enumerate().filter_map(|(n, file)| {
        let name = format!("{n:06}").into_bytes();
        let oid = file.blob.parse().ok()?;
        Some(TreeEntry {
            mode: 0o100_644,
            name,
            oid,
        })
    });
    let mut blobs: Vec<_> = blobs.collect();
    let ignored_tree = if blobs.is_empty() {
        None
    } else {
        let tree = sink.put(Kind::Tree, &encode_tree(&mut blobs));
        Some(tree.map_err(SnapshotError::Store)?)
    };
    Ok(Kept {
        ignored_tree,
        work: taken.tree,
        manifest: taken.manifest,
        index: staged(repo, checkout, pinned),
        ignored,
        lost,
    })
}

/// Puts ignored files back where nothing stands; `blob` gives their bytes.
///
/// # Errors
/// If the disk refuses.
pub fn put_back(
    checkout: &Checkout,
    files: &[KeptFile],
    blob: impl Fn(&str) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let root = Root::open(&checkout.path)?;
    for file in files {
        let path = path_bytes(&file.path);
        let (folder, name) = split(&path);
        let full = checkout.path.join(folder.to_path_lossy());
        // A link in the way is never followed: the folder must open beneath the root once it is there.
        std::fs::create_dir_all(&full)?;
        let dir = root.folder(folder)?;
        let flags = rustix::fs::OFlags::WRONLY
            | rustix::fs::OFlags::CREATE
            | rustix::fs::OFlags::EXCL
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::CLOEXEC;
        let mode = rustix::fs::Mode::from_raw_mode(file.mode & 0o777);
        match rustix::fs::openat(&dir, name, flags, mode) {
            Ok(fd) => File::from(fd).write_all(&blob(&file.blob)?)?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The tree of the index, where it is not that of `pinned`. Unmerged or broken ones have none.
fn staged(repo: &Repo, checkout: &Checkout, pinned: Option<Oid>) -> Option<Oid> {
    let write_tree = || {
        let git = checkout.git().args(["-c", "core.fsync=loose-object"]);
        git.arg("write-tree").output()
    };
    let tree = patiently(checkout, write_tree).ok()?;
    let tree: Oid = tree.trim().to_str().ok()?.parse().ok()?;
    let head = pinned
        .and_then(|commit| repo.git().find_commit(commit).ok())
        .map(|commit| commit.tree_id());
    (head != Some(tree)).then_some(tree)
}

fn keep_ignored(
    checkout: &Checkout,
    manifest: &Manifest,
    sink: &mut dyn ObjectSink,
) -> io::Result<(Vec<KeptFile>, Vec<String>)> {
    let root = Root::open(&checkout.path)?;
    let copied: Vec<BString> = copied_paths(checkout)
        .iter()
        .map(|path| path.as_os_str().as_bytes().into())
        .collect();
    let (mut files, mut lost, mut total) = (Vec::new(), Vec::new(), 0);
    for (path, entry) in manifest.entries().filter(|(_, entry)| entry.ignored) {
        let is_below = |top: &BString| {
            path == *top
                || path
                    .strip_prefix(top.as_slice())
                    .is_some_and(|rest| rest.starts_with(b"/"))
        };
        if copied.iter().any(is_below) || lost.iter().any(is_below) {
            continue;
        }
        let is_huge = |folder: &super::snapshot::Folder| folder.cut || folder.entries.len() > MAX_ENTRIES;
        if entry.kind == EntryKind::Folder {
            if manifest.folder(&path).is_none_or(is_huge) || below(manifest, &path) > MAX_ENTRIES {
                lost.push(path);
            }
            continue;
        }
        let fits = entry.kind == EntryKind::File && entry.stat.size < MAX_FILE && total < MAX_ALL;
        match fits.then(|| read(&root, &path)).transpose() {
            Ok(Some(bytes)) => {
                total += bytes.len() as u64;
                let blob = sink.put(Kind::Blob, &bytes)?.to_string();
                files.push(KeptFile {
                    path: path_text(&path),
                    mode: entry.stat.mode & 0o777,
                    blob,
                });
            }
            Ok(None) | Err(_) => lost.push(path),
        }
    }
    Ok((files, lost.iter().map(|path| path_text(path)).collect()))
}

/// How many entries lie below a folder.
fn below(manifest: &Manifest, path: &[u8]) -> usize {
    let inside = |folder: &&std::sync::Arc<super::snapshot::Folder>| {
        let rest = folder.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    manifest
        .folders()
        .iter()
        .filter(inside)
        .map(|folder| folder.entries.len())
        .sum()
}

fn read(root: &Root, path: &[u8]) -> io::Result<Vec<u8>> {
    let (folder, name) = split(path);
    let dir = root.folder(folder)?;
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::NOFOLLOW
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&dir, name, flags, rustix::fs::Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.rsplit_once_str(b"/").unwrap_or((b"", path))
}
