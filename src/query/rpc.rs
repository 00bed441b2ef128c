//! A daemon as a source of answers: the one of this site, or one elsewhere whose connection comes through a tunnel.

use std::{cell::RefCell, time::Duration};

use serde_json::{Value, json};

use super::{Query, QueryError, Source};
use crate::{
    daemon::{Code, DaemonError, Line, PATIENCE, RpcError},
    task::{FORMAT, explain},
};

/// A site that its daemon tells of.
#[derive(Debug)]
pub struct Rpc(RefCell<Line>);

/// An answer that cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// An earlier build.
    #[error("the daemon is older than this git-khlone: it has no method `{0}`")]
    Older(&'static str),
    /// A later build.
    #[error(
        "the daemon is newer than this git-khlone: it answers in format {0}, and {FORMAT} is the newest known here"
    )]
    Newer(u64),
}

explain! {
    Unusable {
        Refused {
            Older => "git khlone daemon stop    # there; the next command starts the one that is installed",
            Newer => "git khlone --version    # here and there; the older one is to be updated",
        }
    }
}

impl Rpc {
    /// The site at the other end of `line`.
    pub fn new(line: Line) -> Self {
        Self(RefCell::new(line))
    }

    /// The answer to a question that waits at most `wait`; `None` if no daemon answers just now.
    pub fn call<Q: Query>(&self, query: &Q, wait: Duration) -> Option<Result<Q::Answer, QueryError>> {
        let answer = self
            .0
            .borrow_mut()
            .call::<Value>(Q::METHOD, &json!(query), wait)?;
        Some(read::<Q>(answer))
    }
}

fn read<Q: Query>(answer: Result<Value, RpcError>) -> Result<Q::Answer, QueryError> {
    let document = match answer {
        Err(error) if error.code == Code::Method.number() => return Err(Unusable::Older(Q::METHOD).into()),
        other => other?,
    };
    match document["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => Err(Unusable::Newer(format).into()),
        _ => Ok(serde_json::from_value(document).map_err(DaemonError::from)?),
    }
}

impl Source for Rpc {
    fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, QueryError> {
        match self.call(query, PATIENCE) {
            Some(answer) => answer,
            None => Err(DaemonError::NotRunning.into()),
        }
    }
}
