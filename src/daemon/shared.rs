//! What the engine and the connections share, all on one thread.

use std::{cell::Cell, sync::Arc};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::{Greeting, keeper::Keeper, place::Record, plan::Known};
use crate::task::TaskId;

/// The tasks as the last look at the ledger found them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) tasks: Vec<Known>,
    /// Tasks that a runner holds.
    pub(crate) held: Vec<TaskId>,
    /// What kept the last look from succeeding.
    pub(crate) problem: Option<String>,
}

impl Table {
    pub(crate) fn task(&self, id: &TaskId) -> Option<&Known> {
        self.tasks.iter().find(|known| known.id == *id)
    }
}

/// The daemon's common state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) record: Record,
    pub(crate) keeper: Keeper,
    pub(crate) table: watch::Sender<Arc<Table>>,
    /// Asks the engine for a look at the ledger.
    pub(crate) wake: Notify,
    /// Whether the daemon is on its way out.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) connections: Cell<usize>,
    /// When something was last asked of it.
    pub(crate) active: Cell<tokio::time::Instant>,
    /// Requests answered so far.
    pub(crate) requests: Cell<u64>,
    pub(crate) started: tokio::time::Instant,
}

/// The answer to `status`.
#[derive(Debug, Serialize)]
pub(crate) struct StatusAnswer {
    #[serde(flatten)]
    pub(crate) greeting: Greeting,
    /// Seconds since the daemon started, on the boot clock.
    pub(crate) uptime: u64,
    pub(crate) connections: usize,
    pub(crate) requests: u64,
    pub(crate) queued: usize,
    pub(crate) parked: usize,
    pub(crate) running: Vec<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl Shared {
    /// Notes that someone uses the daemon, which puts its idle exit off.
    pub(crate) fn touch(&self) {
        self.active.set(tokio::time::Instant::now());
    }

    /// Whole seconds since the start.
    pub(crate) fn uptime(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub(crate) fn greeting(&self) -> Greeting {
        Greeting {
            protocol: super::PROTOCOL,
            version: self.record.version.clone(),
            pid: self.record.process.pid,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }
}
