//! Why a question has no answer: any error of the crate that can explain itself, by whichever source.

use std::{error::Error, fmt, io};

use crate::{
    daemon::{Code, RpcError},
    refs::LedgerError,
    task::{Explain, explain},
    zone::ResolveError,
};

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

impl QueryError {
    /// The error that it is on the wire.
    pub(super) fn to_rpc(&self) -> RpcError {
        let (class, hint) = self.0.explain();
        let source: &dyn Error = &*self.0;
        let is_missing = |of: Option<&LedgerError>| matches!(of, Some(LedgerError::NoTask(_)));
        let code = match source.downcast_ref::<ResolveError>() {
            Some(ResolveError::NoBranch { .. }) => Code::ZoneNotFound,
            Some(ResolveError::NoClone { .. }) => Code::CloneNotFound,
            _ if is_missing(source.downcast_ref()) => Code::TaskNotFound,
            _ => Code::of_class(class),
        };
        let mut rpc = RpcError::new(code, self.to_string());
        rpc.data.hint = hint;
        rpc
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
