//! What an error means to the caller: its class, which is also the exit code, and the next step.

/// The class of a result, one to one with the process exit code.
///
/// The table is part of the interface (`git khlone --help`, `docs/errors.md`); JSON-RPC codes map onto it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// The work was tried and failed.
    Failed = 1,
    /// The words of the command are wrong.
    Usage = 2,
    /// The named thing does not exist.
    NotFound = 3,
    /// Not now or not so: a limit, missing trust, a busy clone, a dirty tree, a conflict.
    Refused = 4,
    /// The brain is missing, signed out or broken.
    Brain = 5,
    /// Cancelled by someone.
    Cancelled = 6,
    /// A time limit ran out.
    Timeout = 7,
    /// A bug of git-khlone.
    Bug = 70,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl Class {
    /// Every class, by exit code.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Refused,
        Self::Brain,
        Self::Cancelled,
        Self::Timeout,
        Self::Bug,
        Self::Interrupted,
    ];

    /// What it tells the caller, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Failed => "The work was tried and failed.",
            Self::Usage => "The words of the command, or a config file, are wrong.",
            Self::NotFound => "The named thing does not exist.",
            Self::Refused => {
                "Not now or not so: a limit, missing trust, a busy clone, a dirty tree, a conflict."
            }
            Self::Brain => "The brain is missing, not signed in, or broken.",
            Self::Cancelled => "Someone cancelled the task.",
            Self::Timeout => "A time limit ran out.",
            Self::Bug => "A bug of git-khlone.",
            Self::Interrupted => "Interrupted from the keyboard.",
        }
    }

    /// The process exit code.
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

/// How an error explains itself at the edge. Every error type of the crate implements it next to its
/// definition, so that no list of all errors exists anywhere.
pub trait Explain: std::error::Error {
    /// Which exit code it ends in.
    fn class(&self) -> Class;

    /// The next step: one command to paste or one short sentence, without a trailing full stop.
    fn hint(&self) -> Option<String> {
        None
    }
}
