//! An endless stream on the disk: its head in one file, its tail in files beside that one.
//!
//! A file of the tail is named by where in the stream it begins (`events.tail-12582912`), so that whoever follows the
//! stream by offset reads on past the head. Two of them are kept; a new one takes the older one's place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::process::Tried;

/// The files of the tail.
const TAILS: usize = 2;
/// What their names have after the stem.
const MARK: &str = ".tail-";

/// A stream that is being written.
#[derive(Debug)]
pub(super) struct Capped {
    path: PathBuf,
    file: File,
    /// Bytes of the whole stream so far.
    written: u64,
    /// Bytes of the head.
    head: u64,
    /// Where the files of the tail begin.
    tails: Vec<u64>,
}

impl Capped {
    /// Opens a stream of which about `cap` bytes are kept.
    pub(super) fn open(path: PathBuf, cap: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .tried("write", &path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            written,
            head: cap / 4 * 3,
            tails: Vec::new(),
        })
    }

    /// Writes on. What is written at once is never parted.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        let full = match self.tails.last() {
            None => self.written + size > self.head,
            Some(begin) => self.written - begin + size > self.head / 6,
        };
        if full {
            let path = tail(&self.path, self.written);
            self.file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .tried("write", &path)?;
            self.tails.push(self.written);
            if self.tails.len() > TAILS {
                fs::remove_file(tail(&self.path, self.tails.remove(0)))?;
            }
        }
        self.written += size;
        self.file.write_all(bytes).tried("write", &self.path)
    }

    /// Bytes of the whole stream so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What is kept, with `cut` as the line where something is left out.
    pub(super) fn read(&self, cut: &[u8]) -> io::Result<Vec<u8>> {
        read(&self.path, cut)
    }
}

fn tail(path: &Path, begin: u64) -> PathBuf {
    path.with_extension(format!("{}{begin}", &MARK[1..]))
}

/// The file of a stream that has what is at `offset`, with where in the stream it begins; `None` if nothing has it yet.
/// Where that is not kept any more, the next that is.
///
/// # Errors
/// If it cannot be found out.
pub fn piece_at(path: &Path, offset: u64) -> io::Result<Option<(u64, PathBuf)>> {
    let head = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?.len(),
    };
    if offset < head {
        return Ok(Some((0, path.to_owned())));
    }
    let mut tails = tails(path)?;
    let at = tails.iter().rposition(|(begin, _)| *begin <= offset).unwrap_or(0);
    if at >= tails.len() {
        return Ok(None);
    }
    let (begin, path) = tails.swap_remove(at);
    let length = fs::metadata(&path).map_or(0, |data| data.len());
    Ok((begin > offset || begin + length > offset).then_some((begin, path)))
}

/// The files of a stream's tail, in order, each with where in the stream it begins.
fn tails(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}{MARK}", stem.to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let begin = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        found.extend(begin.map(|begin| (begin, entry.path())));
    }
    found.sort();
    Ok(found)
}

/// What is kept of a stream, also of one whose writer is dead, with `cut` as the line where something is left out.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn read(path: &Path, cut: &[u8]) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let tails = tails(path)?;
    let mut tail = Vec::new();
    for (_, path) in &tails {
        File::open(path)?.read_to_end(&mut tail)?;
    }
    // All of it at once: grown bit by bit, it would take twice the room.
    let room = usize::try_from(file.metadata()?.len()).unwrap_or(0) + tail.len() + cut.len() + 1;
    let mut all = Vec::with_capacity(room);
    file.read_to_end(&mut all)?;
    let head = all.len() as u64;
    if tails.first().is_some_and(|(begin, _)| *begin > head) {
        all.truncate(all.len() - ragged(all.iter().rev()));
        all.extend_from_slice(cut);
        all.push(b'\n');
        let ragged = &tail[ragged(tail.iter())..];
        all.extend_from_slice(ragged.strip_prefix(b"\n").unwrap_or(ragged));
    } else {
        all.extend(tail);
    }
    Ok(all)
}

/// How much to leave out beside a cut, counted from it: half a secret would not be known for one. To the next end of
/// line, or, where lines are endless, more than a secret is long.
fn ragged<'a>(mut bytes: impl ExactSizeIterator<Item = &'a u8>) -> usize {
    const LINE: usize = 64 << 10;
    const SECRET: usize = 4 << 10;
    let length = bytes.len();
    let line = bytes.by_ref().take(LINE).position(|byte| *byte == b'\n');
    line.unwrap_or(SECRET.min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_stream_keeps_head_and_tail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let mut capped = Capped::open(path.clone(), 4000).unwrap();
        let line = |n: u32| format!("line {n:04}\n");
        for n in 0..1000 {
            capped.write(line(n).as_bytes()).unwrap();
            let all = String::from_utf8(capped.read(b"CUT").unwrap()).unwrap();
            assert!(all.len() <= 4010, "{}", all.len());
            assert!(all.starts_with("line 0000\n") && all.ends_with(&line(n)), "{all}");
            // Where nothing is left out, nothing is said to be.
            let whole = (n + 1) as usize * line(0).len() == all.len();
            assert_eq!(whole, !all.contains("\nCUT\n"), "{n}");
        }
        assert_eq!(capped.written(), 10_000);
        let begins: Vec<_> = tails(&path)
            .unwrap()
            .into_iter()
            .map(|(begin, _)| begin)
            .collect();
        assert_eq!(begins, [9000, 9500]);
    }
}
