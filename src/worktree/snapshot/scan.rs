//! One folder of the walk: listed, every entry looked at once, and compared with what is known of it.

use std::{io, sync::Arc};

use bstr::BString;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Dir, FileType},
    io::Errno,
};

use super::{
    beneath,
    index::Tracked,
    manifest::{Entry, EntryKind, Folder, join},
    rules::{Conversion, RULES_LIMIT, Rules},
    stat::StatKey,
    walk::{Found, Job, Known, Walk},
};

/// Folders deeper than this are not entered: git itself gives up at 2048.
const DEPTH: usize = 1000;
/// Longer paths cannot be opened in one step.
pub(super) const PATH: usize = 4000;

impl Walk<'_> {
    /// Looks at one folder and adds its folders to `inner`.
    pub(super) fn scan(&self, job: &Job, inner: &mut Vec<Job>) -> Found {
        let mut found = Found::default();
        found.folder.path.clone_from(&job.path);
        let listed = self.root.folder(&job.path).and_then(list);
        let (dir, names) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                found.unreadable = error.kind() != io::ErrorKind::NotFound;
                return found;
            }
        };
        let Ok(fd) = dir.fd() else {
            found.unreadable = true;
            return found;
        };
        let prefix = join(&job.path, b"");
        let tracked = self.index.tracked(&prefix, job.range.clone());
        let scan = Scan {
            walk: self,
            job,
            fd,
            rules: self.rules_of(job, fd, &names, &tracked),
            tracked,
            before: self.previous.and_then(|manifest| manifest.folder(&job.path)),
        };
        found.folder.entries.reserve_exact(names.len());
        found.known.reserve_exact(names.len());
        for name in names {
            if job.path.is_empty() && name == ".git" {
                continue;
            }
            if let Some((entry, known)) = scan.entry(name, inner) {
                found.folder.cut |= entry.kind == EntryKind::Unreadable && entry.stat.file_type().is_dir();
                found.folder.entries.push(entry);
                found.known.push(known);
            }
        }
        found
    }

    fn rules_of(
        &self,
        job: &Job,
        fd: BorrowedFd<'_>,
        names: &[BString],
        tracked: &Tracked<'_>,
    ) -> Arc<Rules> {
        let has = |name: &str| {
            names
                .binary_search_by(|it| it.as_slice().cmp(name.as_bytes()))
                .is_ok()
        };
        let read = |name: &str| {
            has(name)
                .then(|| beneath::read_small(fd, name.as_bytes(), RULES_LIMIT))
                .flatten()
        };
        let attributes = tracked.files.get(&b".gitattributes"[..]).copied();
        let mut all: Vec<Vec<u8>> = read(".gitattributes").into_iter().collect();
        if let Some(position) = attributes {
            let same = beneath::stat(fd, b".gitattributes")
                .is_ok_and(|key| self.index.proven(position, &key).is_some());
            if !same {
                // Other rules may have held when the index was written: nothing it says of this folder counts.
                all.push(b"* filter=unknown\n".to_vec());
            }
        }
        job.rules.below(&job.path, read(".gitignore").as_deref(), &all)
    }
}

/// One folder while it is looked at.
struct Scan<'a> {
    walk: &'a Walk<'a>,
    job: &'a Job,
    fd: BorrowedFd<'a>,
    rules: Arc<Rules>,
    tracked: Tracked<'a>,
    before: Option<&'a Folder>,
}

impl Scan<'_> {
    fn entry(&self, name: BString, inner: &mut Vec<Job>) -> Option<(Entry, Known)> {
        let path = join(&self.job.path, &name);
        let stat = match beneath::stat(self.fd, &name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => StatKey::default(),
        };
        let mut kind = classify(self.fd, &name, &stat);
        let file = self.tracked.files.get(name.as_slice()).copied();
        let range = self.tracked.folders.get(name.as_slice()).cloned();
        let untracked = file.is_none() && range.is_none();
        let ignored = untracked && (self.job.ignored || self.rules.ignores(&path, kind == EntryKind::Folder));
        if kind == EntryKind::Folder && (self.job.depth >= DEPTH || path.len() >= PATH) {
            kind = EntryKind::Unreadable;
        }
        if kind == EntryKind::Folder && !ignored {
            let excluded = self.job.ignored || (range.is_some() && self.rules.ignores(&path, true));
            inner.push(Job {
                path: path.clone(),
                depth: self.job.depth + 1,
                range: range.unwrap_or_default(),
                rules: Arc::clone(&self.rules),
                ignored: excluded,
            });
        }
        let mut entry = Entry {
            name,
            kind,
            ignored,
            stat,
            oid: None,
            doubtful: stat.is_recent(self.walk.started),
            encoded: false,
        };
        let content = !ignored && matches!(kind, EntryKind::File | EntryKind::Symlink);
        let known = if content {
            self.know(&mut entry, &path, file)
        } else {
            Known::Unread
        };
        Some((entry, known))
    }

    /// Fills in the blob of a file that need not be read: from the last snapshot, else from the index.
    fn know(&self, entry: &mut Entry, path: &[u8], tracked: Option<usize>) -> Known {
        if let Some(before) = self.before.and_then(|folder| folder.entry(&entry.name))
            && before.stat == entry.stat
            && !before.doubtful
            && matches!(
                before.kind,
                EntryKind::File | EntryKind::Symlink | EntryKind::Large
            )
            && !before.ignored
        {
            entry.kind = before.kind;
            entry.oid = before.oid;
            entry.encoded = before.encoded;
            return Known::Previous;
        }
        entry.oid = tracked.and_then(|position| self.walk.index.proven(position, &entry.stat));
        if entry.oid.is_none() {
            return Known::Unread;
        }
        match entry.kind {
            EntryKind::File => match self.rules.conversion(path) {
                Conversion::None => Known::Index,
                Conversion::Size => Known::IndexIfSize,
                Conversion::Any => Known::Unread,
            },
            _ => Known::Index,
        }
    }
}

/// What a name stands for, as far as its stat tells.
pub(in crate::worktree) fn classify(fd: BorrowedFd<'_>, name: &[u8], stat: &StatKey) -> EntryKind {
    match stat.file_type() {
        FileType::RegularFile => EntryKind::File,
        FileType::Symlink => EntryKind::Symlink,
        FileType::Directory if name == b".git" && beneath::stat(fd, b".git/HEAD").is_ok() => {
            EntryKind::Repository
        }
        FileType::Directory => EntryKind::Folder,
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::CharacterDevice | FileType::BlockDevice => EntryKind::Device,
        FileType::Unknown => EntryKind::Unreadable,
    }
}

/// The names in a folder, sorted.
pub(in crate::worktree) fn list(fd: impl AsFd + Into<OwnedFd>) -> io::Result<(Dir, Vec<BString>)> {
    let mut dir = Dir::new(fd)?;
    let mut names = Vec::new();
    while let Some(entry) = dir.read() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    names.sort_unstable();
    Ok((dir, names))
}
