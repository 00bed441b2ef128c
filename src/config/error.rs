//! What can be wrong with a config file, told with its place and the word that was probably meant.

use std::path::PathBuf;

use super::words::nearest;
use crate::task::explain;

/// What the parser calls things, and what people do.
const PLAIN_WORDS: [(&str, &str); 8] = [
    ("unknown variant", "unknown value"),
    ("invalid type: ", "found "),
    ("invalid value: ", "found "),
    ("struct Config", "keys with values"),
    ("a sequence", "a list"),
    ("sequence", "a list"),
    ("a map", "keys with values"),
    ("a nonzero u32", "a number from 1"),
];

/// A config file that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A key that does not exist there.
    #[error("{at}: unknown key `{key}`{}{}", within(.section), suggestion(.nearest.as_deref(), .known))]
    UnknownKey {
        /// File, line and column.
        at: Box<At>,
        /// The key.
        key: String,
        /// The mapping that it stands in; empty at the top.
        section: String,
        /// The key that was probably meant.
        nearest: Option<String>,
        /// The keys that exist there.
        known: Vec<String>,
    },
    /// A value that breaks its rule, or no YAML at all.
    #[error("{at}: {}{message}{}", in_key(.key), suggestion(.nearest.as_deref(), &[]))]
    Value {
        /// File, line and column.
        at: Box<At>,
        /// The key whose value it is; empty where none is known.
        key: String,
        /// What is wrong with it.
        message: String,
        /// The word that was probably meant.
        nearest: Option<String>,
    },
    /// A key that only the user's own file may set.
    #[error("{at}: `{key}` cannot be set by a repository")]
    UserOnly {
        /// File, line and column.
        at: Box<At>,
        /// The key.
        key: &'static str,
    },
    /// Too large to be a config file.
    #[error("{}: {size} bytes are too many for a config file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: usize,
    },
}

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

explain! {
    ConfigError {
        Usage {
            UserOnly { key, .. } =>
                format!("git khlone config --path    # {key} belongs into that file, your own"),
            UnknownKey | Value => "git khlone config --schema",
            TooLarge,
        }
    }
}

fn within(section: &str) -> String {
    if section.is_empty() {
        String::new()
    } else {
        format!(" in {section}")
    }
}

fn in_key(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    }
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(word) => format!("; did you mean `{word}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known: {}", known.join(", ")),
    }
}

/// Turns the parser's message (`path: text at line L column C`) into an error with parts.
pub(super) fn explain(at: At, text: &str) -> ConfigError {
    let (line, column) = (at.line, at.column);
    let at = Box::new(at);
    let text = text.replacen(&format!(" at line {line} column {column}"), "", 1);
    let (key, message) = match text.split_once(": ") {
        Some((key, message)) if !key.contains(' ') => (key, message),
        _ => ("", text.as_str()),
    };
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (word, known) = words
        .split_first()
        .map_or(("", [].as_slice()), |(word, known)| (*word, known));
    let nearest = nearest(word, known.iter().copied()).map(str::to_owned);
    if message.starts_with("unknown field") {
        return ConfigError::UnknownKey {
            at,
            key: word.to_owned(),
            section: key.to_owned(),
            nearest,
            known: known.iter().map(ToString::to_string).collect(),
        };
    }
    let message = PLAIN_WORDS
        .iter()
        .fold(message.to_owned(), |text, (jargon, plain)| {
            text.replace(jargon, plain)
        });
    ConfigError::Value {
        at,
        key: key.to_owned(),
        message,
        nearest,
    }
}
