//! `checkpoint.json`: how far a run had come at one moment, beside the snapshot of its files.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `attempts/<n>/checkpoints/<k>/checkpoint.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of the document.
    pub format: u32,
    /// Its number in the attempt, from 1.
    pub k: u32,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// How far the transcript had come.
    pub transcript: Position,
    /// The brain's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The branch that HEAD stood on, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that HEAD stood on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The snapshot's tree.
    pub tree: String,
    /// Digest of all refs but our own.
    pub refs: String,
    /// Tools that had begun and not ended: what they do may be half done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<OpenTool>,
    /// How many tools had ended.
    pub ended: u64,
    /// The last of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ToolEnd>,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A place in a transcript.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Events before it.
    pub events: u64,
    /// Bytes before it, as written.
    pub bytes: u64,
}

/// A tool call without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTool {
    /// The call's id.
    pub id: String,
    /// The brain's name of the tool.
    pub tool: String,
    /// Hash of its input, by which the same call is known again.
    pub input: String,
    /// Files that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// A tool call with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolEnd {
    /// The call's id.
    pub id: String,
    /// The brain's name of the tool.
    pub tool: String,
    /// Whether it did what it was asked to.
    pub ok: bool,
    /// The exit code of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i64>,
}
