//! The one error type of the command line: any error of the crate that can explain itself.

use std::{ffi::OsString, io, process::ExitCode};

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    process::is_shortage,
    query::QueryError,
    render::Out,
    task::{AddressError, Explain, explain},
    zone::nearest,
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

impl From<QueryError> for CmdError {
    fn from(error: QueryError) -> Self {
        Self(error.into())
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

explain! {
    CliError {
        Usage { Usage { hint, .. } => hint.clone() }
        NotFound { Nothing { hint, .. } => hint.clone() }
        Refused { Refused { hint, .. } => hint.clone() }
        Failed { Io, Git, Closed }
    }
}

impl CliError {
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A command line that cannot be read, in the words of clap's own message: what is wrong, what was perhaps meant,
    /// and where it stands how the verb is used.
    pub(super) fn misused(error: &clap::Error, command: &Command, args: &[OsString]) -> Self {
        let (mut verb, within) = verb_of(command, args);
        let shown = within.get_subcommands().filter(|verb| !verb.is_hide_set());
        let mut names = shown.map(|verb| verb.get_name().to_owned());
        let lacks_verb = matches!(
            error.kind(),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
        );
        let message = if lacks_verb {
            let names: Vec<_> = names.filter(|name| name != "help").collect();
            format!("{verb} needs one of its verbs: {}", names.join(", "))
        } else {
            if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
                let near = nearest(word, names.by_ref()).into_iter().next();
                verb.extend(near.map(|near| format!(" {near}")));
            }
            let text = error.to_string();
            let parts = text.split("\n\n").map(str::trim).enumerate();
            let told = parts.filter_map(|(n, part)| match n {
                0 => Some(part.trim_start_matches("error: ")),
                _ => part.strip_prefix("tip: "),
            });
            let told = told.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
            told.collect::<Vec<_>>().join("; ")
        };
        Self::usage(
            message,
            format!("git khlone help{}", verb.trim_start_matches("git khlone")),
        )
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

/// The verb on a command line, as far as there is one, and what clap knows of it.
fn verb_of<'a>(command: &'a Command, args: &[OsString]) -> (String, &'a Command) {
    let (mut verb, mut within) = ("git khlone".to_owned(), command);
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        if arg == "-C" {
            args.next();
        } else if !arg.as_encoded_bytes().starts_with(b"-") {
            let Some(next) = within.find_subcommand(arg) else {
                break;
            };
            verb.push_str(&format!(" {}", next.get_name()));
            within = next;
        }
    }
    (verb, within)
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
