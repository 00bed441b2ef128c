//! Why a question has no answer: any error of the crate that can explain itself, by whichever source.

use std::{fmt, io};

use crate::task::{Explain, explain};

/// A question without an answer.
pub struct QueryError(Box<dyn Explain + Send>);

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Explain + Send + 'static> From<E> for QueryError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<git2::Error> for QueryError {
    fn from(error: git2::Error) -> Self {
        Self::from(Unread::Git(error))
    }
}

impl From<QueryError> for Box<dyn Explain> {
    fn from(error: QueryError) -> Self {
        error.0
    }
}

/// What only reading can run into.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// Nothing there yet.
    #[error("{message}")]
    Nothing { message: String, hint: String },
    /// A file.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// git failed.
    #[error("git: {0}")]
    Git(git2::Error),
}

explain! {
    Unread {
        NotFound { Nothing { hint, .. } => hint.clone() }
        Failed { Io, Git }
    }
}

/// There is nothing to answer with yet; `hint` is how to make some.
pub fn nothing(message: impl Into<String>, hint: impl Into<String>) -> QueryError {
    QueryError::from(Unread::Nothing {
        message: message.into(),
        hint: hint.into(),
    })
}

/// `what` cannot be read.
pub(super) fn unread(what: impl Into<String>, source: io::Error) -> QueryError {
    QueryError::from(Unread::Io {
        what: what.into(),
        source,
    })
}
