//! The host's index of the worktree, read as a hint: which names are tracked, and which files are known by
//! their stat to be what git has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bstr::{BStr, ByteSlice};
use git2::Oid;
use gix::index::{
    File,
    entry::{Flags, Mode},
    extension::Tree,
};

use super::{manifest::join, stat::StatKey};

const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// The index, or nothing where there is none.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    read: OnceLock<Read>,
}

#[derive(Debug)]
struct Read {
    file: Option<File>,
    written: i64,
    empty_blob: Option<Oid>,
}

/// What the index has of a folder.
#[derive(Debug, Default)]
pub(super) struct Tracked<'a> {
    /// Files and links by name, with their position.
    pub(super) files: BTreeMap<&'a [u8], usize>,
    /// Folders by name.
    pub(super) folders: BTreeSet<&'a [u8]>,
}

impl Index {
    /// The index at `path`, read when first asked. One that is missing or unreadable only costs time: everything
    /// is then read.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: OnceLock::new(),
        }
    }

    fn read(&self) -> &Read {
        self.read.get_or_init(|| Read::new(&self.path))
    }

    fn file(&self) -> Option<&File> {
        self.read().file.as_ref()
    }

    /// What lies directly in the folder `path`.
    pub(super) fn tracked(&self, path: &[u8]) -> Tracked<'_> {
        let mut tracked = Tracked::default();
        let Some(file) = self.file() else {
            return tracked;
        };
        let prefix = join(path, b"");
        let range = inside(file, &prefix);
        let entries = file.entries();
        let mut at = range.start;
        while at < range.end {
            let Some(rest) = entries[at].path(file).get(prefix.len()..) else {
                break;
            };
            match rest.find_byte(b'/') {
                None => {
                    tracked.files.insert(rest, at);
                    at += 1;
                }
                Some(slash) => {
                    let inside = &rest[..=slash];
                    let past = at
                        + entries[at..range.end]
                            .partition_point(|entry| entry.path(file)[prefix.len()..].starts_with(inside));
                    tracked.folders.insert(&rest[..slash]);
                    at = past;
                }
            }
        }
        tracked
    }

    /// The blob that git has for the entry at `position`, if `key` proves that the file is as git last saw it.
    ///
    /// Times are compared to the nanosecond and `ctime` always, whatever the configuration says; an entry that
    /// is not older than the index itself proves nothing, nor do marks like assume-unchanged.
    pub(super) fn proven(&self, position: usize, key: &StatKey) -> Option<Oid> {
        let Read {
            file,
            written,
            empty_blob,
        } = self.read();
        let entry = file.as_ref()?.entries().get(position)?;
        let stat = &entry.stat;
        let time = |time: gix::index::entry::stat::Time| {
            i64::from(time.secs) * 1_000_000_000 + i64::from(time.nsecs)
        };
        let (mtime, ctime) = (time(stat.mtime), time(stat.ctime));
        let mode = match entry.mode {
            Mode::FILE => key.file_type().is_file() && !key.is_executable(),
            Mode::FILE_EXECUTABLE => key.file_type().is_file() && key.is_executable(),
            Mode::SYMLINK => key.file_type().is_symlink(),
            _ => false,
        };
        let same = mode
            && mtime == key.mtime
            && ctime == key.ctime
            && u64::from(stat.ino) == key.ino & 0xffff_ffff
            && u64::from(stat.size) == key.size
            && mtime.max(ctime) < *written
            && entry.stage_raw() == 0
            && !entry.flags.contains(Flags::INTENT_TO_ADD);
        let oid = Oid::from_bytes(entry.id.as_bytes()).ok()?;
        // Git marks an entry that it does not trust with the size 0.
        (same && (key.size > 0 || Some(oid) == *empty_blob)).then_some(oid)
    }

    /// Git's own note of the tree that the whole index stands for.
    pub(super) fn tree(&self) -> Option<Cached<'_>> {
        Some(Cached(self.file()?.tree()?))
    }
}

impl Read {
    fn new(path: &Path) -> Self {
        let file = File::at(
            path,
            gix::hash::Kind::Sha1,
            true,
            gix::index::decode::Options::default(),
        )
        .ok();
        let written = file.as_ref().map_or(0, |file| {
            let time = file.timestamp();
            time.unix_seconds()
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(time.nanoseconds()))
        });
        Self {
            file,
            written,
            empty_blob: Oid::from_str(EMPTY_BLOB).ok(),
        }
    }
}

/// Git's note of the tree that a folder of the index stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cached<'a>(&'a Tree);

impl<'a> Cached<'a> {
    /// The tree, where the note is valid.
    pub(super) fn oid(self) -> Option<Oid> {
        self.0.num_entries?;
        Oid::from_bytes(self.0.id.as_bytes()).ok()
    }

    /// The note of a folder inside.
    pub(super) fn child(self, name: &BStr) -> Option<Cached<'a>> {
        // Git sorts them by length first, libraries by name: look at each.
        self.0
            .children
            .iter()
            .find(|child| child.name.as_slice() == name.as_bytes())
            .map(Cached)
    }
}

/// The entries below the folder `prefix` (with its slash).
fn inside(file: &File, prefix: &[u8]) -> Range<usize> {
    let entries = file.entries();
    let start = entries.partition_point(|entry| entry.path(file).as_bytes() < prefix);
    let count = entries[start..].partition_point(|entry| entry.path(file).starts_with(prefix));
    start..start + count
}
