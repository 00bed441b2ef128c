//! `packed-refs`, kept while a brain without a sandbox runs.
//!
//! A file that git cannot read takes every ref with it, those of all tasks and of the user; and loose refs may be packed
//! into it before it is spoiled. So every ref is kept. What is left of a broken file counts over what was kept, line by
//! line. One that is gone or empty is put back, where refs are missing by it. A ref that was deleted as git does it stays so.
//!
//! What was kept is recorded in the site's folder for as long as the brain runs: with its runner dead, no ledger can be
//! read that would say so, and whoever opens the site next puts the file right.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;

use super::{Sharing, listing, locks::Lock, pack::sync_dir};

const FILE: &str = "packed-refs";
const LEDGER: &[u8] = b"refs/khlone/tasks/";

/// What the first line of a record says where there was no file.
const NONE: &[u8] = b"# no packed-refs\n";
const HEADER: &[u8] = b"# pack-refs with: sorted \n";

/// The refs as they were, as the file would have them.
#[derive(Debug)]
pub struct PackedRefs {
    common: PathBuf,
    kept: Vec<u8>,
}

impl PackedRefs {
    /// Keeps those of the repository at `common`, loose ones too: they may be packed before the file is spoiled.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn keep(common: &Path) -> io::Result<Self> {
        let packed = read(&common.join(FILE))?;
        let loose = listing::below(common, "refs/")?;
        let mut refs = entries(packed.as_deref().unwrap_or_default());
        let texts: Vec<_> = loose.iter().map(|(name, oid)| (name, oid.to_string())).collect();
        for (name, oid) in &texts {
            let known = refs.get(name.as_bytes());
            if known.is_none_or(|(known, _)| *known != oid.as_bytes()) {
                refs.insert(name.as_bytes(), (oid.as_bytes(), None));
            }
        }
        let kept = text_of(if packed.is_some() { HEADER } else { NONE }, &refs);
        let common = common.to_owned();
        Ok(Self { common, kept })
    }

    /// Records what was kept, for whoever comes after the death of this process.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn record(&self, record: &Path) -> io::Result<()> {
        if let Some(folder) = record.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(record, &self.kept)
    }

    /// Puts the file right if it is broken or gone; says what was wrong. A broken one is left beside as `aside`.
    ///
    /// # Errors
    /// If the disk refuses, or git holds the file's lock.
    pub fn mend(&self, aside: &Path) -> io::Result<Option<&'static str>> {
        let (path, kept) = (self.common.join(FILE), entries(&self.kept));
        let is_file = fs::metadata(&path).is_ok_and(|data| data.is_file());
        let found = if is_file { fs::read(&path)? } else { Vec::new() };
        let refs = entries(&found);
        let is_there = |name: &[u8]| refs.contains_key(name) || is_loose(&self.common, name);
        let loses = |prefix: &[u8]| {
            kept.keys()
                .any(|name| name.starts_with(prefix) && !is_there(name))
        };
        let words = if !is_file && path.symlink_metadata().is_ok() || !is_whole(&found) {
            "packed-refs: broken, and put right"
        } else if !loses(b"refs/") {
            return Ok(None);
        } else if !is_file && !self.kept.starts_with(NONE) {
            "packed-refs: removed, and put back"
        // git writes no empty one.
        } else if is_file && found.is_empty() {
            "packed-refs: emptied, and put back"
        } else if loses(LEDGER) && !kept.keys().any(|name| name.starts_with(LEDGER) && is_there(name)) {
            "packed-refs: all of git-khlone's refs were gone, and every ref is put back"
        } else {
            return Ok(None);
        };
        if is_file && !found.is_empty() {
            fs::write(aside, &found)?;
        } else if fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
            fs::rename(&path, aside)?;
        }
        let mut all = kept;
        all.extend(refs);
        self.write(&text_of(HEADER, &all))?;
        Ok(Some(words))
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

/// Puts the file of the repository at `common` right by the newest record in `folder`; says whether it did. Nearly always
/// there is none.
///
/// # Errors
/// As [`PackedRefs::mend`].
pub fn mend_by_records(common: &Path, folder: &Path) -> io::Result<bool> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(false);
    };
    let records = entries.flatten().filter(|entry| !is_mark(&entry.path()));
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let newest = records
        .map(|entry| entry.path())
        .max_by_key(|path| modified(path));
    let Some(record) = newest else { return Ok(false) };
    let packed = PackedRefs {
        common: common.to_owned(),
        // An empty one is from before loose refs were kept, too.
        kept: read(&record)?
            .filter(|kept| !kept.is_empty())
            .unwrap_or(NONE.to_vec()),
    };
    match packed.mend(&marked(&record, BROKEN))? {
        Some(words) => fs::write(marked(&record, MENDED), words).map(|()| true),
        None => Ok(false),
    }
}

/// Forgets a record; says what was mended by it.
pub fn forget_record(record: &Path) -> Option<String> {
    let words = fs::read_to_string(marked(record, MENDED)).ok();
    for path in [record.to_owned(), marked(record, MENDED), marked(record, BROKEN)] {
        drop(fs::remove_file(path));
    }
    words
}

/// Beside a record: what was mended by it, and the broken file.
const MENDED: &str = ".mended";
const BROKEN: &str = ".broken";

fn marked(record: &Path, mark: &str) -> PathBuf {
    let mut path = record.to_owned().into_os_string();
    path.push(mark);
    path.into()
}

fn is_mark(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(MENDED) || name.ends_with(BROKEN)
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

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";

    fn mended(before: &str, after: Option<&str>) -> (Option<&'static str>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("packed-refs");
        fs::write(&path, before).unwrap();
        let kept = PackedRefs::keep(dir.path()).unwrap();
        match after {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let said = kept.mend(&dir.path().join("aside")).unwrap();
        (said, fs::read_to_string(&path).unwrap_or_default())
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
                Some("packed-refs: removed, and put back"),
                before.replace("peeled fully-peeled ", "")
            )
        );
        assert_eq!(mended("", None), (None, String::new()));
    }
}
