//! Questions about the site: what the verbs that read tell, as the very documents that they print.
//!
//! Each is answered on a thread of its own, from a repository that is opened for it, so that neither the one thread of
//! all connections nor the ledger's waits for a long log or a diff. What is being read and what waits to be sent is
//! bounded over all connections.

use std::{rc::Rc, sync::Arc};

use tokio::task::spawn_blocking;

use super::{
    methods::{Reply, brief},
    reading::{Reading, Written},
};
use crate::daemon::{Code, MAX_ANSWER, RpcError, protocol::Call, shared::Shared};

/// What the names of these methods begin with.
const PREFIX: &str = "query.";
/// What a response has around its result.
const AROUND: usize = 4096;

/// Whether `method` is a question.
pub(super) fn is_one(method: &str) -> bool {
    method.starts_with(PREFIX)
}

/// Has a question answered.
pub(super) async fn query(shared: Rc<Shared>, call: Call) -> Reply {
    match brief(answer(shared, call)).await {
        Ok(written) => Reply::Written(written),
        Err(error) => Reply::Whole(Err(error)),
    }
}

async fn answer(shared: Rc<Shared>, call: Call) -> Result<Written, RpcError> {
    let Reading {
        answers,
        common,
        readers,
        room,
    } = &shared.reading;
    let (answers, common) = (*answers, common.clone());
    let gone = || RpcError::new(Code::Internal, "the reading thread is gone");
    let reader = Arc::clone(readers).acquire_owned().await.map_err(|_| gone())?;
    // Its place is kept also where its caller does not wait any more: it reads on.
    let read = spawn_blocking(move || {
        let unknown = || {
            let message = format!("there is no method `{}`", call.method);
            Err(RpcError::new(Code::Method, message))
        };
        let answer = answers(&common, &call.method, call.params).unwrap_or_else(unknown);
        (answer, reader)
    });
    let (text, _reader) = read.await.map_err(|_| gone())?;
    let text = text?;
    if text.len() + AROUND > MAX_ANSWER {
        let message = format!(
            "the answer has {} bytes, and at most {MAX_ANSWER} are sent",
            text.len()
        );
        return Err(RpcError::new(Code::Refused, message));
    }
    let size = u32::try_from(text.len() / 1024 + 1).unwrap_or(u32::MAX);
    let room = Arc::clone(room)
        .acquire_many_owned(size)
        .await
        .map_err(|_| gone())?;
    Ok(Written { text, room })
}
