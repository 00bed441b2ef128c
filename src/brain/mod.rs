//! Brains: the AI coding CLIs that do the work, behind one contract.
//!
//! Nothing outside this folder knows a vendor's words. One file an adapter; [`contract`] says what each
//! promises, [`event`] is the vocabulary that all of them are translated into.

mod claude;
mod codex;
mod contract;
mod event;
mod gemini;
mod opencode;
mod shell;
#[cfg(test)]
mod tests;
mod text;
mod translate;

pub use contract::{
    Account, Brain, Capabilities, Job, Launch, Mount, Permissions, Session, Stdin, ToolStart, Total, Vars,
    Verdict,
};
pub use event::{Event, Record, Role, Trouble, schema};
pub use translate::{LINE, Translator};

use crate::task::{BrainName, Class, Explain};

/// Every brain, in the order in which a default is looked for; the last runs only when it is named.
static ALL: [&dyn Brain; 5] = [
    &claude::Claude,
    &codex::Codex,
    &opencode::Opencode,
    &gemini::Gemini,
    &shell::Shell,
];

/// A brain that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BrainError {
    /// No adapter has that name.
    #[error("there is no brain `{name}`; known: {}", known())]
    Unknown {
        /// The name given.
        name: String,
    },
}

impl Explain for BrainError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } => Class::NotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => Some(match nearest(name) {
                Some(near) => format!("did you mean @{near}?"),
                None => "git khlone list brains".to_owned(),
            }),
        }
    }
}

/// Every brain.
pub fn all() -> impl Iterator<Item = &'static dyn Brain> {
    ALL.iter().copied()
}

/// The brain with that name.
///
/// # Errors
/// [`BrainError::Unknown`].
pub fn find(name: &BrainName) -> Result<&'static dyn Brain, BrainError> {
    all()
        .find(|brain| brain.name() == name.as_str())
        .ok_or_else(|| BrainError::Unknown {
            name: name.to_string(),
        })
}

fn known() -> String {
    all().map(Brain::name).collect::<Vec<_>>().join(", ")
}

fn nearest(name: &str) -> Option<&'static str> {
    let close = |known: &&str| strsim::damerau_levenshtein(known, name) <= 2;
    all()
        .map(Brain::name)
        .filter(close)
        .min_by_key(|known| strsim::damerau_levenshtein(known, name))
}
