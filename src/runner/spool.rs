//! The spool of one attempt: what the brain said, on disk before anything else is done with it.
//!
//! Raw bytes (0600, never shown, gone with retention) and canonical events, one JSON object a line, which watchers
//! read by offset. Both are capped: the head and the tail of an endless stream are kept, and the cut is marked.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    brain::{Event, Record},
    guard::{cleaner::Cleaner, redact::Redactor},
};

/// The line that stands where a stream was cut.
const CUT: &str = "[git-khlone: the middle of this stream is not kept]";

/// The files of one attempt's spool.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    raw: Capped,
    stderr: Capped,
    events: Capped,
    seq: u64,
    redactor: Redactor,
}

impl Spool {
    /// Opens the spool in an attempt's folder.
    pub(super) fn open(dir: &Path, cap: u64, redactor: Redactor) -> io::Result<Self> {
        let open = |name| Capped::open(dir.join(name), cap);
        Ok(Self {
            dir: dir.to_owned(),
            raw: open("stdout.raw")?,
            stderr: open("stderr.raw")?,
            events: open("events.jsonl")?,
            seq: 0,
            redactor,
        })
    }

    /// Keeps bytes of the brain's stdout.
    pub(super) fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.write(bytes)
    }

    /// Keeps bytes of the brain's stderr.
    pub(super) fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stderr.write(bytes)
    }

    /// Keeps an event, without terminal commands and secrets.
    pub(super) fn event(&mut self, event: Event) -> io::Result<()> {
        self.seq += 1;
        let time = jiff::Timestamp::now().as_millisecond();
        let mut record = serde_json::to_value(Record {
            seq: Some(self.seq),
            time,
            event,
        })?;
        self.clean_value(&mut record);
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.events.write(&line)
    }

    /// Text that is safe to keep and to show.
    pub(super) fn clean(&self, bytes: &[u8]) -> String {
        let mut cleaner = Cleaner::new(&self.redactor);
        let mut text = cleaner.push(bytes);
        text.push_str(&cleaner.finish().0);
        text
    }

    fn clean_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.clean(text.as_bytes()),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.clean_value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The transcript so far, for the ledger.
    pub(super) fn transcript(&self) -> io::Result<Vec<u8>> {
        let cut = Record {
            seq: None,
            time: jiff::Timestamp::now().as_millisecond(),
            event: Event::unknown(CUT.as_bytes()),
        };
        self.events.read(&serde_json::to_vec(&cut)?)
    }

    /// What the brain wrote to stderr, safe to keep.
    pub(super) fn errors(&self) -> io::Result<String> {
        Ok(self.clean(&self.stderr.read(CUT.as_bytes())?))
    }

    /// The attempt's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Makes an attempt's folder, private to the user.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A file that keeps the head of what is written, and the tail in two files that take turns.
#[derive(Debug)]
struct Capped {
    path: PathBuf,
    file: File,
    written: u64,
    head: u64,
    turn: Option<(usize, u64)>,
}

impl Capped {
    fn open(path: PathBuf, cap: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            written,
            head: cap / 4 * 3,
            turn: None,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        let full = match self.turn {
            None => self.written + size > self.head,
            Some((_, written)) => written + size > self.head / 6,
        };
        if full {
            let next = self.turn.map_or(0, |(turn, _)| 1 - turn);
            let path = self.tail(next);
            self.file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            self.turn = Some((next, 0));
        }
        self.written += size;
        if let Some((_, written)) = &mut self.turn {
            *written += size;
        }
        self.file.write_all(bytes)
    }

    fn tail(&self, turn: usize) -> PathBuf {
        self.path.with_extension(format!("tail{turn}"))
    }

    fn read(&self, cut: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = fs::read(&self.path)?;
        let Some((turn, _)) = self.turn else {
            return Ok(all);
        };
        all.extend_from_slice(cut);
        all.push(b'\n');
        for turn in [1 - turn, turn] {
            match fs::read(self.tail(turn)) {
                Ok(bytes) => all.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_stream_keeps_head_and_tail() {
        let dir = tempfile::tempdir().unwrap();
        let mut capped = Capped::open(dir.path().join("x"), 4000).unwrap();
        for i in 0..1000 {
            capped.write(format!("line {i:04}\n").as_bytes()).unwrap();
        }
        let all = capped.read(b"CUT").unwrap();
        assert!(all.len() <= 4010, "{}", all.len());
        let text = String::from_utf8(all).unwrap();
        assert!(text.starts_with("line 0000\n") && text.ends_with("line 0999\n") && text.contains("\nCUT\n"));
    }
}
