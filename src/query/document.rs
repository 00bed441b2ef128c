//! What every answer in JSON has: the version of the form it stands in.

use schemars::JsonSchema;
use serde::Serialize;

use crate::task::FORMAT;

/// An answer as it is printed with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document<T> {
    /// Version of the document; it grows when a field changes its meaning or goes.
    format: u32,
    /// The answer.
    #[serde(flatten)]
    answer: T,
}

impl<T> Document<T> {
    /// The document with this answer.
    pub fn of(answer: T) -> Self {
        Self {
            format: FORMAT,
            answer,
        }
    }
}
