//! The daemon's view of the real ledger.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Code, RpcError,
    enqueue::{EnqueueParams, enqueue},
    plan::Known,
    settings::{InForce, Settings},
    store::{Step, Store},
};
use crate::{
    brain::{self, Provider},
    config::{HomeError, Paths},
    process::machine_id,
    refs::{Ledger, LedgerError, Repo, RepoError, Site, SiteError, TaskHead, Turn, sweep_locks},
    runner,
    task::{BrainName, Event, Explain, FORMAT, Status, Task, TaskId},
    zone::retention::{Keep, retain},
};

/// The locks of an attempt. A killed runner's own frees before its brain's last write; that of the attempt is
/// inherited by the sandbox and frees after it.
const LOCKS: [&str; 2] = ["runner.lock", "attempt.lock"];

/// Who writes, in a task's history.
const BY: &str = "daemon";

/// A repository and its site, open.
#[derive(Debug)]
pub(crate) struct LedgerStore {
    repo: Repo,
    site: Site,
    paths: Paths,
    settings: Settings,
    /// The accounts that brains use, as found at this look: finding out reads files.
    accounts: HashMap<(BrainName, Option<String>), Option<Provider>>,
}

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Repo(#[from] RepoError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl From<OpenError> for RpcError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Repo(error) => Self::of(&error),
            OpenError::Site(error) => Self::of(&error),
            OpenError::Home(error) => Self::of(&error),
        }
    }
}

impl From<LedgerError> for RpcError {
    fn from(error: LedgerError) -> Self {
        let mut rpc = Self::of(&error);
        let code = match error {
            LedgerError::NoTask(_) => Code::TaskNotFound,
            LedgerError::Illegal { .. } | LedgerError::Fenced { .. } => Code::IllegalMove,
            other => Code::of_class(other.class()),
        };
        rpc.code = code.number();
        code.word().clone_into(&mut rpc.data.reason);
        rpc
    }
}

impl LedgerStore {
    pub(crate) fn open(common: &Path, paths: &Paths) -> Result<Self, OpenError> {
        let repo = Repo::open(common)?;
        let site = Site::open(&repo, &machine_id())?;
        if let Err(error) = sweep_locks(repo.common_dir()) {
            tracing::warn!(%error, "locks that the dead left stay");
        }
        let settings = Settings::new(paths, repo.main_work_dir().as_deref());
        Ok(Self {
            repo,
            site,
            paths: paths.clone(),
            settings,
            accounts: HashMap::new(),
        })
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.repo, &self.site)
    }

    fn know(&mut self, head: TaskHead) -> Result<Known, LedgerError> {
        let ours = head.site_uuid == self.site.owner().site_uuid;
        if ours && !head.status.is_over() {
            let stored = self.ledger().task(&head.id)?;
            return Ok(self.know_task(&stored.task));
        }
        // What is over, or another's, needs no more than its head.
        Ok(Known {
            id: head.id,
            status: head.status,
            outcome: head.outcome,
            zone: head.zone,
            clone: head.clone,
            provider: None,
            priority: head.priority,
            seq: head.seq,
            after: Vec::new(),
            parked_until: None,
            limited_until: None,
            attempts: 0,
            died: 0,
            recovered: false,
            on_hold: false,
            generation: 0,
            ours,
        })
    }

    fn know_task(&mut self, task: &Task) -> Known {
        Known {
            id: task.id.clone(),
            status: task.status,
            outcome: task.outcome,
            zone: task.zone.clone(),
            clone: task.clone.clone(),
            provider: self.account(&task.brain, task.model.as_deref()),
            priority: task.priority,
            seq: task.seq,
            after: task.after.clone(),
            parked_until: task.parked_until,
            limited_until: task.last_attempt().and_then(|last| last.limited_until),
            attempts: count(task.attempts.len()),
            died: count(
                task.attempts
                    .iter()
                    .filter(|attempt| attempt.ended.is_none())
                    .count(),
            ),
            recovered: task.is_recovered(),
            on_hold: task.hold.is_some(),
            generation: task.generation,
            ours: task.owner == *self.site.owner(),
        }
    }

    fn account(&mut self, brain: &BrainName, model: Option<&str>) -> Option<Provider> {
        let key = (brain.clone(), model.map(str::to_owned));
        let look = || {
            let vars = |name: &str| std::env::var_os(name);
            brain::find(brain).ok()?.provider(model, &vars)
        };
        self.accounts.entry(key).or_insert_with(look).clone()
    }

    fn lock_paths(&self, known: &Known) -> [PathBuf; 2] {
        let dir = self.site.attempt_dir(&known.id, known.attempts);
        LOCKS.map(|lock| dir.join(lock))
    }
}

impl Store for LedgerStore {
    fn scan(&mut self) -> Result<Vec<Known>, RpcError> {
        self.accounts.clear();
        let heads = self.ledger().heads()?;
        let mut tasks = Vec::with_capacity(heads.len());
        for head in heads {
            let id = head.id.clone();
            match self.know(head) {
                Ok(known) => tasks.push(known),
                // One unreadable task must not stop all others.
                Err(error) => tracing::warn!(task = %id, %error, "a task cannot be read"),
            }
        }
        Ok(tasks)
    }

    fn limits(&mut self) -> Option<InForce> {
        self.settings.reload(&self.repo)
    }

    fn list(&mut self, most: usize) -> Result<Vec<Value>, RpcError> {
        let heads = self.ledger().heads()?;
        Ok(heads.iter().rev().take(most).map(list_line).collect())
    }

    fn show(&mut self, id: &TaskId) -> Result<Value, RpcError> {
        let ledger = self.ledger();
        let stored = ledger.task(id)?;
        let text = |path: &str| -> Result<String, LedgerError> {
            let bytes = ledger.file(&stored, path)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let history = text("history.jsonl")?;
        let history: Vec<Value> = history
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Ok(json!({ "format": FORMAT, "task": stored.task, "prompt": text("prompt.md")?, "history": history }))
    }

    fn find(&mut self, id: &TaskId) -> Result<Known, RpcError> {
        let stored = self.ledger().task(id)?;
        Ok(self.know_task(&stored.task))
    }

    fn enqueue(&mut self, params: &EnqueueParams) -> Result<Value, RpcError> {
        enqueue(&self.ledger(), &self.paths, params)
    }

    fn cancel(&mut self, id: &TaskId) -> Result<(), RpcError> {
        runner::stop(&self.ledger(), id, (BY, "cancelled"))?;
        Ok(())
    }

    fn urge(&mut self, id: &TaskId) -> Result<(), RpcError> {
        let ledger = self.ledger();
        let task = ledger.task(id)?.task;
        if task.status == Status::Cancelling {
            runner::urge(&ledger, &task);
        }
        Ok(())
    }

    fn apply(&mut self, id: &TaskId, step: Step) -> Result<(), RpcError> {
        self.ledger()
            .update(id, BY, |update| -> Result<(), LedgerError> {
                let illegal = |source| LedgerError::Illegal {
                    id: id.clone(),
                    source,
                };
                update
                    .transition(step.event, step.reason.clone())
                    .map_err(illegal)?;
                if let Some(outcome) = step.outcome {
                    update.task.outcome = Some(outcome);
                    update.task.reasons = vec![step.reason.clone()];
                }
                if step.event == Event::Skip {
                    update.task.reasons = vec![step.reason.clone()];
                }
                if step.event == Event::Unpark {
                    update.task.outcome = None;
                    update.task.reasons.clear();
                }
                update.task.parked_until = step.until;
                Ok(())
            })?;
        Ok(())
    }

    fn park_until(&mut self, id: &TaskId, until: i64) -> Result<(), RpcError> {
        self.ledger()
            .update(id, BY, |update| -> Result<(), LedgerError> {
                if update.task.status == Status::Parked {
                    update.task.parked_until = Some(until);
                }
                Ok(())
            })?;
        Ok(())
    }

    fn retain(&mut self, keep: Keep, now: i64, from: usize) -> Result<Option<usize>, RpcError> {
        let retained = retain(&self.ledger(), keep, (now, from));
        let retained = retained.map_err(|error| RpcError::new(Code::Failed, error.to_string()))?;
        for task in &retained.dropped {
            tracing::info!(%task, "dropped: it ended long ago, or many have ended since");
        }
        tracing::debug!(
            held = retained.held.len(),
            "old tasks hold work that has not landed"
        );
        Ok(retained.next)
    }

    fn is_attempt_held(&mut self, known: &Known) -> bool {
        let [runner, attempt] = self.lock_paths(known).map(|path| Turn::is_taken(&path));
        if runner {
            return true;
        }
        let dir = self.site.attempt_dir(&known.id, known.attempts);
        if !dir.join(LOCKS[0]).exists() {
            // Taken away; its runner may live on.
            let free = runner::is_free(&self.ledger(), &known.id, known.attempts);
            return !free.is_ok_and(|free| free);
        }
        runner::bury(&dir);
        if !attempt {
            return false;
        }
        // Its runner is dead, and something that it started is not: that is ended there, if it does not end by itself.
        let free = runner::is_free(&self.ledger(), &known.id, known.attempts);
        !free.is_ok_and(|free| free)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn list_line(head: &TaskHead) -> Value {
    json!({
        "task": head.id, "status": head.status, "outcome": head.outcome, "mode": head.mode, "zone": head.zone,
        "clone": head.clone, "seq": head.seq, "priority": head.priority, "updated": head.updated,
        "title": head.title,
    })
}
