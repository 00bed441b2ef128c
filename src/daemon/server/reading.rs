//! How questions about the site are answered: by whom, and how many at once over all connections.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::daemon::{MAX_ANSWER, RpcError};

/// Answers a method about the site with this common folder, by a document that is written already; `None` if there is no
/// such method.
pub type Answers = fn(&Path, &str, Value) -> Option<Result<String, RpcError>>;

/// Questions that are answered at once; further ones wait for their turn.
const READERS: usize = 2;
/// Kibibytes of answers that wait to be sent: as many as four of the longest have.
const ROOM: usize = 4 * MAX_ANSWER / 1024;
/// How questions are answered.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) answers: Answers,
    pub(super) common: PathBuf,
    pub(super) readers: Arc<Semaphore>,
    pub(super) room: Arc<Semaphore>,
}

impl Reading {
    /// About the site at `common`.
    pub(crate) fn new(answers: Answers, common: &Path) -> Self {
        Self {
            answers,
            common: common.to_owned(),
            readers: Arc::new(Semaphore::new(READERS)),
            room: Arc::new(Semaphore::new(ROOM)),
        }
    }
}

/// A result that is written already, with the room that it takes.
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) room: OwnedSemaphorePermit,
}
