//! The one table of JSON-RPC errors, each with its exit code. `docs/errors.md` is printed from it.

use serde::{Deserialize, Serialize};

use crate::task::{Class, Explain};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal, $class:ident;)+) => {
        /// Why a request was not done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The number in JSON-RPC.
            pub fn number(self) -> i32 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The word for it, in `data.reason`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The exit code class of a command that fails with it.
            pub fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)+ }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// The frame is no JSON, too long, or nested too deep.
    Parse = -32700, "parse", Usage;
    /// The frame is JSON but no request.
    InvalidRequest = -32600, "invalid-request", Usage;
    /// There is no such method.
    Method = -32601, "method", Usage;
    /// The method does not take these parameters.
    Params = -32602, "params", Usage;
    /// A bug of git-khlone.
    Internal = -32603, "internal", Bug;
    /// The work was tried and failed.
    Failed = -32000, "failed", Failed;
    /// The first message was no `hello` with the daemon's token.
    Unauthenticated = -32001, "unauthenticated", Refused;
    /// The two sides speak different versions of the protocol.
    Protocol = -32002, "protocol", Refused;
    /// No such task.
    TaskNotFound = -32010, "task-not-found", NotFound;
    /// No such zone.
    ZoneNotFound = -32011, "zone-not-found", NotFound;
    /// No such clone.
    CloneNotFound = -32012, "clone-not-found", NotFound;
    /// Something else that was named does not exist.
    NotFound = -32013, "not-found", NotFound;
    /// Not now or not so.
    Refused = -32020, "refused", Refused;
    /// The clone is busy.
    CloneBusy = -32021, "clone-busy", Refused;
    /// The clone's queue is full.
    QueueFull = -32022, "queue-full", Refused;
    /// The zone has as many clones as it may.
    MaxClones = -32023, "max-clones", Refused;
    /// The clone has as many watchers as it may.
    MaxWatchers = -32024, "max-watchers", Refused;
    /// The content was not trusted yet.
    Untrusted = -32025, "untrusted", Refused;
    /// The task's state does not allow it.
    IllegalMove = -32026, "illegal-move", Refused;
    /// A provider's rate or usage limit is in force.
    Limited = -32027, "limited", Refused;
    /// The daemon is on its way out; ask its successor.
    Stopping = -32028, "stopping", Refused;
    /// The brain is missing or broken.
    BrainUnavailable = -32030, "brain-unavailable", Brain;
    /// The brain is not signed in.
    BrainAuth = -32031, "brain-auth", Brain;
    /// Someone cancelled it.
    Cancelled = -32040, "cancelled", Cancelled;
    /// The time for it ran out.
    Timeout = -32041, "timeout", Timeout;
    /// Interrupted from the keyboard.
    Interrupted = -32042, "interrupted", Interrupted;
}

impl Code {
    /// The general code of a class, for errors that have none of their own.
    pub fn of_class(class: Class) -> Self {
        match class {
            Class::Failed => Self::Failed,
            Class::Usage => Self::Params,
            Class::NotFound => Self::NotFound,
            Class::Refused => Self::Refused,
            Class::Brain => Self::BrainUnavailable,
            Class::Cancelled => Self::Cancelled,
            Class::Timeout => Self::Timeout,
            Class::Bug => Self::Internal,
            Class::Interrupted => Self::Interrupted,
        }
    }

    fn of_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

/// The `error` member of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The number of its [`Code`].
    pub code: i32,
    /// One sentence.
    pub message: String,
    /// What a program or a person can go on with.
    #[serde(default)]
    pub data: RpcErrorData,
}

/// The `data` member of an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcErrorData {
    /// The word of its [`Code`].
    #[serde(default)]
    pub reason: String,
    /// The exit code of a command that ends with it.
    #[serde(default)]
    pub exit: u8,
    /// The next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl RpcError {
    /// An error of `code` that says `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let data = RpcErrorData {
            reason: code.word().to_owned(),
            exit: code.class().exit_code(),
            hint: None,
        };
        Self {
            code: code.number(),
            message: message.into(),
            data,
        }
    }

    /// The error that `error` is on the wire.
    pub fn of(error: &impl Explain) -> Self {
        Self::coded(error, Code::of_class(error.class()))
    }

    /// The same, with a code of its own.
    pub(crate) fn coded(error: &impl Explain, code: Code) -> Self {
        let mut rpc = Self::new(code, error.to_string());
        rpc.data.hint = error.hint();
        rpc
    }
}

impl Explain for RpcError {
    fn explain(&self) -> (Class, Option<String>) {
        let class = Code::of_number(self.code).map_or(Class::Failed, Code::class);
        (class, self.data.hint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_unique_and_classes_come_back() {
        for (at, code) in Code::ALL.iter().enumerate() {
            for other in &Code::ALL[at + 1..] {
                assert_ne!(code.number(), other.number());
                assert_ne!(code.word(), other.word());
            }
        }
        for class in Class::ALL {
            assert_eq!(Code::of_class(class).class(), class);
            assert_eq!(RpcError::new(Code::of_class(class), "x").class(), class);
        }
    }
}
