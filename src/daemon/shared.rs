//! What the engine and the connections share, all on one thread.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::{
    Greeting, RpcError,
    events::changes::Stood,
    life::place::Record,
    schedule::{
        keeper::Keeper,
        plan::{Known, find},
        settings::Limits,
    },
    server::reading::Reading,
};
use crate::task::{CloneName, TaskId, ZoneId};

/// The tasks as the last look at the ledger found them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) tasks: Vec<Arc<Known>>,
    /// Tasks that a runner holds.
    pub(crate) held: Vec<TaskId>,
    /// What kept the last look from succeeding.
    pub(crate) problem: Option<String>,
}

impl Table {
    pub(crate) fn task(&self, id: &TaskId) -> Option<&Known> {
        find(&self.tasks, id).map(AsRef::as_ref)
    }
}

/// The daemon's common state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) record: Record,
    pub(crate) keeper: Keeper,
    pub(crate) table: watch::Sender<Arc<Table>>,
    /// What the refs stood at in the last look.
    pub(crate) seen: watch::Sender<Option<Stood>>,
    pub(crate) reading: Reading,
    /// Asks the engine for a look at the ledger.
    pub(crate) wake: Notify,
    /// Whether the daemon is on its way out.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) connections: Cell<usize>,
    /// How many use a daemon that leaves with the last of them.
    pub(crate) attendants: Option<Cell<usize>>,
    /// When something was last asked of it.
    pub(crate) active: Cell<tokio::time::Instant>,
    /// Requests answered so far.
    pub(crate) requests: Cell<u64>,
    /// The site's folder of attempts.
    pub(crate) attempts: PathBuf,
    pub(crate) limits: Cell<Limits>,
    /// How many wait for events of each clone.
    pub(crate) watchers: RefCell<HashMap<(ZoneId, CloneName), usize>>,
    pub(crate) started: tokio::time::Instant,
    /// What keeps the daemon from parts of its work, by the part.
    pub(crate) troubles: RefCell<BTreeMap<Part, String>>,
}

/// A part of the daemon's work that may be kept from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Hearing callers.
    Callers,
    /// Starting runners.
    Runners,
}

/// What a daemon says of itself: the answer to `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(inline)]
pub struct DaemonStatus {
    /// Who it is.
    #[serde(flatten)]
    pub greeting: Greeting,
    /// Seconds since it started.
    pub uptime: u64,
    /// Open connections, the asker's among them.
    pub connections: usize,
    /// Requests so far.
    pub requests: u64,
    /// Tasks that wait for their turn.
    pub queued: usize,
    /// Tasks that wait for a limit.
    pub parked: usize,
    /// Tasks that a runner holds.
    pub running: Vec<TaskId>,
    /// What keeps it from its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Shared {
    /// Notes that someone uses the daemon, which puts its idle exit off.
    pub(crate) fn touch(&self) {
        self.active.set(tokio::time::Instant::now());
    }

    /// The task as the ledger has it now.
    pub(crate) async fn find(&self, task: &TaskId) -> Result<Known, RpcError> {
        let id = task.clone();
        self.keeper.with(move |store| store.find(&id)).await?
    }

    /// Takes note of what keeps `part` from going on, or that nothing does; gives whether that is news.
    pub(crate) fn trouble(&self, part: Part, with: Option<String>) -> bool {
        let mut troubles = self.troubles.borrow_mut();
        if troubles.get(&part) == with.as_ref() {
            return false;
        }
        match with {
            Some(with) => drop(troubles.insert(part, with)),
            None => drop(troubles.remove(&part)),
        }
        true
    }

    /// What keeps the daemon from its work, in one line.
    pub(crate) fn problem(&self) -> Option<String> {
        let mut all: Vec<String> = self.table.borrow().problem.iter().cloned().collect();
        all.extend(self.troubles.borrow().values().cloned());
        (!all.is_empty()).then(|| all.join("; "))
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

    /// Whether somebody uses a daemon that leaves with its last user.
    pub(crate) fn is_attended(&self) -> bool {
        self.attendants.as_ref().is_some_and(|count| count.get() > 0)
    }
}

/// A user of a daemon that leaves with the last of them.
pub(crate) struct Attendant(Rc<Shared>);

impl Attendant {
    /// One more; `None` where the daemon stays anyway.
    pub(crate) fn of(shared: &Rc<Shared>) -> Option<Self> {
        let count = shared.attendants.as_ref()?;
        count.set(count.get() + 1);
        Some(Self(Rc::clone(shared)))
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let Some(count) = &self.0.attendants else { return };
        count.set(count.get().saturating_sub(1));
        if count.get() == 0 {
            tracing::info!("nobody uses it any more, leaving");
            self.0.stop();
        }
    }
}
