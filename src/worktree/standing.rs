//! Where a worktree stands in git: HEAD, which may be on no branch, operations that are half done with the commits that
//! they need, refs and reflog of the worktree alone, its sparse patterns, and files in conflict.
//!
//! All of that is in the worktree's own git folder and goes with it. A verb that takes the worktree away saves it
//! here: the files as they are, and the commits that nothing else may keep.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bstr::{BString, ByteSlice};
use git2::{ObjectType, Oid};

use super::{
    carry::{CarryError, patiently},
    checkout::{Checkout, write_whole},
    effects::{path_bytes, path_text},
    erase::erase,
    lenient::leniently,
};
use crate::{
    process::{Cmd, ProcessError, file::read_no_link},
    refs::{KeptFile, Kind, ObjectSink, Repo, TreeEntry, encode_tree},
};

/// What is no state, or says where the worktree is; HEAD is put back last, see [`put_back`].
const NOT_KEPT: [&str; 6] = ["commondir", "gitdir", "locked", "index", "index.lock", "HEAD"];
/// Folders that are kept. Others, a submodule's git folder say, are not this worktree's state.
const FOLDERS: [&str; 6] = [
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "refs",
    "logs",
    "info",
];
/// Larger files, and more of them, than any honest operation has.
const MAX_FILE: u64 = 32 << 20;
const MAX_FILES: usize = 10_000;
const DEEPEST: usize = 16;

/// What was saved.
#[derive(Debug, Default)]
pub struct Standing {
    /// The files of the git folder, HEAD the last.
    pub files: Vec<KeptFile>,
    /// The commits that they name.
    pub commits: Vec<Oid>,
    /// What is in conflict in the index, as `git update-index --index-info` reads it.
    pub conflicts: Option<KeptFile>,
    /// The index itself, if that is all of it.
    pub index: Option<KeptFile>,
    /// All of these objects, as trees of blobs.
    pub tree: Option<Oid>,
}

/// Saves where a worktree stands; the objects go to `sink`. Commits that `tip` has are not named.
///
/// # Errors
/// If the git folder cannot be read, or the sink fails.
pub fn keep(
    repo: &Repo,
    checkout: &Checkout,
    tip: Option<Oid>,
    sink: &mut dyn ObjectSink,
) -> io::Result<Standing> {
    let mut standing = Standing::default();
    let mut named = BTreeSet::new();
    let mut blobs = Vec::new();
    for path in listed(&checkout.git_dir)? {
        let bytes = match read_no_link(&checkout.git_dir.join(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        named.extend(ids(&bytes));
        let blob = sink.put(Kind::Blob, &bytes)?;
        blobs.push(blob);
        standing
            .files
            .push(kept(path_text(path.as_os_str().as_bytes()), blob));
    }
    standing.commits = only_there(repo, named, tip).map_err(io::Error::other)?;
    let (conflicts, staged) = conflicts(checkout).map_err(io::Error::other)?;
    if !conflicts.is_empty() {
        let blob = sink.put(Kind::Blob, &conflicts)?;
        blobs.push(blob);
        blobs.extend(staged);
        standing.conflicts = Some(kept("conflicts".to_owned(), blob));
    }
    if let Some(index) = whole_index(checkout) {
        let blob = sink.put(Kind::Blob, &index)?;
        blobs.push(blob);
        standing.index = Some(kept("index".to_owned(), blob));
    }
    let mut entries: Vec<_> = blobs
        .into_iter()
        .enumerate()
        .map(|(n, oid)| TreeEntry {
            mode: 0o100_644,
            name: format!("{n:06}").into_bytes(),
            oid,
        })
        .collect();
    if !entries.is_empty() {
        standing.tree = Some(sink.put(Kind::Tree, &encode_tree(&mut entries))?);
    }
    Ok(standing)
}

/// The bytes of an index that needs no other file: one that is split does.
fn whole_index(checkout: &Checkout) -> Option<Vec<u8>> {
    let path = checkout.git_dir.join("index");
    let data = path.symlink_metadata().ok()?;
    let bytes = (data.is_file() && data.len() <= MAX_FILE).then(|| fs::read(path).ok())??;
    let is_split = bytes.windows(4).any(|it| it == b"link");
    let has_shared = || {
        let entries = fs::read_dir(&checkout.git_dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| name.as_bytes().starts_with(b"sharedindex."))
    };
    (!is_split || !has_shared()).then_some(bytes)
}

/// Puts the whole index back; git looks at each file anew.
///
/// # Errors
/// If the disk refuses, or git.
pub fn put_back_index(checkout: &Checkout, bytes: &[u8]) -> Result<(), CarryError> {
    let path = checkout.git_dir.join("index");
    let written = write_whole(&path, bytes, checkout.sharing());
    written.map_err(|source| CarryError::Io { path, source })?;
    patiently(checkout, || super::index::refresh(checkout))
}

fn kept(path: String, blob: Oid) -> KeptFile {
    KeptFile {
        path,
        mode: 0o644,
        blob: blob.to_string(),
    }
}

/// What git has in a worktree's folder while an operation is half done.
const OPERATIONS: [&str; 20] = [
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "refs/bisect",
    "refs/rewritten",
    "MERGE_HEAD",
    "MERGE_MODE",
    "MERGE_MSG",
    "MERGE_RR",
    "MERGE_AUTOSTASH",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "BISECT_LOG",
    "BISECT_NAMES",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_EXPECTED_REV",
];

/// Ends every operation that is half done, as `git reset --hard` ends a merge: a commit that comes later would be a part
/// of it. Files, index and HEAD stay as they are.
///
/// # Errors
/// If the disk refuses.
pub fn end_operations(checkout: &Checkout) -> io::Result<()> {
    for name in OPERATIONS {
        let path = checkout.git_dir.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(data) if data.is_dir() => erase(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => continue,
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a checkout's HEAD is as it was kept.
pub fn is_put_back(
    checkout: &Checkout,
    files: &[KeptFile],
    blob: impl Fn(&str) -> io::Result<Vec<u8>>,
) -> bool {
    let head = files.iter().find(|file| file.path == "HEAD");
    let head = head.and_then(|file| blob(&file.blob).ok());
    head.is_some() && head == fs::read(checkout.git_dir.join("HEAD")).ok()
}

/// Puts the files of a git folder back, HEAD the last; `blob` gives their bytes.
///
/// # Errors
/// If the disk refuses.
pub fn put_back(
    checkout: &Checkout,
    files: &[KeptFile],
    blob: impl Fn(&str) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    for file in files {
        let path = checkout.git_dir.join(path_bytes(&file.path).to_path_lossy());
        let bytes = blob(&file.blob)?;
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = path.parent() {
            checkout.sharing().make_dirs(folder)?;
        }
        write_whole(&path, bytes, checkout.sharing())?;
    }
    Ok(())
}

/// Puts what was in conflict back into the index.
///
/// # Errors
/// If git fails.
pub fn put_back_conflicts(checkout: &Checkout, conflicts: &[u8]) -> Result<(), CarryError> {
    patiently(checkout, || {
        let put_back = |git: Cmd| {
            let git = git.args(["update-index", "-z", "--index-info"]);
            git.input(conflicts).output().map(drop)
        };
        leniently(|| checkout.git(), put_back)
    })
}

/// The files to keep, HEAD the last.
fn listed(git_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(git_dir.join(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            let Ok(data) = fs::symlink_metadata(git_dir.join(&path)) else {
                continue;
            };
            let is = |names: &[&str]| names.iter().any(|it| *it == name);
            let name = name.to_string_lossy();
            let is_ours =
                name.starts_with("khlone") || name.starts_with("sharedindex.") || name.ends_with(".lock");
            if data.is_dir() && depth < DEEPEST && (depth > 0 || is(&FOLDERS)) {
                folders.push((path, depth + 1));
            } else if data.is_file() && data.len() <= MAX_FILE && !is_ours && (depth > 0 || !is(&NOT_KEPT)) {
                found.push(path);
            }
        }
        if found.len() > MAX_FILES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "too many files in the worktree's git folder",
            ));
        }
    }
    found.sort();
    found.push("HEAD".into());
    Ok(found)
}

/// Every word of a text that is an object's id.
fn ids(text: &[u8]) -> impl Iterator<Item = Oid> {
    let words = text
        .split(|byte| !byte.is_ascii_hexdigit())
        .filter(|word| word.len() == 40);
    words
        .filter_map(|word| word.to_str().ok()?.parse::<Oid>().ok())
        .filter(|oid| !oid.is_zero())
}

/// Those of the named objects that are commits, and that `tip` has not.
fn only_there(repo: &Repo, named: BTreeSet<Oid>, tip: Option<Oid>) -> Result<Vec<Oid>, git2::Error> {
    let git = repo.git();
    let peel = |oid: &Oid| {
        let object = git.find_object(*oid, None).ok()?.peel(ObjectType::Commit).ok()?;
        Some(object.id())
    };
    let commits: BTreeSet<Oid> = named.iter().filter_map(peel).collect();
    let mut walk = git.revwalk()?;
    for commit in &commits {
        walk.push(*commit)?;
    }
    if let Some(tip) = tip {
        walk.hide(tip)?;
    }
    let mut found = Vec::new();
    for oid in walk {
        let oid = oid?;
        if commits.contains(&oid) {
            found.push(oid);
        }
    }
    Ok(found)
}

/// The entries of an index with files in conflict that HEAD has not, and their blobs; nothing of any other index, which
/// is kept as a tree.
fn conflicts(checkout: &Checkout) -> Result<(Vec<u8>, BTreeSet<Oid>), ProcessError> {
    let unmerged = checkout.git().args(["ls-files", "--unmerged", "-z"]).finish()?;
    if !unmerged.status.success() || unmerged.stdout.is_empty() {
        return Ok((Vec::new(), BTreeSet::new()));
    }
    let staged = checkout.git().args([
        "diff-index",
        "--cached",
        "--no-renames",
        "-z",
        "--name-only",
        "HEAD",
    ]);
    let mut paths: BTreeSet<BString> = staged.output()?.split_str(b"\0").map(BString::from).collect();
    let all = checkout.git().args(["ls-files", "--stage", "-z"]).output()?;
    let path_of = |record: &[u8]| record.split_once_str(b"\t").map(|(_, path)| BString::from(path));
    paths.extend(unmerged.stdout.split_str(b"\0").filter_map(path_of));
    let (mut text, mut blobs) = (Vec::new(), BTreeSet::new());
    for path in paths.iter().filter(|path| !path.is_empty()) {
        text.extend_from_slice(format!("0 {}\t", Oid::ZERO_SHA1).as_bytes());
        text.extend_from_slice(path);
        text.push(0);
    }
    for record in all
        .split_str(b"\0")
        .filter(|record| path_of(record).is_some_and(|path| paths.contains(&path)))
    {
        text.extend_from_slice(record);
        text.push(0);
        // A submodule's commit is not here.
        if !record.starts_with(b"160000") {
            blobs.extend(ids(record.split_str(b"\t").next().unwrap_or_default()));
        }
    }
    Ok((text, blobs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_whatever_git_writes() {
        let (one, two) = ("1".repeat(40), "ab".repeat(20));
        let zero = "0".repeat(40);
        let text = format!("{zero} {one} Ann <a@x> 1 +0000\tcommit: {two}\npick {two} subject\nabc {one}0\n");
        let found: Vec<_> = ids(text.as_bytes()).map(|oid| oid.to_string()).collect();
        assert_eq!(found, [one, two.clone(), two]);
    }
}
