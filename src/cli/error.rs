//! The one error type of the command line: any error of the crate that can explain itself.

use std::{io, process::ExitCode};

use crate::{
    process::is_shortage,
    render::Out,
    task::{AddressError, Class, Explain},
};

/// An error on its way to the reader.
pub(crate) struct CmdError(Box<dyn Explain>);

impl std::fmt::Display for CmdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Explain + 'static> From<E> for CmdError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl CmdError {
    /// The command that helps, if one does.
    pub(super) fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// Whether the machine was short of something, or a child was killed.
    pub(super) fn is_shortage(&self) -> bool {
        is_shortage(&self.0.to_string())
    }

    /// Prints it and gives its exit code. A closed stdout is no error: whoever read it has seen enough.
    pub(super) fn report(&self, out: Out) -> ExitCode {
        if self.0.to_string() == CLOSED {
            return ExitCode::SUCCESS;
        }
        out.error(self.0.as_ref());
        ExitCode::from(self.0.class().exit_code())
    }
}

const CLOSED: &str = "stdout is closed";

/// What only the command line can get wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The words are wrong.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: String,
    },
    /// Nothing there yet.
    #[error("{message}")]
    Nothing {
        /// What is missing.
        message: String,
        /// How to make one.
        hint: String,
    },
    /// Not now or not so.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A file or stream of the user's.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// git failed.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The reader went away.
    #[error("{CLOSED}")]
    Closed,
}

impl Explain for CliError {
    fn class(&self) -> Class {
        match self {
            Self::Usage { .. } => Class::Usage,
            Self::Nothing { .. } => Class::NotFound,
            Self::Refused { .. } => Class::Refused,
            Self::Io { .. } | Self::Git(_) | Self::Closed => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Nothing { hint, .. } | Self::Refused { hint, .. } => {
                Some(hint.clone())
            }
            Self::Io { .. } | Self::Git(_) | Self::Closed => None,
        }
    }
}

impl CliError {
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A command line that cannot be read, in the words of clap's own message.
    pub(super) fn misused(error: &clap::Error) -> Self {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default();
        let message: Vec<_> = message.trim_start_matches("error: ").split_whitespace().collect();
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let verb: Vec<_> = usage
            .unwrap_or("git khlone")
            .split_whitespace()
            .take_while(|word| !word.starts_with(['<', '[', '-']))
            .collect();
        Self::usage(message.join(" "), format!("{} --help", verb.join(" ")))
    }

    pub(super) fn nothing(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Nothing {
            message: message.into(),
            hint: hint.into(),
        }
    }

    pub(super) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// The error of an address on the command line, which knows what was meant.
pub(super) fn misaddressed(error: &clap::Error) -> Option<CmdError> {
    let source = std::error::Error::source(error)?;
    let address = source.downcast_ref::<AddressError>()?;
    Some(CliError::usage(address.to_string(), address.hint().unwrap_or_default()).into())
}

/// Turns a failed write to stdout into its error.
pub(super) fn printed(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::Closed),
        other => other.map_err(|source| CliError::Io {
            what: "stdout".to_owned(),
            source,
        }),
    }
}
