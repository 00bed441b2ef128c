//! `packed-refs`, kept while a brain without a sandbox runs.
//!
//! A file that git cannot read takes every ref with it, those of all tasks and of the user; and loose refs may be packed
//! into it before it is spoiled. So every ref is kept, as of the moment before the brain; our own as they move ([`note`]).
//! What a branch came to since is told by its reflog, which git removes with the branch: where the last entry follows from
//! what was kept, it counts, and a branch that was made meanwhile is known by its reflog alone.
//!
//! What is left of a broken file counts over what was kept, line by line, but for a line that a loose ref had outdated.
//! One that is gone or empty is put back, where refs are missing by it. A ref that was deleted as git does it stays so, and
//! no ref that is there is written over.
//!
//! [`note`]: super::kept::note

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;
use git2::Oid;

use super::{Repo, Sharing, kept, listing, locks::Lock, pack::sync_dir, reflogs};
use crate::task::few;

const FILE: &str = "packed-refs";
const LEDGER: &[u8] = b"refs/khlone/tasks/";
const BRANCHES: &[u8] = b"refs/heads/";

/// What the first line of a record says where there was no file.
const NONE: &[u8] = b"# no packed-refs\n";
const HEADER: &[u8] = b"# pack-refs with: sorted \n";

/// Before a packed line that a loose ref had outdated.
const STALE: &[u8] = b"# stale ";
/// Before the name of a branch that was gone, and its reflog was not.
const ORPHAN: &[u8] = b"# orphan ";

/// So many refs that were put back are named.
const NAMED: usize = 50;

/// The refs as they were, as the file would have them.
#[derive(Debug)]
pub struct PackedRefs {
    common: PathBuf,
    kept: Vec<u8>,
    record: PathBuf,
}

impl PackedRefs {
    /// Keeps those of the repository at `common`, loose ones too: they may be packed before the file is spoiled. What of
    /// ours moves from here on is noted beside `record`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn keep(common: &Path, record: &Path) -> io::Result<Self> {
        // First: what moves while they are read is in one or the other.
        kept::begin(record)?;
        let packed = read(&common.join(FILE))?;
        let loose = listing::below(common, "refs/")?;
        let mut refs = entries(packed.as_deref().unwrap_or_default());
        let mut first = if packed.is_some() { HEADER } else { NONE }.to_vec();
        let texts: Vec<_> = loose.iter().map(|(name, oid)| (name, oid.to_string())).collect();
        for (name, oid) in &texts {
            let known = refs.get(name.as_bytes()).map(|(known, _)| *known);
            if let Some(stale) = known.filter(|known| *known != oid.as_bytes()) {
                first.extend([STALE, stale, b" ", name.as_bytes(), b"\n"].concat());
            }
            if known != Some(oid.as_bytes()) {
                refs.insert(name.as_bytes(), (oid.as_bytes(), None));
            }
        }
        for orphan in reflogs::branches(common)? {
            if !refs.contains_key(orphan.as_bytes()) {
                first.extend([ORPHAN, orphan.as_bytes(), b"\n"].concat());
            }
        }
        Ok(Self {
            kept: text_of(&first, &refs),
            common: common.to_owned(),
            record: record.to_owned(),
        })
    }

    /// What a record says.
    ///
    /// # Errors
    /// If it cannot be read.
    fn of_record(common: &Path, record: &Path) -> io::Result<Self> {
        // An empty one is from before loose refs were kept, too.
        let kept = read(record)?.filter(|kept| !kept.is_empty());
        Ok(Self {
            common: common.to_owned(),
            kept: kept.unwrap_or(NONE.to_vec()),
            record: record.to_owned(),
        })
    }

    /// Records what was kept, for whoever comes after the death of this process.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn record(&self) -> io::Result<()> {
        fs::write(&self.record, &self.kept)
    }

    /// Puts the file right if it is broken or gone; says what was wrong, and names each ref that was put back. A broken one
    /// is left beside as `aside`.
    ///
    /// # Errors
    /// If the disk refuses, or git holds the file's lock.
    pub fn mend(&self, repo: &Repo, aside: &Path) -> io::Result<Vec<String>> {
        let path = self.common.join(FILE);
        let is_file = fs::metadata(&path).is_ok_and(|data| data.is_file());
        let found = if is_file { fs::read(&path)? } else { Vec::new() };
        let later = kept::later(&self.record);
        let before = Before::of(&self.kept, &later);
        let now = Now {
            common: &self.common,
            refs: entries(&found),
        };
        let lost = before.lost(&now);
        let is_odd = !is_file && path.symlink_metadata().is_ok();
        let is_lost_by_git = |name: &&[u8]| name.starts_with(BRANCHES) && now.has_reflog(name);
        let all_ledger = || {
            let ours = before
                .refs
                .keys()
                .copied()
                .filter(|name| name.starts_with(LEDGER));
            let (gone, there): (Vec<&[u8]>, Vec<&[u8]>) = ours.partition(|name| lost.contains(*name));
            !gone.is_empty() && there.is_empty()
        };
        let words = if is_odd || !is_whole(&found) {
            "packed-refs: broken, and put right"
        } else if lost.is_empty() {
            return Ok(Vec::new());
        } else if !is_file && (before.had_file || lost.iter().any(is_lost_by_git)) {
            "packed-refs: removed, and put back"
        // git writes no empty one.
        } else if is_file && found.is_empty() {
            "packed-refs: emptied, and put back"
        } else if all_ledger() {
            "packed-refs: all of git-khlone's refs were gone, and every ref is put back"
        } else {
            return Ok(Vec::new());
        };
        if is_file && !found.is_empty() {
            fs::write(aside, &found)?;
        } else if fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
            fs::rename(&path, aside)?;
        }
        let mut told = Vec::new();
        let values = before.values(&now, repo)?;
        let mut all: Entries<'_> = now.refs.clone();
        for (name, value) in &values {
            let oid = value.at.as_bytes();
            let same = before
                .refs
                .get(name.as_bytes())
                .filter(|(known, _)| *known == oid);
            all.insert(name.as_bytes(), (oid, same.and_then(|(_, peeled)| *peeled)));
            told.push(value.told(&name.as_bytes().to_str_lossy()));
        }
        self.write(&text_of(HEADER, &all))?;
        let mut words = vec![words.to_owned()];
        words.extend(few(told, NAMED));
        Ok(words)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let path = self.common.join(FILE);
        let mut lock = Lock::take(&path.with_extension("lock"), Sharing::of(&self.common))?;
        io::Write::write_all(&mut lock.file, text)?;
        lock.file.sync_all()?;
        lock.rename_to(&path)?;
        sync_dir(&self.common)
    }
}

/// What is known of the refs before they were lost.
struct Before<'a> {
    refs: Entries<'a>,
    /// Those of ours that moved since, and those that we deleted.
    moved: BTreeSet<&'a [u8]>,
    stale: BTreeMap<&'a [u8], &'a [u8]>,
    orphans: BTreeSet<&'a [u8]>,
    had_file: bool,
}

impl<'a> Before<'a> {
    fn of(kept: &'a [u8], later: &'a [u8]) -> Self {
        let (mut refs, mut moved) = (entries(kept), BTreeSet::new());
        for (oid, name) in later.split(|byte| *byte == b'\n').filter_map(entry) {
            moved.insert(name);
            if oid.iter().all(|digit| *digit == b'0') {
                refs.remove(name);
            } else if refs.get(name).is_none_or(|(known, _)| *known != oid) {
                refs.insert(name, (oid, None));
            }
        }
        let lines = || kept.split(|byte| *byte == b'\n');
        let stale = lines().filter_map(|line| entry(line.strip_prefix(STALE)?));
        Self {
            refs,
            moved,
            stale: stale.map(|(oid, name)| (name, oid)).collect(),
            orphans: lines().filter_map(|line| line.strip_prefix(ORPHAN)).collect(),
            had_file: !kept.starts_with(NONE),
        }
    }

    /// Those that are not there any more.
    fn lost(&self, now: &Now<'_>) -> BTreeSet<&'a [u8]> {
        let names = self.refs.keys().copied();
        names.filter(|name| !now.is_there(name)).collect()
    }

    /// Where each ref belongs that is lost, or stands in the file at less than was known.
    fn values(&self, now: &Now<'_>, repo: &Repo) -> io::Result<BTreeMap<Vec<u8>, Value>> {
        let mut values = BTreeMap::new();
        let names = self.refs.keys().filter(|name| !is_loose(now.common, name));
        for name in names {
            let (at, _) = self.refs[name];
            let best = Value::of(repo, now.common, name, at);
            let is_right = match now.refs.get(name) {
                None => now.is_blocked(name),
                Some((found, _)) if best.at.as_bytes() == *found => true,
                Some((found, _)) if self.stale.get(name) == Some(found) => false,
                Some(_) if self.moved.contains(name) => false,
                Some((found, _)) => {
                    best.reflog.as_ref().is_some_and(|last| last.as_bytes() == *found)
                        || !follows(repo, best.at.as_bytes(), found)
                }
            };
            if !is_right {
                values.insert(name.to_vec(), best);
            }
        }
        for branch in reflogs::branches(now.common)? {
            let name = branch.as_bytes();
            let is_known = self.refs.contains_key(name) || self.orphans.contains(name);
            if is_known || self.moved.contains(name) || now.is_there(name) || now.is_blocked(name) {
                continue;
            }
            let last = reflogs::last(now.common, name).filter(|last| is_commit(repo, last));
            if let Some(at) = last {
                values.insert(name.to_vec(), Value { at, reflog: None });
            }
        }
        Ok(values)
    }
}

/// Where a ref is put back.
struct Value {
    at: String,
    /// The end of its reflog, where that is something else.
    reflog: Option<String>,
}

impl Value {
    fn of(repo: &Repo, common: &Path, name: &[u8], at: &[u8]) -> Self {
        let last = name.starts_with(BRANCHES).then(|| reflogs::last(common, name));
        let last = last.flatten().filter(|last| last.as_bytes() != at);
        let at = at.to_str_lossy().into_owned();
        match last {
            Some(last) if follows(repo, last.as_bytes(), at.as_bytes()) => Self {
                at: last,
                reflog: None,
            },
            reflog => Self { at, reflog },
        }
    }

    fn told(&self, name: &str) -> String {
        let short = |oid: &str| oid.get(..10).unwrap_or(oid).to_owned();
        let mut told = format!("{name}: put back at {}", short(&self.at));
        if let Some(last) = &self.reflog {
            told += &format!(" (its reflog ends at {})", short(last));
        }
        told
    }
}

/// What is there now.
struct Now<'a> {
    common: &'a Path,
    refs: Entries<'a>,
}

impl Now<'_> {
    fn is_there(&self, name: &[u8]) -> bool {
        self.refs.contains_key(name) || is_loose(self.common, name)
    }

    fn has_reflog(&self, name: &[u8]) -> bool {
        reflogs::last(self.common, name).is_some()
    }

    /// Whether a ref is there that git cannot have beside one of this name.
    fn is_blocked(&self, name: &[u8]) -> bool {
        let is_above = |(at, byte): (usize, &u8)| *byte == b'/' && self.is_there(&name[..at]);
        let below = [name, b"/"].concat();
        let is_below = || {
            let first = self.refs.range(below.as_slice()..).next();
            first.is_some_and(|(other, _)| other.starts_with(&below))
        };
        name.iter().enumerate().any(is_above) || is_below() || self.has_loose_below(name)
    }

    fn has_loose_below(&self, name: &[u8]) -> bool {
        let prefix = format!("{}/", name.to_str_lossy());
        let mut any = false;
        let listed = listing::each_loose(self.common, &prefix, |_, _, _| {
            any = true;
            Ok(())
        });
        listed.is_err() || any
    }
}

/// Whether `newer` is a descendant of `older`.
fn follows(repo: &Repo, newer: &[u8], older: &[u8]) -> bool {
    let oid = |text: &[u8]| Oid::from_str(text.to_str().ok()?).ok();
    let (Some(newer), Some(older)) = (oid(newer), oid(older)) else {
        return false;
    };
    let descends = repo.git().graph_descendant_of(newer, older);
    descends.unwrap_or(false)
}

fn is_commit(repo: &Repo, oid: &str) -> bool {
    Oid::from_str(oid).is_ok_and(|oid| repo.git().find_commit(oid).is_ok())
}

/// Puts the file of a repository right by the newest record in `folder`; says whether it did.
///
/// # Errors
/// As [`PackedRefs::mend`].
pub fn mend_by_records(repo: &Repo, folder: &Path) -> io::Result<bool> {
    let Some(record) = kept::newest(folder) else {
        return Ok(false);
    };
    let packed = PackedRefs::of_record(repo.common_dir(), &record)?;
    let words = packed.mend(repo, &kept::aside(&record))?;
    if words.is_empty() {
        return Ok(false);
    }
    kept::tell(&record, words).map(|()| true)
}

fn is_loose(common: &Path, name: &[u8]) -> bool {
    common
        .join(name.to_path_lossy())
        .metadata()
        .is_ok_and(|data| data.is_file())
}

/// Entries as the file has them, below a first line.
fn text_of(first: &[u8], refs: &Entries<'_>) -> Vec<u8> {
    let mut text = first.to_vec();
    for (name, (oid, peeled)) in refs {
        text.extend([*oid, b" ", *name, b"\n"].concat());
        if let Some(peeled) = peeled {
            text.extend([b"^", *peeled, b"\n"].concat());
        }
    }
    text
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether git can read it.
fn is_whole(text: &[u8]) -> bool {
    let lines = text
        .strip_suffix(b"\n")
        .map(|text| text.split(|byte| *byte == b'\n'));
    let is_line = |line: &[u8]| {
        line.starts_with(b"#") || line.strip_prefix(b"^").is_some_and(is_oid) || entry(line).is_some()
    };
    text.is_empty() || lines.is_some_and(|mut lines| lines.all(is_line))
}

type Entries<'a> = BTreeMap<&'a [u8], (&'a [u8], Option<&'a [u8]>)>;

/// Every whole line, by the name of its ref: the object, and what a tag peels to.
fn entries(text: &[u8]) -> Entries<'_> {
    let mut refs = Entries::new();
    let mut last = None;
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(peeled) = line.strip_prefix(b"^").filter(|peeled| is_oid(peeled)) {
            if let Some(it) = last.and_then(|name| refs.get_mut(name)) {
                it.1 = Some(peeled);
            }
            continue;
        }
        last = entry(line).map(|(oid, name)| {
            refs.insert(name, (oid, None));
            name
        });
    }
    refs
}

fn entry(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let (oid, name) = (&line[..at], &line[at + 1..]);
    // Names are bytes to git, and need not be text.
    let is_name = name.starts_with(b"refs/") && !name.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
    (is_oid(oid) && is_name).then_some((oid, name))
}

fn is_oid(text: &[u8]) -> bool {
    matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::tests::scratch;

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";

    fn mended(before: &str, after: Option<&str>) -> (Option<String>, String) {
        let (dir, repo, _site) = scratch();
        let path = repo.common_dir().join("packed-refs");
        fs::remove_dir_all(repo.common_dir().join("refs/heads")).unwrap();
        fs::remove_dir_all(repo.common_dir().join("logs")).unwrap();
        fs::write(&path, before).unwrap();
        let kept = PackedRefs::keep(repo.common_dir(), &dir.path().join("kept/record")).unwrap();
        match after {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let said = kept.mend(&repo, &dir.path().join("aside")).unwrap();
        (
            said.into_iter().next(),
            fs::read_to_string(&path).unwrap_or_default(),
        )
    }

    #[test]
    fn a_broken_file_keeps_every_ref_of_before_and_every_whole_line_of_after() {
        let before = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{OLD} refs/heads/a\n{OLD} refs/tags/t\n^{NEW}\n"
        );
        let whole = format!("{NEW} refs/heads/a\n");
        assert_eq!(mended(&before, Some(&whole)), (None, whole.clone()));
        let expect = format!("# pack-refs with: sorted \n{NEW} refs/heads/a\n{OLD} refs/tags/t\n^{NEW}\n");
        for broken in [
            format!("garbage\n{NEW} refs/heads/a\n"),
            format!("{NEW} refs/heads/a\n{}", &OLD[..30]),
            format!("{NEW} refs/heads/a\n\n"),
        ] {
            let (said, text) = mended(&before, Some(&broken));
            assert!(said.is_some(), "{broken}");
            assert_eq!(text, expect, "{broken}");
        }
        assert_eq!(
            mended(&before, None),
            (
                Some("packed-refs: removed, and put back".to_owned()),
                before.replace("peeled fully-peeled ", "")
            )
        );
        assert_eq!(mended("", None), (None, String::new()));
    }
}
