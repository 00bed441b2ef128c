//! Checkpoints of a run: when they are due, and how they get to the ledger.
//!
//! Due at the boundaries of tools, as the brain announces them, and on a timer; never closer than
//! `limits.checkpoint`, nor so close that they take more than a thirtieth of the run. One that fails (a full disk)
//! is told to the log, and the run goes on.

mod progress;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::time::{Duration, Instant};

pub(super) use progress::Progress;
pub(super) use store::Store;
pub(super) use worker::Subject;

use worker::{Report, Worker};

use super::RunnerError;
use crate::{
    brain::Event,
    refs::{LedgerError, Pack, TreeEdit},
    task::{Checkpoint, Position},
    worktree::receipt::Receipt,
};

/// Without an announced tool a checkpoint is taken every so many pauses: some brains announce late or never.
const TIMER: u32 = 5;
/// A checkpoint is followed by a pause so many times as long as it took.
const SHARE: u32 = 32;

/// What the run knows at the moment of a checkpoint.
#[derive(Debug)]
struct Moment {
    k: u32,
    time: i64,
    position: Position,
    progress: Progress,
}

/// The checkpoints of a run under way.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// What they are taken of, until the first is due.
    subject: Option<Subject>,
    /// Its thread, from then on.
    worker: Option<Worker>,
    progress: Progress,
    /// A tool has begun or ended since the last one.
    boundary: bool,
    least: Duration,
    pause: Duration,
    last: Instant,
    taken: u32,
    busy: bool,
}

impl Checkpoints {
    /// Begins; nothing is taken before the first pause is over. No thread is started and nothing slow is done before
    /// that: a brain that has just started is heard first.
    pub(super) fn begin(subject: Subject, least: Duration) -> Result<Self, RunnerError> {
        Ok(Self {
            taken: Store::at(&subject.dir).all()?.last().map_or(0, |last| last.k),
            subject: Some(subject),
            worker: None,
            progress: Progress::default(),
            boundary: false,
            least,
            pause: least,
            last: Instant::now(),
            busy: false,
        })
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &Event, clean: &dyn Fn(&str) -> String) {
        self.boundary |= self.progress.note(event, clean);
    }

    /// Asks for a checkpoint where one is due.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] if this attempt was given up for dead.
    pub(super) fn tick(&mut self, position: Position) -> Result<(), RunnerError> {
        while let Some(report) = self.worker.as_ref().and_then(|it| it.reports.try_recv().ok()) {
            self.busy = false;
            self.heed(report)?;
        }
        let since = self.last.elapsed();
        let due = since >= self.pause && (self.boundary || since >= self.least * TIMER);
        if self.busy || !due {
            return Ok(());
        }
        self.taken += 1;
        self.last = Instant::now();
        self.boundary = false;
        let moment = Moment {
            k: self.taken,
            time: jiff::Timestamp::now().as_millisecond(),
            position,
            progress: self.progress.clone(),
        };
        if let Some(subject) = self.subject.take() {
            self.worker = Some(Worker::start(subject)?);
        }
        self.busy = self
            .worker
            .as_ref()
            .is_some_and(|it| it.moments.send(moment).is_ok());
        Ok(())
    }

    fn heed(&mut self, report: Report) -> Result<(), RunnerError> {
        self.pause = self.least.max(report.took * SHARE);
        match report.result {
            Ok(()) => Ok(()),
            Err(RunnerError::Ledger(error @ LedgerError::Fenced { .. })) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint could not be taken");
                Ok(())
            }
        }
    }

    /// Ends; gives the receipt of the last checkpoint, or the one before.
    pub(super) fn end(self) -> Option<Receipt> {
        match (self.worker, self.subject) {
            (Some(worker), _) => worker.end(),
            (None, subject) => subject.map(|subject| subject.last),
        }
    }
}

/// Writes checkpoints into the tree of their task.
pub(super) fn record(edit: &mut TreeEdit, folder: &str, all: &[Checkpoint]) -> std::io::Result<()> {
    for checkpoint in all {
        let at = format!("{folder}/{}", checkpoint.k);
        if let Ok(tree) = checkpoint.tree.parse() {
            edit.graft(format!("{at}/tree"), tree);
        }
        edit.json(format!("{at}/checkpoint.json"), checkpoint)?;
    }
    Ok(())
}

/// Brings the checkpoints of an attempt into `pack`. Where they cannot be had, the attempt's end is worth more than
/// they are.
pub(super) fn give(store: &Store, pack: &mut Pack) -> Vec<Checkpoint> {
    store.give(pack).unwrap_or_else(|error| {
        tracing::warn!(%error, "the attempt's checkpoints are not kept");
        Vec::new()
    })
}
