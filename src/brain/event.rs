//! Canonical events: what any brain does, in one vocabulary.
//!
//! A transcript is one flat JSON object a line: a [`Record`], that is an [`Event`] with its time and number.
//! `schema/event.json` is generated from these types. Readers must ignore fields that they do not know; a line
//! that an adapter does not understand becomes [`Event::Unknown`], so nothing that a brain says is ever lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Position in the attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was seen, milliseconds since the epoch.
    pub time: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened, told by its `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The brain names the session that it works in.
    Session {
        /// The session's id.
        id: String,
        /// The model it works with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// The brain's version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Text for the reader.
    Message {
        /// Who says it.
        #[serde(default, skip_serializing_if = "Role::is_assistant")]
        role: Role,
        /// What it says.
        text: String,
        /// A piece that continues the message event right before it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delta: bool,
    },
    /// Text the model wrote for itself.
    Thinking {
        /// What it thinks.
        text: String,
    },
    /// A tool is about to run, or runs.
    ToolCall {
        /// Joins it with its result.
        id: String,
        /// The brain's own name of the tool.
        tool: String,
        /// Files that it names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// The command or the main argument, shortened.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        input: String,
    },
    /// A tool has ended.
    ToolResult {
        /// Joins it with its call.
        id: String,
        /// The brain's own name of the tool, where it says so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        tool: String,
        /// Whether it did what it was asked to.
        ok: bool,
        /// The exit code of a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i64>,
        /// Files that it touched.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// What it gave back, shortened.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// The brain's own rules let a tool run, or refused it.
    Permission {
        /// The tool call, where known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        id: String,
        /// The tool, where known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        tool: String,
        /// Whether it may run.
        granted: bool,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Tokens and cost of a step or of the run; each event adds to those before.
    Usage {
        /// Fresh input tokens, cached ones not counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<u64>,
        /// Output tokens, reasoning included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<u64>,
        /// Input tokens read from a cache.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cached: Option<u64>,
        /// US dollars, as the brain counts them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<f64>,
    },
    /// The provider asks for patience; the brain tries again by itself.
    RateLimit {
        /// What it says.
        message: String,
        /// When it may go on, seconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// Something went wrong.
    Error {
        /// What sort of thing.
        kind: Trouble,
        /// What the brain says of it.
        message: String,
        /// The brain cannot recover; waiting for it is in vain.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fatal: bool,
        /// When a limit ends, seconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// The brain says that it is through.
    Result {
        /// Whether it says that all went well.
        ok: bool,
        /// Its last word, where it differs from the last message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Why it ended.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A line that means nothing to the adapter.
    Unknown {
        /// The line, cut where it is very long.
        raw: String,
    },
}

/// Who says a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model.
    #[default]
    Assistant,
    /// Whoever wrote the prompt.
    User,
    /// git-khlone itself: what it ran before the brain.
    System,
}

impl Role {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde asks for"
    )]
    fn is_assistant(&self) -> bool {
        *self == Self::Assistant
    }
}

/// What sort of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Not signed in, or the key is refused.
    Auth,
    /// The account has no money left: it waits for a person, not for a time.
    Credit,
    /// A rate or usage limit.
    Limit,
    /// The session has no room left for more.
    Full,
    /// The provider cannot be reached or breaks off.
    Network,
    /// The session asked for is not there, or is another one.
    Session,
    /// The brain's own settings are wrong.
    Config,
    /// A warning: the brain goes on.
    Warning,
    /// Anything else.
    Other,
}

impl Event {
    /// A whole message of the model.
    pub(super) fn message(text: impl Into<String>) -> Self {
        Self::Message {
            role: Role::Assistant,
            text: text.into(),
            delta: false,
        }
    }

    /// Whether the brain gets on by it: no limit and no network holds it up.
    pub(super) fn gets_on(&self) -> bool {
        match self {
            Self::Message { role, .. } => *role == Role::Assistant,
            Self::Thinking { .. } | Self::ToolCall { .. } | Self::ToolResult { .. } => true,
            Self::Session { .. }
            | Self::Permission { .. }
            | Self::Usage { .. }
            | Self::RateLimit { .. }
            | Self::Error { .. }
            | Self::Result { .. }
            | Self::Unknown { .. } => false,
        }
    }

    /// A line that means nothing to the adapter.
    pub fn unknown(line: &[u8]) -> Self {
        Self::Unknown {
            raw: super::text::clip(&String::from_utf8_lossy(line), super::text::RAW),
        }
    }

    /// An error that the brain may get over.
    pub(super) fn error(kind: Trouble, message: impl Into<String>) -> Self {
        Self::Error {
            kind,
            message: message.into(),
            fatal: false,
            until: None,
        }
    }

    /// An error that the brain will not get over.
    pub(super) fn fatal(kind: Trouble, message: impl Into<String>) -> Self {
        Self::Error {
            kind,
            message: message.into(),
            fatal: true,
            until: None,
        }
    }
}

/// The JSON Schema of [`Record`], as in `schema/event.json`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Record).to_value()
}
