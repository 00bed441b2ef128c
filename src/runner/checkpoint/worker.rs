//! The thread that takes the checkpoints of a run, so that the brain's output never waits for one.
//!
//! It starts nothing: processes belong to the runner's first thread. It looks at the ledger's generation first: a
//! runner that was given up for dead and wakes up learns it here, and ends its brain.

use std::{
    path::PathBuf,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Moment, store::Store};
use crate::{
    guard::gitdir::PrivateGit,
    refs::{Ledger, Oid, Repo, Site},
    runner::RunnerError,
    task::{Checkpoint, TaskId},
    worktree::{
        checkout::Checkout,
        receipt::{Receipt, take_receipt},
        snapshot::{Limits, Source},
    },
};

/// What a checkpoint is taken of.
#[derive(Debug)]
pub(in crate::runner) struct Subject {
    pub(in crate::runner) site: Site,
    pub(in crate::runner) task: TaskId,
    pub(in crate::runner) generation: u64,
    pub(in crate::runner) checkout: Checkout,
    /// The commit that the attempt began on.
    pub(in crate::runner) pinned: Oid,
    pub(in crate::runner) max_blob: u64,
    /// The brain's own git, where it has one.
    pub(in crate::runner) private: Option<PrivateGit>,
    /// The attempt's folder.
    pub(in crate::runner) dir: PathBuf,
    /// The receipt before, or the last one.
    pub(in crate::runner) last: Receipt,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) took: Duration,
    pub(super) result: Result<(), RunnerError>,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) moments: mpsc::Sender<Moment>,
    pub(super) reports: mpsc::Receiver<Report>,
    thread: JoinHandle<Receipt>,
}

impl Worker {
    pub(super) fn start(subject: Subject) -> std::io::Result<Self> {
        let (moments, wanted) = mpsc::channel();
        let (done, reports) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || work(subject, &wanted, &done))?;
        Ok(Self {
            moments,
            reports,
            thread,
        })
    }

    /// Lets it finish; gives the last receipt.
    pub(super) fn end(self) -> Option<Receipt> {
        drop(self.moments);
        self.thread.join().ok()
    }
}

fn work(mut subject: Subject, wanted: &mpsc::Receiver<Moment>, done: &mpsc::Sender<Report>) -> Receipt {
    let repo = Repo::open(subject.site.common_dir());
    for moment in wanted {
        let began = Instant::now();
        let result = match &repo {
            Ok(repo) => subject.take(repo, moment),
            Err(error) => Err(std::io::Error::other(error.to_string()).into()),
        };
        let report = Report {
            took: began.elapsed(),
            result,
        };
        if done.send(report).is_err() {
            break;
        }
    }
    subject.last
}

impl Subject {
    pub(super) fn take(&mut self, repo: &Repo, moment: Moment) -> Result<(), RunnerError> {
        let ledger = Ledger::new(repo, &self.site);
        let current = ledger.task(&self.task)?.task.generation;
        crate::runner::claim::check(&self.task, current, self.generation)?;
        let store = Store::at(&self.dir);
        let mut pack = store.quarantine.pack()?;
        let source = Source {
            work_dir: &self.checkout.path,
            index: &self.checkout.git_dir.join("index"),
            repo,
            pinned: Some(self.pinned),
        };
        let limits = Limits {
            max_blob: self.max_blob,
            ..Limits::default()
        };
        let previous = Some(&self.last.snapshot.manifest);
        let receipt = take_receipt(&source, &limits, previous, &mut pack)?;
        let (branch, head) = self.head(repo)?;
        let progress = moment.progress;
        let checkpoint = Checkpoint {
            format: crate::task::FORMAT,
            k: moment.k,
            time: moment.time,
            transcript: moment.position,
            session: progress.session,
            branch,
            head: head.map(|oid| oid.to_string()),
            tree: receipt.snapshot.tree.to_string(),
            refs: receipt.refs_digest(),
            tools: progress.open,
            ended: progress.ended,
            results: progress.results,
            unknown: serde_json::Map::new(),
        };
        pack.publish()?;
        let is_news = receipt != self.last || moment.k == 1;
        store.keep(&checkpoint, is_news.then_some(&receipt))?;
        self.last = receipt;
        Ok(())
    }

    /// Where the brain's HEAD stands: in its own git, else in the worktree's.
    fn head(&self, repo: &Repo) -> Result<(Option<String>, Option<Oid>), RunnerError> {
        if let Some(private) = &self.private {
            let head = private.standing()?.head;
            let branch = head.as_ref().and_then(|head| head.branch().map(str::to_owned));
            return Ok((branch, head.and_then(|head| head.oid())));
        }
        let branch = self.checkout.head_ref();
        let head = crate::runner::ground::host_head(repo, &self.checkout)?;
        Ok((branch, head))
    }
}
