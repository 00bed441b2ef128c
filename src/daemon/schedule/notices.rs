//! Telling the user that a task needs them, or has ended: `notify` of their own configuration.
//!
//! The tasks that are open are kept in `<common>/khlone/open.json`, so that what ends while no daemon runs is told by
//! the next one. Messages are sent one after the other on a thread of their own, each within a bound of time; one
//! that fails is a line in the log, and nothing else. No part of a prompt is in any of them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::plan::Known;
use crate::{
    config::{Config, Notify, Source},
    daemon::Place,
    process::{
        Cmd,
        file::{self, replace},
    },
    refs::Layout,
    task::{CloneName, FORMAT, Need, Outcome, Status, TaskId, ZoneId, parse_versioned},
};

/// A message takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much longer the daemon stays for messages that are under way.
const LAST: Duration = Duration::from_secs(2);
/// Messages that wait; further ones are dropped.
const QUEUE: usize = 64;
/// So much of what a command says is read.
const CAPTURE: usize = 4 << 10;

/// What a message is about: the document on the command's stdin.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Notice {
    format: u32,
    event: Occasion,
    task: TaskId,
    status: Status,
    outcome: Option<Outcome>,
    /// What it needs a person for; absent where it needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    need: Option<Need>,
    zone: ZoneId,
    clone: CloneName,
    repository: PathBuf,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Occasion {
    /// It is blocked, failed, or asks something.
    NeedsYou,
    /// It has ended otherwise.
    Ended,
}

/// `open.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Open {
    format: u32,
    tasks: BTreeSet<TaskId>,
}

/// Watches the tasks and sends messages.
#[derive(Debug)]
pub(crate) struct Notices {
    repository: PathBuf,
    record: PathBuf,
    open: BTreeSet<TaskId>,
    queue: Option<SyncSender<Notice>>,
    done: Receiver<()>,
    leaving: Arc<AtomicBool>,
}

impl Notices {
    /// Begins where the last daemon left off. `config` is the user's own file.
    pub(crate) fn start(place: &Place, config: PathBuf) -> Self {
        let record = Layout::of(place.common()).notices();
        let open = file::read(&record)
            .ok()
            .and_then(|bytes| parse_versioned::<Open>("open.json", &bytes).ok());
        let (queue, notices) = sync_channel::<Notice>(QUEUE);
        let (finished, done) = sync_channel(1);
        let leaving = Arc::new(AtomicBool::new(false));
        let called_off = Arc::clone(&leaving);
        thread::spawn(move || {
            for notice in notices.iter().take_while(|_| !called_off.load(Ordering::Relaxed)) {
                send(&notice, &config, &called_off);
            }
            let _nobody_waits = finished.send(());
        });
        Self {
            repository: place.common().to_owned(),
            record,
            open: open.unwrap_or_default().tasks,
            queue: Some(queue),
            done,
            leaving,
        }
    }

    /// Looks at the tasks; tells of those that were open and are not any more.
    pub(crate) fn look(&mut self, tasks: &[Arc<Known>]) {
        let is_open = |known: &&Arc<Known>| known.ours && !known.status.is_over() && !known.on_hold;
        let open: BTreeSet<_> = tasks
            .iter()
            .filter(is_open)
            .map(|known| known.id.clone())
            .collect();
        if open == self.open {
            return;
        }
        for known in tasks
            .iter()
            .filter(|known| known.ours && !open.contains(&known.id))
        {
            if self.open.contains(&known.id) {
                self.tell(known);
            }
        }
        self.open = open;
        if let Err(error) = self.keep() {
            tracing::warn!(%error, "the open tasks are not kept: the next daemon may not tell of their end");
        }
    }

    /// Waits a moment for messages that are under way, and ends the one that takes longer.
    pub(crate) fn close(mut self) {
        self.queue = None;
        if self.done.recv_timeout(LAST).is_err() {
            self.leaving.store(true, Ordering::Relaxed);
            let _at_most = self.done.recv_timeout(LAST);
        }
    }

    fn tell(&self, known: &Known) {
        // Work that is to be landed has ended well, and can wait.
        let needs = known.need.is_some_and(|need| need < Need::Land);
        let notice = Notice {
            format: FORMAT,
            event: if needs {
                Occasion::NeedsYou
            } else {
                Occasion::Ended
            },
            task: known.id.clone(),
            status: known.status,
            outcome: known.outcome,
            need: known.need,
            zone: known.zone.clone(),
            clone: known.clone.clone(),
            repository: self.repository.clone(),
        };
        if let Some(Err(TrySendError::Full(_))) = self.queue.as_ref().map(|queue| queue.try_send(notice)) {
            tracing::warn!(task = %known.id, "too many notifications wait; this one is dropped");
        }
    }

    fn keep(&self) -> io::Result<()> {
        let open = Open {
            format: FORMAT,
            tasks: self.open.clone(),
        };
        replace(&self.record, &serde_json::to_vec(&open)?)
    }
}

/// Sends one message the way that the user wants, if any.
fn send(notice: &Notice, config: &Path, called_off: &Arc<AtomicBool>) {
    let cmd = match wanted(config) {
        None => return,
        Some(Notify::Desktop(_)) => desktop(notice),
        Some(Notify::Command(words)) => command(notice, &words),
    };
    let cmd = cmd.unless(Arc::clone(called_off));
    match cmd.patience(PATIENCE).capture(CAPTURE).finish() {
        Ok(done) if done.status.success() => {}
        Ok(done) => tracing::warn!(task = %notice.task, status = %done.status, "notify failed"),
        Err(error) => tracing::warn!(task = %notice.task, %error, "notify failed"),
    }
}

/// The user's wish, read anew for each message.
fn wanted(config: &Path) -> Option<Notify> {
    let bytes = fs::read(config).ok()?;
    let source = Source {
        path: config,
        bytes: &bytes,
    };
    match Config::load(Some(source), None) {
        Ok(loaded) => loaded.config.notify,
        Err(error) => {
            tracing::warn!(%error, "nobody is notified");
            None
        }
    }
}

impl Notice {
    fn outcome(&self) -> &'static str {
        self.outcome.map_or(self.status.as_str(), Outcome::as_str)
    }

    fn occasion(&self) -> &'static str {
        match self.event {
            Occasion::NeedsYou => "needs-you",
            Occasion::Ended => "ended",
        }
    }
}

fn desktop(notice: &Notice) -> Cmd {
    let urgency = match notice.event {
        Occasion::NeedsYou => "critical",
        Occasion::Ended => "normal",
    };
    Cmd::new("notify-send").args([
        "--app-name=git-khlone",
        &format!("--urgency={urgency}"),
        "--",
        &format!("{} {}", notice.clone, notice.outcome()),
        &format!("git khlone show {}", notice.task),
    ])
}

fn command(notice: &Notice, words: &[String]) -> Cmd {
    let (program, args) = (words.first().map(String::as_str), words.iter().skip(1));
    Cmd::new(program.unwrap_or_default())
        .args(args)
        .env("KHLONE_NOTIFY_EVENT", notice.occasion())
        .env("KHLONE_NOTIFY_TASK", notice.task.as_str())
        .env("KHLONE_NOTIFY_STATUS", notice.status.as_str())
        .env("KHLONE_NOTIFY_OUTCOME", notice.outcome())
        .env("KHLONE_NOTIFY_NEED", notice.need.map_or("", Need::as_str))
        .env("KHLONE_NOTIFY_ZONE", notice.zone.as_str())
        .env("KHLONE_NOTIFY_CLONE", notice.clone.to_string())
        .env("KHLONE_NOTIFY_REPOSITORY", &notice.repository)
        .input(serde_json::to_vec(notice).unwrap_or_default())
}
