//! `packed-refs`, kept while a brain without a sandbox runs.
//!
//! A file that git cannot read takes every ref with it, those of all tasks and of the user. What is left of a broken one
//! counts over what was kept, line by line; a file that is gone is put back as it was.
//!
//! What was kept is recorded in the site's folder for as long as the brain runs: with its runner dead, no ledger can be
//! read that would say so, and whoever opens the site next puts the file right.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Sharing, locks::Lock, pack::sync_dir};

/// The file as it was.
#[derive(Debug)]
pub struct PackedRefs {
    path: PathBuf,
    kept: Option<Vec<u8>>,
}

impl PackedRefs {
    /// Keeps that of the repository at `common`.
    pub fn keep(common: &Path) -> Self {
        let path = common.join("packed-refs");
        let kept = fs::read(&path).ok().filter(|text| is_whole(text));
        Self { path, kept }
    }

    /// Records what was kept, for whoever comes after the death of this process.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn record(&self, record: &Path) -> io::Result<()> {
        if let Some(folder) = record.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(record, self.kept.as_deref().unwrap_or_default())
    }

    /// Puts it right if it is broken or gone; says what was wrong. A broken one is left beside as `aside`.
    ///
    /// # Errors
    /// If the disk refuses, or git holds the file's lock.
    pub fn mend(&self, aside: &Path) -> io::Result<Option<&'static str>> {
        let Some(kept) = &self.kept else {
            let found = read(&self.path)?.unwrap_or_default();
            return if is_whole(&found) {
                Ok(None)
            } else {
                self.replace(&[], &found, aside).map(Some)
            };
        };
        match read(&self.path)? {
            Some(found) if is_whole(&found) => Ok(None),
            Some(found) => self.replace(kept, &found, aside).map(Some),
            None if kept.is_empty() => Ok(None),
            None => {
                self.write(kept)?;
                Ok(Some("packed-refs: removed, and put back"))
            }
        }
    }

    fn replace(&self, kept: &[u8], found: &[u8], aside: &Path) -> io::Result<&'static str> {
        fs::write(aside, found)?;
        let mut refs = entries(kept);
        refs.extend(entries(found));
        let mut text = b"# pack-refs with: sorted \n".to_vec();
        for (name, (oid, peeled)) in &refs {
            text.extend([*oid, b" ", *name, b"\n"].concat());
            if let Some(peeled) = peeled {
                text.extend([b"^", *peeled, b"\n"].concat());
            }
        }
        self.write(&text)?;
        Ok("packed-refs: broken, and put right")
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let sharing = self.path.parent().map(Sharing::of).unwrap_or_default();
        let mut lock = Lock::take(&self.path.with_extension("lock"), sharing)?;
        io::Write::write_all(&mut lock.file, text)?;
        lock.file.sync_all()?;
        lock.rename_to(&self.path)?;
        sync_dir(self.path.parent().unwrap_or(&self.path))
    }
}

/// Puts the file of the repository at `common` right by the newest record in `folder`. Nearly always there is none.
///
/// # Errors
/// As [`PackedRefs::mend`].
pub fn mend_by_records(common: &Path, folder: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    let records = entries.flatten().filter(|entry| !is_mark(&entry.path()));
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let newest = records
        .map(|entry| entry.path())
        .max_by_key(|path| modified(path));
    let Some(record) = newest else { return Ok(()) };
    let packed = PackedRefs {
        path: common.join("packed-refs"),
        kept: read(&record)?,
    };
    match packed.mend(&marked(&record, BROKEN))? {
        Some(words) => fs::write(marked(&record, MENDED), words),
        None => Ok(()),
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
        let kept = PackedRefs::keep(dir.path());
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
            (Some("packed-refs: removed, and put back"), before)
        );
        assert_eq!(mended("", None), (None, String::new()));
    }
}
