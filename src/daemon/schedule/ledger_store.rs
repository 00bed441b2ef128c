//! The daemon's view of the real ledger.

use std::{
    cell::Cell,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    plan::Known,
    settings::{InForce, Settings},
    store::{Step, Store},
};
use crate::{
    brain::{self, Provider},
    config::{HomeError, Paths},
    daemon::{
        Code, RpcError,
        events::changes::Stood,
        server::{
            again::{AgainParams, try_again},
            enqueue::{EnqueueParams, enqueue},
            methods::listed,
        },
    },
    process::{FileLock, machine_id},
    refs::{
        Ledger, LedgerError, Oid, Repo, RepoError, Site, SiteError, Stored, TaskHead, mend_by_records,
        sweep_locks,
    },
    runner,
    task::{BrainName, Explain, FORMAT, How, Move, Need, Status, Task, TaskId},
    upkeep::retention::{Keep, retain},
    zone::Caller,
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
    /// Every task as of the last look, in the order of ids.
    seen: Vec<Seen>,
    /// Whether packs may be open: each that is read from stays so until all are let go of, which each look does.
    has_read: Cell<bool>,
}

/// A task as the last look found it.
#[derive(Debug)]
struct Seen {
    /// What its ref stood at: a task whose ref has not moved is as it was.
    tag: Oid,
    known: Arc<Known>,
    /// What it would run on, while it is open and ours.
    runs_on: Option<(BrainName, Option<String>)>,
}

impl Seen {
    fn new(tag: Oid, known: Known, runs_on: Option<(BrainName, Option<String>)>) -> Self {
        let known = Arc::new(known);
        Self { tag, known, runs_on }
    }
}

/// Those of `old` that `tags` still have, and the tags that it does not know. Both are in the order of ids.
fn kept(old: Vec<Seen>, tags: Vec<(TaskId, Oid)>) -> (Vec<Seen>, Vec<Oid>) {
    let mut old = old.into_iter().peekable();
    let (mut kept, mut changed) = (Vec::with_capacity(tags.len()), Vec::new());
    for (id, tag) in tags {
        while old.next_if(|seen| seen.known.id < id).is_some() {}
        match old.next_if(|seen| seen.known.id == id) {
            Some(seen) if seen.tag == tag => kept.push(seen),
            _ => changed.push(tag),
        }
    }
    (kept, changed)
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
            seen: Vec::new(),
            has_read: Cell::new(true),
        })
    }

    fn ledger(&self) -> Ledger<'_> {
        self.has_read.set(true);
        Ledger::new(&self.repo, &self.site)
    }

    /// Closes the packs that anything was read from: they would stay open for good.
    fn let_go_of_packs(&self) {
        if self.has_read.take()
            && let Err(error) = self.repo.let_go_of_packs()
        {
            self.has_read.set(true);
            tracing::warn!(%error, "packs are not looked for again");
        }
    }

    /// What is over, or another's, needs no more than its head.
    fn know_head(&self, head: TaskHead) -> Known {
        let ours = self.is_ours(&head);
        Known {
            need: Need::of(
                head.mode,
                (head.status, head.outcome),
                false,
                head.question.is_some(),
            ),
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
            on_hold: false,
            generation: 0,
            ours,
        }
    }

    fn is_ours(&self, head: &TaskHead) -> bool {
        head.site_uuid == self.site.owner().site_uuid
    }

    /// Reads what has changed since the last look, of which `tags` are new.
    fn look_at(&mut self, tags: Vec<Oid>) -> Result<Vec<Seen>, LedgerError> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let heads = self.ledger().heads_at(tags)?;
        let mut seen = Vec::with_capacity(heads.len());
        for (tag, head) in heads {
            if !self.is_ours(&head) || head.status.is_over() {
                seen.push(Seen::new(tag, self.know_head(head), None));
                continue;
            }
            match self.ledger().task(&head.id) {
                Ok(Stored { task, tag, .. }) => {
                    let runs_on = (task.brain.clone(), task.model.clone());
                    seen.push(Seen::new(tag, self.know_task(&task), Some(runs_on)));
                }
                // One unreadable task must not stop all others.
                Err(error) => tracing::warn!(task = %head.id, %error, "a task cannot be read"),
            }
        }
        Ok(seen)
    }

    /// The refs of all tasks. Where there are none, or they cannot be read, a brain without a sandbox may have seen to that.
    fn tags(&self) -> Result<Vec<(TaskId, Oid)>, LedgerError> {
        let ledger = Ledger::new(&self.repo, &self.site);
        let tags = ledger.tags();
        if tags.as_ref().is_ok_and(|tags| !tags.is_empty()) {
            return tags;
        }
        let records = self.site.layout().kept_packed_refs();
        match mend_by_records(&self.repo, &records) {
            Ok(true) => ledger.tags(),
            Ok(false) | Err(_) => tags,
        }
    }

    /// The account that an open task would run into the limits of may be another one by now.
    fn refresh(&mut self, seen: &mut Seen) {
        let Some((brain, model)) = &seen.runs_on else {
            return;
        };
        let provider = self.account(brain, model.as_deref());
        if seen.known.provider != provider {
            Arc::make_mut(&mut seen.known).provider = provider;
        }
    }

    fn know_task(&mut self, task: &Task) -> Known {
        Known {
            id: task.id.clone(),
            need: Need::of(
                task.mode,
                (task.status, task.outcome),
                task.hold.is_some(),
                task.question.is_some(),
            ),
            status: task.status,
            outcome: task.outcome,
            zone: task.zone.clone(),
            clone: task.clone.clone(),
            provider: self.account(&task.brain, task.model.as_deref()),
            priority: task.priority,
            seq: task.seq,
            after: task.after.clone(),
            parked_until: task.rests_until(),
            limited_until: task.last_attempt().and_then(|last| last.limited_until),
            attempts: count(task.attempts.len()),
            on_hold: task.hold.is_some(),
            generation: task.generation,
            ours: self.site.owns(&task.owner),
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
        let dir = self.site.layout().attempt(&known.id, known.attempts);
        LOCKS.map(|lock| dir.join(lock))
    }
}

impl Store for LedgerStore {
    fn scan(&mut self) -> Result<Vec<Arc<Known>>, RpcError> {
        self.accounts.clear();
        self.let_go_of_packs();
        let tags = self.tags()?;
        let (mut seen, changed) = kept(std::mem::take(&mut self.seen), tags);
        for known in &mut seen {
            self.refresh(known);
        }
        let fresh = self.look_at(changed);
        let failed = fresh.as_ref().err().map(ToString::to_string);
        seen.extend(fresh.unwrap_or_default());
        seen.sort_by(|a, b| a.known.id.cmp(&b.known.id));
        let tasks = seen.iter().map(|seen| Arc::clone(&seen.known)).collect();
        self.seen = seen;
        if let Some(error) = failed {
            return Err(RpcError::new(Code::Failed, error));
        }
        self.let_go_of_packs();
        Ok(tasks)
    }

    fn look(&mut self) -> Result<Stood, RpcError> {
        Ok(Stood::look(&Ledger::new(&self.repo, &self.site))?)
    }

    fn limits(&mut self) -> Option<InForce> {
        self.settings.reload(&self.repo)
    }

    fn list(&mut self, most: usize) -> Result<Vec<Value>, RpcError> {
        let heads = self.ledger().heads()?;
        Ok(heads.iter().rev().take(most).map(listed).collect())
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

    fn enqueue(&mut self, params: &EnqueueParams, by: Caller) -> Result<Value, RpcError> {
        enqueue(&self.ledger(), &self.paths, params, by)
    }

    fn again(&mut self, params: &AgainParams, how: How) -> Result<Value, RpcError> {
        try_again(&self.ledger(), &self.paths, params, how)
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
                    .transition(step.to.clone(), step.reason.clone())
                    .map_err(illegal)
            })?;
        Ok(())
    }

    fn park_until(&mut self, id: &TaskId, until: i64) -> Result<(), RpcError> {
        self.ledger()
            .update(id, BY, |update| -> Result<(), LedgerError> {
                // One that is not parked any more has gone on.
                drop(update.transition(Move::ParkUntil(until), ""));
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
        let [runner, attempt] = self.lock_paths(known).map(|path| FileLock::is_taken(&path));
        if runner {
            return true;
        }
        let dir = self.site.layout().attempt(&known.id, known.attempts);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        process::Cmd,
        refs::{Kind, ObjectSink, Pack},
    };

    fn tag(id: &str, status: &str) -> String {
        format!(
            "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype tree\ntag {id}\n\
            tagger git-khlone <git-khlone@localhost> 1 +0000\n\n{status}: act x (foreman.1)\n\n\
            Khlone-Status: {status}\nKhlone-Mode: act\nKhlone-Zone: main\nKhlone-Clone: foreman.1\nKhlone-Seq: 7\n\
            Khlone-Priority: 0\nKhlone-Updated: 1\nKhlone-Site: s\nKhlone-Title: x\n"
        )
    }

    #[test]
    fn a_look_reads_nothing_of_tasks_that_have_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let git = || Cmd::new("git").dir(dir.path()).env("HOME", dir.path());
        git().args(["init", "-q"]).output().unwrap();
        let common = dir.path().join(".git");
        let paths = Paths::from_env(|name| (name == "HOME").then(|| dir.path().into())).unwrap();
        let mut store = LedgerStore::open(&common, &paths).unwrap();
        let put = |store: &LedgerStore, n: usize, status: &str| {
            let id = format!("t-{n:0>10}");
            let mut pack = Pack::begin(&store.site).unwrap();
            let oid = pack.put(Kind::Tag, tag(&id, status).as_bytes()).unwrap();
            pack.publish().unwrap();
            let name = format!("refs/khlone/tasks/{id}");
            git()
                .args(["update-ref", &name, &oid.to_string()])
                .output()
                .unwrap();
        };
        for n in 0..20 {
            put(&store, n, "done");
        }
        let first = store.scan().unwrap();
        assert_eq!(first.len(), 20);
        put(&store, 7, "queued");
        put(&store, 20, "done");
        git()
            .args(["update-ref", "-d", "refs/khlone/tasks/t-0000000003"])
            .output()
            .unwrap();
        git().args(["pack-refs", "--all"]).output().unwrap();
        let second = store.scan().unwrap();
        assert_eq!(second.len(), 20);
        assert!(second.is_sorted_by(|a, b| a.id < b.id));
        let same = |known: &Arc<Known>| first.iter().any(|old| Arc::ptr_eq(old, known));
        let new: Vec<_> = second
            .iter()
            .filter(|known| !same(known))
            .map(|known| known.seq)
            .collect();
        assert_eq!(new.len(), 2, "the one that changed and the new one");
        assert_eq!(second[6].status, Status::Queued);
        // And no pack stays open after it.
        let packs = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let packs = packs.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        assert_eq!(packs.filter(|path| path.starts_with(&common)).count(), 0);
    }
}
