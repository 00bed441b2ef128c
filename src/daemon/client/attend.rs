//! A daemon that no process may outlive: it is there for as long as a command that uses it.
//!
//! What keeps it is a connection of that command, which the kernel closes with it, however it ends. Several commands may
//! use one such daemon; it leaves with the last, and ends first what it has started.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;

use super::{Client, PATIENCE, ask::wait_for_end};
use crate::daemon::{Code, DaemonError, Place};

/// How long it may take to end what it has started: brains are given their grace.
const LEAVE: Duration = Duration::from_secs(60);

/// The connection of this process that keeps such a daemon.
#[derive(Debug, Clone, Default)]
pub struct Attendance(Arc<Mutex<Option<Client>>>);

impl Attendance {
    /// Keeps the daemon that runs at `place`. One that stays anyway needs nobody.
    pub(crate) fn keep(&self, place: &Place) -> Result<(), DaemonError> {
        let mut client = Client::connect(place)?;
        let is_attended = match client.call("attend", &json!({}), PATIENCE) {
            // Of an earlier version.
            Err(DaemonError::Rpc(error)) if error.code == Code::Method.number() => false,
            other => other?,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(client).filter(|_| is_attended);
        Ok(())
    }

    /// Whether this process keeps one: it and what it runs end without it.
    pub fn is_keeping(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets go of the daemon, and waits until it has left if nobody else uses it.
    ///
    /// # Errors
    /// [`DaemonError::Silent`] if it does not leave.
    pub fn end(&self, place: &Place) -> Result<(), DaemonError> {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut client) = client else {
            return Ok(());
        };
        let pid = client.pid();
        let leaves = match client.call("leave", &json!({}), PATIENCE) {
            Ok(leaves) => leaves,
            // It is on its way, or dead.
            Err(DaemonError::HungUp | DaemonError::Rpc(_)) => true,
            Err(error) => return Err(error),
        };
        drop(client);
        if leaves {
            wait_for_end(place, pid, LEAVE)?;
        }
        Ok(())
    }
}
