//! One folder of the walk: listed, every entry looked at once, and compared with what is known of it.

use std::{io, sync::Arc};

use bstr::{BString, ByteSlice};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Dir, FileType},
    io::Errno,
};

use super::{
    beneath,
    index::Tracked,
    manifest::{Entry, EntryKind, Folder, join, split},
    rules::{Conversion, RULES_LIMIT, Rules},
    stat::StatKey,
    walk::{Above, Found, Job, Known, Walk},
};

/// Folders deeper than this are not entered: git itself gives up at 2048.
const DEPTH: usize = 1000;
/// Files with rules.
pub(super) const RULES: [&[u8]; 2] = [b".gitignore", b".gitattributes"];
/// Longer paths cannot be opened in one step.
pub(super) const PATH: usize = 4000;

impl Walk<'_> {
    /// Looks at one folder and adds its folders to `inner`.
    pub(super) fn scan(&self, job: &Job, inner: &mut Vec<Job>) -> Found {
        let mut folder = Folder {
            path: job.path.clone(),
            ..Folder::default()
        };
        let listed = self.root.folder(&job.path).and_then(list);
        let unreadable = listed
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
        let mut known = Vec::new();
        if let Ok((dir, names)) = &listed
            && let Ok(fd) = dir.fd()
        {
            let above = job.above.clone().unwrap_or_else(|| self.above(&job.path));
            let tracked = self.index.tracked(&job.path);
            let before = self.previous.and_then(|manifest| manifest.folder(&job.path));
            let scan = Scan {
                walk: self,
                job,
                fd,
                rules: self.rules_of(&job.path, fd, &above.rules, &tracked),
                ignored: above.ignored,
                quiet: job.quiet && before.is_some_and(|before| same_rules(fd, before)),
                tracked,
                before,
            };
            for name in names
                .iter()
                .filter(|name| !(job.path.is_empty() && *name == ".git"))
            {
                if let Some((entry, how)) = scan.entry(name, inner) {
                    folder.cut |= entry.kind == EntryKind::Unreadable && entry.stat.file_type().is_dir();
                    folder.entries.push(entry);
                    known.push(how);
                }
            }
        }
        Found {
            folder: Arc::new(folder),
            known: Some(known),
            unreadable,
            built: false,
        }
    }

    /// The rules above a folder that was reached without reading them.
    fn above(&self, path: &[u8]) -> Above {
        let mut above = Above {
            rules: Arc::clone(self.rules),
            ignored: false,
        };
        for slash in path
            .find_iter("/")
            .chain((!path.is_empty()).then_some(path.len()))
        {
            let parent = split(&path[..slash]).0;
            if let Ok(fd) = self.root.folder(parent) {
                above.rules = self.rules_of(parent, fd.as_fd(), &above.rules, &self.index.tracked(parent));
            }
            above.ignored |= above.rules.ignores(&path[..slash], true);
        }
        above
    }

    fn rules_of(
        &self,
        path: &[u8],
        fd: BorrowedFd<'_>,
        above: &Arc<Rules>,
        tracked: &Tracked<'_>,
    ) -> Arc<Rules> {
        let read = |name: &[u8]| beneath::read_small(fd, name, RULES_LIMIT);
        let mut attributes: Vec<Vec<u8>> = read(RULES[1]).into_iter().collect();
        if let Some(position) = tracked.files.get(RULES[1]) {
            let same =
                beneath::stat(fd, RULES[1]).is_ok_and(|key| self.index.proven(*position, &key).is_some());
            if !same {
                // Other rules may have held when the index was written: nothing it says of this folder counts.
                attributes.push(b"* filter=unknown\n".to_vec());
            }
        }
        above.below(path, read(RULES[0]).as_deref(), &attributes)
    }
}

/// Whether the files with rules in a folder are what they were.
fn same_rules(fd: BorrowedFd<'_>, before: &Folder) -> bool {
    RULES
        .iter()
        .all(|name| match (before.entry(name), beneath::stat(fd, name)) {
            (Some(entry), Ok(stat)) => entry.stat == stat && !entry.doubtful,
            (None, Err(error)) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        })
}

/// One folder while it is looked at.
struct Scan<'a> {
    walk: &'a Walk<'a>,
    job: &'a Job,
    fd: BorrowedFd<'a>,
    rules: Arc<Rules>,
    ignored: bool,
    quiet: bool,
    tracked: Tracked<'a>,
    before: Option<&'a Folder>,
}

impl Scan<'_> {
    fn entry(&self, name: &BString, inner: &mut Vec<Job>) -> Option<(Entry, Known)> {
        let path = join(&self.job.path, name);
        let stat = match beneath::stat(self.fd, name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => StatKey::default(),
        };
        let mut kind = classify(self.fd, name, &stat);
        let file = self.tracked.files.get(name.as_slice()).copied();
        let folder = self.tracked.folders.contains(name.as_slice());
        let untracked = file.is_none() && !folder;
        let ignored = untracked && (self.ignored || self.rules.ignores(&path, kind == EntryKind::Folder));
        if kind == EntryKind::Folder && (self.job.depth >= DEPTH || path.len() >= PATH) {
            kind = EntryKind::Unreadable;
        }
        if kind == EntryKind::Folder && !ignored {
            let excluded = self.ignored || (folder && self.rules.ignores(&path, true));
            inner.push(Job {
                path: path.clone(),
                depth: self.job.depth + 1,
                above: Some(Above {
                    rules: Arc::clone(&self.rules),
                    ignored: excluded,
                }),
                listed: self
                    .before
                    .and_then(|it| it.entry(name))
                    .is_some_and(|it| it.stat == stat && !it.doubtful),
                quiet: self.quiet,
            });
        }
        let mut entry = Entry {
            name: name.clone(),
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
