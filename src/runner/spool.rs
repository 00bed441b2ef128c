//! The spool of one attempt: what the brain said, on disk before anything else is done with it.
//!
//! Raw bytes (0600, never shown, gone with retention) and canonical events, one JSON object a line, which watchers
//! read by offset. Both are capped: the head and the tail of an endless stream are kept, and the cut is marked.
//! What comes on stderr is kept clean beside it, for whoever looks after a runner that was killed: only this one
//! knows the secrets that its brain was given.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    capped::{self, Capped},
    figures::Counter,
};
use crate::{
    brain::{Event, Record, Role},
    guard::secrets::{cleaner::Cleaner, redact::Redactor},
    process::{Tried, file::replace_durably},
    task::Position,
};

/// The line that stands where a stream was cut.
const CUT: &str = "[git-khlone: the middle of this stream is not kept (limits.transcript)]";

/// So much text of a message in pieces stands in one event, where the transcript may be long.
const PIECE: usize = 64 << 10;

/// The transcript's file.
const EVENTS: &str = "events.jsonl";
/// The file of what came on stderr.
const ERRORS: &str = "stderr.log";

/// The files of one attempt's spool.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    raw: Capped,
    stderr: Capped,
    errors: Capped,
    events: Capped,
    counter: Counter,
    /// Bytes of text in one event at most.
    piece: usize,
    seq: u64,
    redactor: Redactor,
    open: Option<OpenMessage>,
    /// Of stderr, once there is some.
    cleaner: Option<Cleaner>,
    redacted: RefCell<BTreeMap<String, u64>>,
}

/// A message that comes in pieces. A secret may lie across them, so they are cleaned as one stream, and what is not
/// settled yet waits for the next piece.
#[derive(Debug)]
struct OpenMessage {
    role: Role,
    cleaner: Cleaner,
}

impl Spool {
    /// Opens the spool in an attempt's folder.
    pub(super) fn open(dir: &Path, cap: u64, redactor: Redactor) -> io::Result<Self> {
        let open = |name| Capped::open(dir.join(name), cap);
        Ok(Self {
            dir: dir.to_owned(),
            raw: open("stdout.raw")?,
            stderr: open("stderr.raw")?,
            errors: open(ERRORS)?,
            events: open(EVENTS)?,
            counter: Counter::default(),
            piece: usize::try_from(cap / 64).unwrap_or(PIECE).clamp(256, PIECE),
            seq: 0,
            redactor,
            open: None,
            cleaner: None,
            redacted: RefCell::default(),
        })
    }

    /// Keeps bytes of the brain's stdout.
    pub(super) fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.write(bytes)
    }

    /// Keeps bytes of the brain's stderr.
    pub(super) fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stderr.write(bytes)?;
        let cleaner = self.cleaner.get_or_insert_with(|| Cleaner::new(&self.redactor));
        let text = cleaner.push(bytes);
        self.errors.write(text.as_bytes())
    }

    /// Keeps an event, without terminal commands and secrets. A piece of a message is kept once it is settled.
    pub(super) fn event(&mut self, event: Event) -> io::Result<()> {
        let Event::Message {
            role,
            text,
            delta: true,
        } = event
        else {
            self.settle()?;
            return self.keep(event);
        };
        if self.open.as_ref().is_some_and(|open| open.role != role) {
            self.settle()?;
        }
        let open = self.open.get_or_insert_with(|| OpenMessage {
            role,
            cleaner: Cleaner::new(&self.redactor),
        });
        let text = open.cleaner.push(text.as_bytes());
        self.piece(role, text)
    }

    /// Keeps what is still held back of both streams: nothing continues them any more.
    pub(super) fn settle_all(&mut self) -> io::Result<()> {
        if let Some(cleaner) = self.cleaner.take() {
            let (text, counts) = cleaner.finish();
            self.count(counts);
            self.errors.write(text.as_bytes())?;
        }
        self.settle()
    }

    /// Keeps what is still held back of a message in pieces: nothing continues it any more.
    fn settle(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let (text, counts) = open.cleaner.finish();
        self.count(counts);
        self.piece(open.role, text)
    }

    /// `text` is clean. Much of it is kept as several events: the cut of a long stream lies between two.
    fn piece(&mut self, role: Role, text: String) -> io::Result<()> {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let most = rest.floor_char_boundary(self.piece);
            let end = rest[..most].rfind('\n').filter(|_| most < rest.len());
            let (text, after) = rest.split_at(end.map_or(most, |end| end + 1));
            let (text, delta) = (text.to_owned(), true);
            self.write(Event::Message { role, text, delta }, false)?;
            rest = after;
        }
        Ok(())
    }

    fn keep(&mut self, event: Event) -> io::Result<()> {
        self.write(event, true)
    }

    fn write(&mut self, event: Event, clean: bool) -> io::Result<()> {
        self.seq += 1;
        let mut record = Record {
            seq: Some(self.seq),
            time: jiff::Timestamp::now().as_millisecond(),
            event,
        };
        let mut line = if clean {
            let mut value = serde_json::to_value(&record)?;
            self.clean_value(&mut value);
            let line = serde_json::to_vec(&value)?;
            // What is not an event any more, since a word of its own is a secret, stays in its line alone.
            record.event =
                serde_json::from_value(value).map_or_else(|_| Event::unknown(b""), |it: Record| it.event);
            line
        } else {
            serde_json::to_vec(&record)?
        };
        line.push(b'\n');
        self.events.write(&line)?;
        self.counter.count(&record, self.events.written(), &self.dir);
        Ok(())
    }

    /// How many secrets of which kind were taken out of what is kept.
    pub(super) fn redacted(&self) -> BTreeMap<String, u64> {
        self.redacted.borrow().clone()
    }

    /// How far the transcript has come.
    pub(super) fn position(&self) -> Position {
        Position {
            events: self.seq,
            bytes: self.events.written(),
        }
    }

    /// A name without the secrets in it.
    pub(super) fn redacted_name(&self, name: &str) -> String {
        let (name, counts) = self.redactor.redact(name);
        self.count(counts);
        name.into_owned()
    }

    /// Text that is safe to keep and to show.
    pub(super) fn clean(&self, bytes: &[u8]) -> String {
        self.clean_whole(bytes).0
    }

    fn clean_whole(&self, bytes: &[u8]) -> (String, BTreeMap<String, u64>) {
        let mut cleaner = Cleaner::new(&self.redactor);
        let mut text = cleaner.push(bytes);
        let (rest, counts) = cleaner.finish();
        text.push_str(&rest);
        (text, counts)
    }

    fn clean_counted(&self, bytes: &[u8]) -> String {
        let (text, counts) = self.clean_whole(bytes);
        self.count(counts);
        text
    }

    fn count(&self, more: BTreeMap<String, u64>) {
        let mut redacted = self.redacted.borrow_mut();
        for (name, count) in more {
            *redacted.entry(name).or_default() += count;
        }
    }

    fn clean_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.clean_counted(text.as_bytes()),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.clean_value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The transcript so far, for the ledger.
    pub(super) fn transcript(&self) -> io::Result<Vec<u8>> {
        self.events.read(&cut_line()?)
    }

    /// What the brain wrote to stderr, safe to keep.
    pub(super) fn errors(&self) -> io::Result<Vec<u8>> {
        self.errors.read(CUT.as_bytes())
    }

    /// The attempt's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The file by which a brain's start is told: a line with the tier, and one with the session, where it is known.
const BEGUN: &str = "begun";

/// Writes down, durably, that a brain is about to be started.
pub(super) fn begin(dir: &Path, tier: &str, session: Option<&str>) -> io::Result<()> {
    let text = format!("{tier}\n{}\n", session.unwrap_or_default());
    let path = dir.join(BEGUN);
    replace_durably(&path, text.as_bytes()).tried("write", &path)
}

/// Takes that back: it could not be started.
pub(super) fn never_begun(dir: &Path) -> io::Result<()> {
    let path = dir.join(BEGUN);
    fs::remove_file(&path).tried("remove", &path)
}

/// The tier in which an attempt's brain was started, if it was, and its session, if that was known before.
pub(super) fn begun(dir: &Path) -> Option<(String, Option<String>)> {
    let text = fs::read_to_string(dir.join(BEGUN)).ok()?;
    let mut lines = text.lines().filter(|line| !line.is_empty()).map(str::to_owned);
    Some((lines.next()?, lines.next()))
}

/// The transcript so far of an attempt under way or of one that died; a line that was not finished is left out.
///
/// # Errors
/// If it cannot be read.
pub fn transcript_of(dir: &Path) -> io::Result<Vec<u8>> {
    left_in(&dir.join(EVENTS), &cut_line()?)
}

/// What a dead runner's brain had written to stderr, clean; a line that was not finished is left out.
pub(super) fn errors_of(dir: &Path) -> io::Result<Vec<u8>> {
    left_in(&dir.join(ERRORS), CUT.as_bytes())
}

fn left_in(path: &Path, cut: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = capped::read(path, cut)?;
    let end = all.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    all.truncate(end);
    Ok(all)
}

/// The line of a transcript where something is left out.
fn cut_line() -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Record {
        seq: None,
        time: jiff::Timestamp::now().as_millisecond(),
        event: Event::unknown(CUT.as_bytes()),
    })?)
}

/// Makes an attempt's folder, private to the user.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.tried("make the folder", dir)
}
