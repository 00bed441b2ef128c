//! Brains: the AI coding CLIs that do the work, behind one contract.
//!
//! Nothing outside this folder knows a vendor's words. One file an adapter; [`contract`] says what each
//! promises, [`event`] is the vocabulary that all of them are translated into.

mod claude;
mod clock;
mod codex;
mod contract;
mod event;
mod figures;
mod gemini;
mod model;
mod opencode;
mod preflight;
mod provider;
mod reset;
mod shell;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod translate;
mod trouble;

pub use contract::{Account, Brain, Capabilities, Job, Launch, Mount, Permissions, Stdin, ToolStart};
pub use event::{Event, Record, Role, Trouble, schema};
pub use figures::{Figures, HeldUp};
pub use model::{Session, SignedIn, Total, Vars, Verdict};
pub use preflight::{Preflight, Readiness, State};
pub use provider::Provider;
pub use translate::{LINE, Translator};

use std::path::PathBuf;

use crate::task::{BrainName, explain};

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
    #[error("there is no brain `{name}`; known are {}", known())]
    Unknown {
        /// The name given.
        name: String,
    },
    /// Its program is not there.
    #[error("{name} is not installed; install it, or run a shell script with --who @shell")]
    Missing {
        /// Its name.
        name: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// Nobody is signed in.
    #[error("{name} is installed, but nobody is signed in")]
    SignedOut {
        /// Its name.
        name: &'static str,
        /// The command that signs in.
        login: &'static str,
    },
    /// Its program does not run.
    #[error("{name} is installed, but {} does not run", .path.display())]
    Broken {
        /// Its name.
        name: &'static str,
        /// Its program.
        path: PathBuf,
    },
    /// Its program starts another, which the sandbox does not show.
    #[error("{name}: {} does not run in the sandbox: {said}", .program.display())]
    Hidden {
        /// Its name.
        name: &'static str,
        /// Its program.
        program: PathBuf,
        /// What would have to be shown, as far as that is known.
        add: Option<PathBuf>,
        /// Where that is said.
        config: PathBuf,
        /// What it says.
        said: String,
    },
    /// No coding CLI at all.
    #[error(
        "no coding CLI is installed; git khlone works with {}, and with @shell, whose prompts are scripts",
        installable()
    )]
    None,
}

explain! {
    BrainError {
        NotFound {
            Unknown { name } => match nearest(name) {
                Some(near) => format!("git khlone list brains    # did you mean @{near}?"),
                None => "git khlone list brains".to_owned(),
            },
        }
        Brain {
            Missing { install, .. } => *install,
            SignedOut { login, .. } => *login,
            Broken { path, .. } => format!("{} --version", path.display()),
            Hidden { add, config, .. } => {
                let folder = add
                    .as_deref()
                    .map_or("FOLDER".into(), |folder| folder.to_string_lossy());
                format!(
                    "git khlone config --path    # readable: [{folder}] in {}",
                    config.display()
                )
            },
            None => format!(
                "npm install -g @anthropic-ai/claude-code    # or another one: git khlone list brains; now: {TRIAL}"
            ),
        }
    }
}

/// A task that needs no coding CLI.
pub const TRIAL: &str = "git khlone act --who @shell --await 'printf hello > greeting.txt'";

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

fn installable() -> String {
    let outside = all().filter(|brain| brain.account().program.is_some());
    outside.map(Brain::name).collect::<Vec<_>>().join(", ")
}

fn nearest(name: &str) -> Option<&'static str> {
    let close = |known: &&str| strsim::damerau_levenshtein(known, name) <= 2;
    all()
        .map(Brain::name)
        .filter(close)
        .min_by_key(|known| strsim::damerau_levenshtein(known, name))
}
