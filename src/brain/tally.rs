//! Counts the events of one run into a verdict; the same for every brain.

use std::time::Instant;

use super::{
    event::{Event, Role, Trouble},
    model::{Session, Total, Verdict},
    reset::ends,
    text::{self, ANSWER, OUTPUT},
};
use crate::{
    refs::now,
    task::{Usage, sane_until},
};

/// How many of its last stderr lines speak for a brain that failed without a word.
const LAST_WORDS: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    asked: Session,
    pub(super) own_id: bool,
    pub(super) verdict: Verdict,
    pub(super) hopeless: Option<Trouble>,
    /// It has given its result.
    pub(super) ended: bool,
    /// Since when it has only been trying to reach its provider, and what it says of it.
    pub(super) struggle: Option<(Instant, String)>,
    /// How many tools have done what they were asked to.
    worked: u64,
    last_words: Vec<String>,
    /// The last event was a piece of a message, so the next piece continues it.
    open_message: bool,
}

impl Tally {
    pub(super) fn new(session: &Session) -> Self {
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
            struggle: None,
            worked: 0,
            last_words: Vec::new(),
            open_message: false,
        }
    }

    pub(super) fn said(&mut self, line: &str) {
        let line = line.trim();
        if is_telling(line) {
            if self.last_words.len() == LAST_WORDS {
                self.last_words.remove(0);
            }
            self.last_words.push(text::clip(line, 500));
        }
    }

    pub(super) fn count(&mut self, event: &Event) {
        if event.gets_on() {
            (self.verdict.at_limit, self.struggle, self.ended) = (false, None, false);
        }
        let v = &mut self.verdict;
        let mut open_message = false;
        match event {
            Event::Session { id, model, .. } => {
                v.model = model.clone().or(v.model.take());
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
                let room = ANSWER.saturating_sub(v.answer.len());
                if room > 0 {
                    v.answer.push_str(&text::clip(text, room));
                }
                open_message = *delta;
            }
            Event::Message { .. } | Event::Thinking { .. } | Event::Unknown { .. } => {}
            Event::ToolCall { tool, input, .. } => {
                v.calls += 1;
                v.last_denied = false;
                if asks(tool) && !input.is_empty() {
                    v.question = Some(input.clone());
                }
            }
            Event::ToolResult { ok, tool, .. } => {
                if *ok {
                    if asks(tool) {
                        v.question = None;
                    }
                    v.last_denied = false;
                    self.worked += 1;
                }
            }
            // There is nobody to answer in a run of ours: that is a question and no refusal.
            Event::Permission { tool, .. } if asks(tool) => {}
            Event::Permission {
                id, granted, reason, ..
            } => {
                // Of one that names no call nobody knows when it was: it comes by another way than the calls.
                let overtaken = id.is_empty() && self.worked > 0;
                v.last_denied = !(*granted || overtaken);
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
                v.limited_until = end(*until, message).or(v.limited_until);
            }
            Event::Error {
                kind,
                message,
                fatal,
                until,
            } => self.went_wrong((*kind, *fatal), message, *until),
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

    fn went_wrong(&mut self, (kind, fatal): (Trouble, bool), message: &str, until: Option<i64>) {
        let v = &mut self.verdict;
        if kind == Trouble::Limit {
            v.limited_until = end(until, message).or(v.limited_until);
        }
        if fatal {
            self.hopeless.get_or_insert(kind);
            v.auth_failed |= kind == Trouble::Auth;
            v.no_credit |= kind == Trouble::Credit;
            v.limited |= kind == Trouble::Limit;
            v.full |= kind == Trouble::Full;
            v.offline |= kind == Trouble::Network;
            v.lost_session |= kind == Trouble::Session;
            v.result = Some(false);
        }
        if kind == Trouble::Network && !fatal {
            let since = self.struggle.take().map_or_else(Instant::now, |(since, _)| since);
            self.struggle = Some((since, message.to_owned()));
        } else if kind != Trouble::Warning {
            note(&mut v.reasons, message);
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        if verdict.result == Some(true) {
            return verdict;
        }
        if let Some((_, message)) = &self.struggle {
            note(&mut verdict.reasons, message);
        }
        if verdict.reasons.is_empty() {
            verdict.reasons.clone_from(&self.last_words);
        }
        verdict
    }
}

/// Whether a tool asks the user, by the brains' own names.
fn asks(tool: &str) -> bool {
    ["AskUserQuestion", "request_user_input", "question", "ask_user"].contains(&tool)
}

/// Whether a line of stderr can be a reason: neither the rest of a stack trace nor a warning.
fn is_telling(line: &str) -> bool {
    let words = line.chars().filter(|c| c.is_alphabetic()).count() > 2;
    let warns = line
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("warn"));
    let ages = line.contains("is deprecated");
    words && !warns && !ages && !line.starts_with("at ")
}

/// When a limit ends, by the number or by the words in which it is told.
fn end(until: Option<i64>, message: &str) -> Option<i64> {
    until
        .and_then(|until| sane_until(until, now()))
        .or_else(|| ends(message))
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
