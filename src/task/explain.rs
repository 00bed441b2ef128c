//! What an error means to the caller: its class, which is also the exit code, and the next step.

/// The class of a result, one to one with the process exit code.
///
/// The table is part of the interface (`git khlone --help`, `docs/errors.md`); JSON-RPC codes map onto it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// The process exit code.
    pub fn exit_code(self) -> u8 {
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
