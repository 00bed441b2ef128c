//! From bytes to events to a verdict.
//!
//! A [`Translator`] takes stdout and stderr in chunks of any size, cuts them into lines, lets the brain's
//! dialect say what each means, and counts along. It never fails: what cannot be read is an `unknown` event.
//! Memory is bounded: a line counts up to [`LINE`] bytes, an answer up to a megabyte. Text that is no protocol is handed
//! on in the pieces that it comes in, so that an event is not made of each line of a build's output.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::OFlags;

use super::{
    event::{Event, Trouble},
    model::{Dialect, Session, Total, Verdict},
    tally::Tally,
    text::{self, INPUT},
};

/// The longest line that is looked at; the rest of a longer one is dropped here, not in the raw log.
pub const LINE: usize = 10 << 20;
/// So much of what it writes aside is looked at, from its end.
const ASIDE: u64 = 8 << 20;
/// How many tool calls may be open at once before the oldest is forgotten.
const OPEN_CALLS: usize = 256;

/// Reads what one run of a brain prints.
pub struct Translator {
    dialect: Box<dyn Dialect>,
    text: Text,
    stdout: Lines,
    stderr: Lines,
    open: OpenCalls,
    tally: Tally,
    /// Where the brain works; paths below are told from there.
    folder: Option<PathBuf>,
    /// Where it says more than in its streams.
    aside: Option<PathBuf>,
}

impl std::fmt::Debug for Translator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translator")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

impl Translator {
    pub(super) fn new(dialect: impl Dialect + 'static, session: &Session) -> Self {
        Self {
            dialect: Box::new(dialect),
            text: Text::default(),
            stdout: Lines::default(),
            stderr: Lines::default(),
            open: OpenCalls::default(),
            tally: Tally::new(session),
            folder: None,
            aside: None,
        }
    }

    /// Tells paths from the folder that the brain works in: some brains name them in full.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Reads what the brain writes there, once it has ended.
    #[must_use]
    pub fn beside(mut self, aside: Option<PathBuf>) -> Self {
        // What an earlier run left says nothing of this one.
        if let Some(file) = &aside {
            drop(fs::remove_file(file));
        }
        self.aside = aside;
        self
    }

    /// A brain that takes the id of a new session from us must also keep to it.
    pub(super) fn with_own_id(mut self) -> Self {
        self.tally.own_id = true;
        self
    }

    /// Takes some bytes of stdout; gives the events of the lines that they complete.
    pub fn stdout(&mut self, bytes: &[u8]) -> Vec<Event> {
        let (dialect, mut events, mut unread) = (&mut self.dialect, Vec::new(), 0);
        if dialect.is_text() {
            self.text.feed(bytes, |piece| {
                dialect.line(piece, &mut events);
            });
        } else {
            self.stdout.feed(bytes, |line| {
                unread += translate(dialect.as_mut(), line, &mut events)
            });
        }
        self.tally.verdict.unread += unread;
        self.count(events)
    }

    /// Takes one line of stdout.
    pub fn line(&mut self, line: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        self.tally.verdict.unread += translate(self.dialect.as_mut(), line, &mut events);
        self.count(events)
    }

    /// Takes some bytes of stderr; most lines give no event.
    pub fn stderr(&mut self, bytes: &[u8]) -> Vec<Event> {
        let (dialect, tally, mut events) = (&mut self.dialect, &mut self.tally, Vec::new());
        self.stderr.feed(bytes, |line| {
            let line = String::from_utf8_lossy(line);
            tally.said(&line);
            dialect.stderr(&line, &mut events);
        });
        self.count(events)
    }

    /// The brain has ended: with `code`, or by a signal. Gives the last events; [`Translator::verdict`] is final
    /// after it.
    pub fn finish(&mut self, code: Option<i32>) -> Vec<Event> {
        let mut events = if self.dialect.is_text() {
            let (dialect, mut events) = (&mut self.dialect, Vec::new());
            self.text.end(|piece| {
                dialect.line(piece, &mut events);
            });
            self.count(events)
        } else {
            self.stdout(b"\n")
        };
        events.extend(self.stderr(b"\n"));
        let mut last = Vec::new();
        if let Some(text) = self.aside.take().as_deref().and_then(tail) {
            self.dialect.aside(&text, &mut last);
        }
        self.dialect.end(code, &mut last);
        events.extend(self.count(last));
        events
    }

    /// What it has come to so far.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            open: self.open.names(),
            ..self.tally.verdict()
        }
    }

    /// For how long it has only been trying to reach its provider; `None` where it gets on.
    pub fn struggles(&self) -> Option<Duration> {
        let (since, _) = self.tally.struggle.as_ref().filter(|_| !self.tally.ended)?;
        Some(since.elapsed())
    }

    /// Why there is no point in waiting for this brain any longer, if there is none: it would only go on trying.
    /// The runner ends it then. One that has given its result is about to end by itself.
    pub fn hopeless(&self) -> Option<Trouble> {
        self.tally.hopeless.filter(|_| !self.tally.ended)
    }

    fn count(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        for event in &mut events {
            if let Some(folder) = &self.folder {
                shorten(event, folder);
            }
            self.open.join(event);
            self.tally.count(event);
        }
        events
    }
}

/// The end of a file of the brain's, which goes with that.
fn tail(path: &Path) -> Option<String> {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed() | OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .ok()?;
    drop(fs::remove_file(path));
    let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
    file.seek(SeekFrom::Start(meta.len().saturating_sub(ASIDE)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(ASIDE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn shorten(event: &mut Event, folder: &Path) {
    let (Event::ToolCall { paths, .. } | Event::ToolResult { paths, .. }) = event else {
        return;
    };
    for path in paths {
        let below = Path::new(path).strip_prefix(folder).ok();
        if let Some(below) = below.and_then(Path::to_str).filter(|below| !below.is_empty()) {
            *path = below.to_owned();
        }
    }
}

/// Translates a line; 1 where it looks like one of the brain's and cannot be read.
fn translate(dialect: &mut dyn Dialect, line: &[u8], events: &mut Vec<Event>) -> u64 {
    let line = &line[..line.len().min(LINE)];
    if line.trim_ascii().is_empty() {
        return 0;
    }
    let before = events.len();
    let read = dialect.line(line, events);
    if events.len() == before {
        events.push(Event::unknown(line));
    }
    u64::from(!read && line.trim_ascii().starts_with(b"{"))
}

/// A text in pieces of whole characters.
#[derive(Default)]
struct Text {
    /// The beginning of a character.
    open: Vec<u8>,
    /// The last line has no end yet.
    unended: bool,
}

impl Text {
    fn feed(&mut self, bytes: &[u8], each: impl FnOnce(&[u8])) {
        let all = [self.open.as_slice(), bytes].concat();
        let last = all.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        let is_open = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
        let (piece, open) = all.split_at(all.len() - if is_open { last.len() } else { 0 });
        self.open = open.to_vec();
        if let Some(last) = piece.last() {
            self.unended = *last != b'\n';
            each(piece);
        }
    }

    /// What is left of it; the last line gets its end.
    fn end(&mut self, each: impl FnOnce(&[u8])) {
        let mut rest = std::mem::take(&mut self.open);
        if std::mem::take(&mut self.unended) || !rest.is_empty() {
            rest.push(b'\n');
            each(&rest);
        }
    }
}

/// Cuts a stream into lines of at most [`LINE`] bytes.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..at], &rest[at + 1..]);
            if self.open.is_empty() {
                each(&line[..line.len().min(LINE)]);
            } else {
                self.keep(line);
                each(&self.open);
                self.open.clear();
            }
            rest = after;
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Tool calls without a result yet: several brains name the tool only in the call.
#[derive(Default)]
struct OpenCalls(Vec<Call>);

struct Call {
    id: String,
    tool: String,
    paths: Vec<String>,
    input: String,
}

impl OpenCalls {
    /// What they run.
    fn names(&self) -> Vec<String> {
        let name = |call: &Call| match (call.input.as_str(), call.paths.first()) {
            ("", Some(path)) => format!("{} {path}", call.tool),
            ("", None) => call.tool.clone(),
            (input, _) => text::clip(input, INPUT),
        };
        self.0.iter().map(name).collect()
    }

    fn join(&mut self, event: &mut Event) {
        match event {
            Event::ToolCall {
                id,
                tool,
                paths,
                input,
            } => {
                if self.0.len() == OPEN_CALLS {
                    self.0.remove(0);
                }
                self.0.push(Call {
                    id: id.clone(),
                    tool: tool.clone(),
                    paths: paths.clone(),
                    input: input.clone(),
                });
            }
            Event::Permission { id, tool, .. } if tool.is_empty() => {
                if let Some(call) = self.0.iter().find(|call| call.id == *id) {
                    tool.clone_from(&call.tool);
                }
            }
            Event::ToolResult { id, tool, paths, .. } => {
                if let Some(at) = self.0.iter().position(|call| call.id == *id) {
                    let call = self.0.remove(at);
                    if tool.is_empty() {
                        *tool = call.tool;
                    }
                    if paths.is_empty() {
                        *paths = call.paths;
                    }
                }
            }
            _ => {}
        }
    }
}

/// What is new in a count that only grows: `now` less `before`, or all of `now` where it began anew.
pub(super) fn grown(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    now.map(|now| now.checked_sub(before.unwrap_or(0)).unwrap_or(now))
}

/// What a session had counted before this run.
pub(super) fn before(session: &Session) -> Total {
    match session {
        Session::New(_) => Total::default(),
        Session::Resume { before, .. } => before.clone(),
    }
}
