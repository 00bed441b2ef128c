//! Records of the refs, in the site's folder for as long as a brain without a sandbox runs: with its runner dead, no ledger
//! can be read that would say so, and whoever opens the site next puts `packed-refs` right.
//!
//! Our own refs go on moving meanwhile, and have no reflog: who moves one notes it beside each record.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use git2::Oid;

use super::Layout;

/// Beside a record: what was mended by it, the broken file, and what moved since.
const MENDED: &str = ".mended";
const BROKEN: &str = ".broken";
const LATER: &str = ".later";
const MARKS: [&str; 3] = [MENDED, BROKEN, LATER];

/// The newest record in `folder`. Nearly always there is none.
pub(super) fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let is_mark = |path: &Path| MARKS.iter().any(|mark| path.to_string_lossy().ends_with(mark));
    let records = entries.flatten().map(|entry| entry.path());
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    records
        .filter(|path| !is_mark(path))
        .max_by_key(|path| modified(path))
}

/// Where the broken file goes that was mended by a record.
pub(super) fn aside(record: &Path) -> PathBuf {
    marked(record, BROKEN)
}

/// Writes down beside a record what was mended by it.
pub(super) fn tell(record: &Path, words: Vec<String>) -> io::Result<()> {
    let mut all = mended(record);
    all.extend(words);
    fs::write(marked(record, MENDED), all.join("\n"))
}

/// Begins a record: from now on what moves is noted beside it.
pub(super) fn begin(record: &Path) -> io::Result<()> {
    if let Some(folder) = record.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(marked(record, LATER), "")
}

/// What was noted beside a record: as in `packed-refs`, the last counts, and a deleted ref stands at zeros.
pub(super) fn later(record: &Path) -> Vec<u8> {
    fs::read(marked(record, LATER)).unwrap_or_default()
}

/// Notes beside each record that a ref of ours stands at `at` (`None`: deleted).
pub(super) fn note(common: &Path, name: &str, at: Option<Oid>) {
    let Ok(entries) = fs::read_dir(Layout::of(common).kept_packed_refs()) else {
        return;
    };
    let line = format!("{} {name}\n", at.unwrap_or(Oid::ZERO_SHA1));
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.to_string_lossy().ends_with(LATER) {
            continue;
        }
        let file = fs::OpenOptions::new().append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::warn!(%error, %name, "a ref that moves is not noted");
        }
    }
}

/// Forgets a record; says what was mended by it.
pub fn forget_record(record: &Path) -> Vec<String> {
    let words = mended(record);
    drop(fs::remove_file(record));
    for mark in MARKS {
        drop(fs::remove_file(marked(record, mark)));
    }
    words
}

fn mended(record: &Path) -> Vec<String> {
    let words = fs::read_to_string(marked(record, MENDED)).unwrap_or_default();
    words.lines().map(str::to_owned).collect()
}

fn marked(record: &Path, mark: &str) -> PathBuf {
    let mut path = record.to_owned().into_os_string();
    path.push(mark);
    path.into()
}
