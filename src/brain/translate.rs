//! From bytes to events to a verdict.
//!
//! A [`Translator`] takes stdout and stderr in chunks of any size, cuts them into lines, lets the brain's
//! dialect say what each means, and counts along. It never fails: what cannot be read is an `unknown` event.
//! Memory is bounded: a line counts up to [`LINE`] bytes, an answer up to a megabyte. Text that is no protocol is handed
//! on in the pieces that it comes in, so that an event is not made of each line of a build's output.

use super::{
    contract::{Dialect, Session, Total, Verdict},
    event::{Event, Role, Trouble},
    reset::reset,
    text::{self, ANSWER, OUTPUT},
};
use crate::{refs::now, task::Usage};

/// The longest line that is looked at; the rest of a longer one is dropped here, not in the raw log.
pub const LINE: usize = 10 << 20;
/// How many of its last stderr lines speak for a brain that failed without a word.
const LAST_WORDS: usize = 3;

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
        }
    }

    /// A brain that takes the id of a new session from us must also keep to it.
    pub(super) fn with_own_id(mut self) -> Self {
        self.tally.own_id = true;
        self
    }

    /// Takes some bytes of stdout; gives the events of the lines that they complete.
    pub fn stdout(&mut self, bytes: &[u8]) -> Vec<Event> {
        let (dialect, mut events) = (&mut self.dialect, Vec::new());
        if dialect.is_text() {
            self.text.feed(bytes, |piece| dialect.line(piece, &mut events));
        } else {
            self.stdout
                .feed(bytes, |line| translate(dialect.as_mut(), line, &mut events));
        }
        self.count(events)
    }

    /// Takes one line of stdout.
    pub fn line(&mut self, line: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        translate(self.dialect.as_mut(), line, &mut events);
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
            self.text.end(|piece| dialect.line(piece, &mut events));
            self.count(events)
        } else {
            self.stdout(b"\n")
        };
        events.extend(self.stderr(b"\n"));
        let mut last = Vec::new();
        self.dialect.end(code, &mut last);
        events.extend(self.count(last));
        events
    }

    /// What it has come to so far.
    pub fn verdict(&self) -> Verdict {
        self.tally.verdict()
    }

    /// Why there is no point in waiting for this brain any longer, if there is none: it would only go on trying.
    /// The runner ends it then. One that has given its result is about to end by itself.
    pub fn hopeless(&self) -> Option<Trouble> {
        self.tally.hopeless.filter(|_| !self.tally.ended)
    }

    fn count(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        for event in &mut events {
            self.open.join(event);
            self.tally.count(event);
        }
        events
    }
}

fn translate(dialect: &mut dyn Dialect, line: &[u8], events: &mut Vec<Event>) {
    let line = &line[..line.len().min(LINE)];
    if line.trim_ascii().is_empty() {
        return;
    }
    let before = events.len();
    dialect.line(line, events);
    if events.len() == before {
        events.push(Event::unknown(line));
    }
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
struct OpenCalls(Vec<(String, String, Vec<String>)>);

impl OpenCalls {
    fn join(&mut self, event: &mut Event) {
        match event {
            Event::ToolCall { id, tool, paths, .. } => {
                if self.0.len() == OPEN_CALLS {
                    self.0.remove(0);
                }
                self.0.push((id.clone(), tool.clone(), paths.clone()));
            }
            Event::Permission { id, tool, .. } if tool.is_empty() => {
                if let Some((_, name, _)) = self.0.iter().find(|(open, ..)| open == id) {
                    tool.clone_from(name);
                }
            }
            Event::ToolResult { id, tool, paths, .. } => {
                if let Some(at) = self.0.iter().position(|(open, ..)| open == id) {
                    let (_, name, named) = self.0.swap_remove(at);
                    if tool.is_empty() {
                        *tool = name;
                    }
                    if paths.is_empty() {
                        *paths = named;
                    }
                }
            }
            _ => {}
        }
    }
}

/// Counts events into a verdict; the same for every brain.
#[derive(Debug)]
struct Tally {
    asked: Session,
    own_id: bool,
    verdict: Verdict,
    hopeless: Option<Trouble>,
    /// It has given its result.
    ended: bool,
    last_words: Vec<String>,
    /// The last event was a piece of a message, so the next piece continues it.
    open_message: bool,
}

impl Tally {
    fn new(session: &Session) -> Self {
        let mut verdict = Verdict::default();
        if let Session::Resume { before, .. } = session {
            verdict.total = before.clone();
        }
        Self {
            asked: session.clone(),
            own_id: false,
            verdict,
            hopeless: None,
            ended: false,
            last_words: Vec::new(),
            open_message: false,
        }
    }

    fn said(&mut self, line: &str) {
        let line = line.trim();
        if !line.is_empty() {
            if self.last_words.len() == LAST_WORDS {
                self.last_words.remove(0);
            }
            self.last_words.push(text::clip(line, 500));
        }
    }

    fn count(&mut self, event: &Event) {
        let v = &mut self.verdict;
        let mut open_message = false;
        match event {
            Event::Session { id, .. } => {
                // A resumed session must be the one asked for; most give a new one an id of their own.
                let held = self.own_id || matches!(self.asked, Session::Resume { .. });
                if held && self.asked.id() != id {
                    v.wrong_session = true;
                    v.total = Total::default();
                }
                v.session = Some(id.clone());
            }
            Event::Message {
                role: Role::Assistant,
                text,
                delta,
            } => {
                if !(*delta && self.open_message) {
                    v.answer.clear();
                }
                v.at_limit = false;
                let room = ANSWER.saturating_sub(v.answer.len());
                if room > 0 {
                    v.answer.push_str(&text::clip(text, room));
                }
                open_message = *delta;
            }
            Event::Message { .. } | Event::Thinking { .. } | Event::Unknown { .. } => {}
            Event::ToolCall { .. } => {
                v.at_limit = false;
                v.last_denied = false;
            }
            Event::ToolResult { ok, .. } => {
                v.at_limit = false;
                if *ok {
                    v.last_denied = false;
                }
            }
            Event::Permission { granted, reason, .. } => {
                v.last_denied = !granted;
                if !granted {
                    v.denials += 1;
                    note(&mut v.reasons, &format!("refused: {reason}"));
                }
            }
            Event::Usage {
                input,
                output,
                cached,
                cost,
            } => {
                let step = Usage {
                    input: *input,
                    output: *output,
                    cached: *cached,
                };
                add(v.usage.get_or_insert_default(), &step);
                add(&mut v.total.usage, &step);
                v.cost = sum(v.cost, *cost);
                v.total.cost = sum(v.total.cost, *cost);
            }
            Event::RateLimit { message, until } => {
                v.at_limit = true;
                v.limited_until = until.or_else(|| reset(message, now())).or(v.limited_until);
            }
            Event::Error {
                kind,
                message,
                fatal,
                until,
            } => {
                let said = || reset(message, now()).filter(|_| *kind == Trouble::Limit);
                v.limited_until = until.or_else(said).or(v.limited_until);
                if *fatal {
                    self.hopeless.get_or_insert(*kind);
                    v.auth_failed |= *kind == Trouble::Auth;
                    v.limited |= *kind == Trouble::Limit;
                    v.lost_session |= *kind == Trouble::Session;
                    v.result = Some(false);
                }
                if *kind != Trouble::Warning {
                    note(&mut v.reasons, message);
                }
            }
            Event::Result { ok, text, reason } => {
                self.ended = true;
                v.result = Some(*ok && v.result != Some(false));
                if let Some(text) = text {
                    v.answer = text::clip(text, ANSWER);
                }
                if !ok && v.reasons.is_empty() {
                    note(&mut v.reasons, reason);
                }
            }
        }
        self.open_message = open_message;
    }

    fn verdict(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        if verdict.result != Some(true) && verdict.reasons.is_empty() {
            verdict.reasons.clone_from(&self.last_words);
        }
        verdict
    }
}

/// Adds a reason, once, up to a handful.
fn note(reasons: &mut Vec<String>, reason: &str) {
    let reason = text::clip(reason.trim(), OUTPUT);
    if !reason.is_empty() && reasons.len() < 8 && !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

fn add(to: &mut Usage, step: &Usage) {
    let plus = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    to.input = plus(to.input, step.input);
    to.output = plus(to.output, step.output);
    to.cached = plus(to.cached, step.cached);
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
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
