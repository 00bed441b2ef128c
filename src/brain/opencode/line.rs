//! The shape of a line of opencode's stream, as far as it is read.

use serde::Deserialize;

use super::super::text::{Input, Text, lenient};

/// One line.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) timestamp: Option<i64>,
    #[serde(borrow, default, rename = "sessionID")]
    pub(super) session: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) part: Option<Part<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(borrow, default)]
    pub(super) tool: Text<'a>,
    #[serde(borrow, default, rename = "callID")]
    pub(super) call: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) state: Option<State<'a>>,
    #[serde(borrow, default)]
    pub(super) reason: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) tokens: Option<Tokens>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) cost: Option<f64>,
}

/// How a tool call ended.
#[derive(Deserialize)]
pub(super) struct State<'a> {
    #[serde(borrow, default)]
    pub(super) status: Text<'a>,
    #[serde(default)]
    pub(super) input: Input,
    #[serde(borrow, default)]
    pub(super) output: Text<'a>,
    #[serde(borrow, default)]
    pub(super) error: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) exit: Option<i64>,
}

/// One step's; `input` is without what came from the cache, `output` without reasoning.
#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) input: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) output: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) reasoning: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) cache: Option<Cache>,
}

#[derive(Deserialize)]
pub(super) struct Cache {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) read: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) write: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Failure<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) data: Option<FailureData<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FailureData<'a> {
    #[serde(borrow, default)]
    pub(super) message: Text<'a>,
    #[serde(rename = "statusCode", default, deserialize_with = "lenient")]
    pub(super) status: Option<u16>,
    #[serde(borrow, default, rename = "responseBody")]
    pub(super) body: Text<'a>,
    #[serde(borrow, rename = "responseHeaders", default, deserialize_with = "lenient")]
    pub(super) headers: Option<Headers<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Headers<'a> {
    #[serde(borrow, default, rename = "retry-after")]
    pub(super) retry_after: Text<'a>,
}
