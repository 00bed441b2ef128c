//! What adapters, their contract and the translation of what they print speak of.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::task::Usage;

/// Looks up a variable of the user's environment.
pub type Vars<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Whether somebody is signed in, as far as files and variables tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    /// There is a key or a login.
    Yes,
    /// There is none, and no place left where one could be.
    No,
    /// It cannot be told from here.
    Unknown,
}

/// The session a brain is to work in.
#[derive(Debug, Clone, PartialEq)]
pub enum Session {
    /// A new one; brains that take an id get this one, which must be a UUID.
    New(String),
    /// The one with this id goes on.
    Resume {
        /// The id.
        id: String,
        /// What the brain had counted for it before this run: [`Verdict::total`] of the run before.
        before: Total,
    },
}

impl Session {
    /// The id that was asked for.
    pub fn id(&self) -> &str {
        match self {
            Self::New(id) | Self::Resume { id, .. } => id,
        }
    }
}

/// What a brain has counted for a whole session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// Tokens.
    #[serde(default)]
    pub usage: Usage,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// What a run came to, as far as the brain itself says; the fields are those of `task::Evidence`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent observation"
)]
pub struct Verdict {
    /// Its own verdict: good, bad, none.
    pub result: Option<bool>,
    /// Not signed in, or the key is refused.
    pub auth_failed: bool,
    /// The account has no money left.
    pub no_credit: bool,
    /// The session has no room left for more.
    pub full: bool,
    /// The provider could not be reached, or broke off, to the end.
    pub offline: bool,
    /// It ended on a limit.
    pub limited: bool,
    /// It has come to a limit and done nothing since: it waits for that to pass.
    pub at_limit: bool,
    /// When the limit ends, seconds since the epoch.
    pub limited_until: Option<i64>,
    /// The session that it worked in.
    pub session: Option<String>,
    /// That is not the one asked for.
    pub wrong_session: bool,
    /// The session asked for is not there any more; a new one would do.
    pub lost_session: bool,
    /// Tokens of this run.
    pub usage: Option<Usage>,
    /// US dollars of this run.
    pub cost: Option<f64>,
    /// What the brain has counted for the whole session, to be given back on the next resume.
    pub total: Total,
    /// Refused tool calls.
    pub denials: u32,
    /// The last tool call was refused.
    pub last_denied: bool,
    /// Tools that it called.
    pub calls: u64,
    /// Tool calls of which no end was told: what they run.
    pub open: Vec<String>,
    /// Lines that look like JSON and cannot be read.
    pub unread: u64,
    /// The model that it says it works with.
    pub model: Option<String>,
    /// What it asked the user by a tool for that, where nobody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Its last message.
    pub answer: String,
    /// In words, what speaks against success.
    pub reasons: Vec<String>,
}

/// The part of a [`Translator`](super::Translator) that knows one brain's words.
pub(super) trait Dialect: Send {
    /// One line of stdout, without its end: what it means; false where it is none of this brain's lines. A line that is
    /// not blank and gives no event is told as it is. Of a [text](Self::is_text), a piece of it, as it stands.
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> bool;

    /// Whether its stdout is text for the reader, and not a line for each thing that happens.
    fn is_text(&self) -> bool {
        false
    }

    /// One line of stderr. Most say nothing that stdout does not.
    fn stderr(&mut self, _line: &str, _events: &mut Vec<Event>) {}

    /// What it has written [aside](super::Launch::aside).
    fn aside(&mut self, _text: &str, _events: &mut Vec<Event>) {}

    /// The process has ended by itself with `code`, or by a signal.
    fn end(&mut self, _code: Option<i32>, _events: &mut Vec<Event>) {}
}
