//! The thread that keeps the ledger: every read and write of git happens there, one after the other.
//!
//! A job that has been handed over is done, whether or not the asker still waits: a dropped request completes or
//! never began.

use std::{
    sync::mpsc::{Sender, channel},
    thread,
};

use tokio::sync::oneshot;

use super::store::Store;
use crate::daemon::{Code, DaemonError, RpcError};

type Job = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// A handle on the thread. The thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Keeper(Sender<Job>);

impl Keeper {
    /// Starts the thread; `open` runs on it.
    pub(crate) fn start(
        open: impl FnOnce() -> Result<Box<dyn Store>, DaemonError> + Send + 'static,
    ) -> Result<Self, DaemonError> {
        let (jobs, queue) = channel::<Job>();
        let (opened, outcome) = channel();
        let keep = move || {
            let mut store = match open() {
                Ok(store) => {
                    drop(opened.send(Ok(())));
                    store
                }
                Err(error) => return drop(opened.send(Err(error))),
            };
            while let Ok(job) = queue.recv() {
                job(store.as_mut());
            }
        };
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(keep);
        drop(thread.map_err(|source| DaemonError::io("ledger thread".as_ref(), source))?);
        outcome.recv().map_err(|_| DaemonError::HungUp)??;
        Ok(Self(jobs))
    }

    /// Does `job` on the thread and gives what it gave.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let gone = |()| RpcError::new(Code::Internal, "the ledger's thread is gone");
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |store| drop(done.send(job(store))));
        self.0.send(job).map_err(|_| gone(()))?;
        result.await.map_err(|_| gone(()))
    }
}
