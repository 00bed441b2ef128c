//! The shape of a line of Codex's stream, as far as it is read.

use serde::Deserialize;

use super::super::text::{Text, lenient};

/// One line.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) thread_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) message: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) item: Option<Item<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) usage: Option<Tokens>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Failure<'a> {
    #[serde(borrow, default)]
    pub(super) message: Text<'a>,
}

/// Something that the model did.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(borrow, default)]
    pub(super) message: Text<'a>,
    #[serde(borrow, default)]
    pub(super) command: Text<'a>,
    #[serde(borrow, default)]
    pub(super) aggregated_output: Text<'a>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) exit_code: Option<i64>,
    #[serde(borrow, default)]
    pub(super) status: Text<'a>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(super) changes: Vec<Changed<'a>>,
    #[serde(borrow, default)]
    pub(super) server: Text<'a>,
    #[serde(borrow, default)]
    pub(super) tool: Text<'a>,
    #[serde(borrow, default)]
    pub(super) query: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct Changed<'a> {
    #[serde(borrow, default)]
    pub(super) path: Text<'a>,
}

/// Counted over the whole thread; cached tokens are part of the input.
#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(rename = "input_tokens", default, deserialize_with = "lenient")]
    pub(super) input: Option<u64>,
    #[serde(rename = "cached_input_tokens", default, deserialize_with = "lenient")]
    pub(super) cached: Option<u64>,
    #[serde(rename = "output_tokens", default, deserialize_with = "lenient")]
    pub(super) output: Option<u64>,
}
