//! Runners: started detached, reaped when they are ours, adopted when an earlier daemon started them.
//!
//! A runner claims its task itself, by compare-and-swap, so a second one for the same task does no harm: it finds
//! the task claimed and goes. It makes a session of its own first thing and outlives the daemon.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::io::Errno;
use tokio::{sync::mpsc, time::Instant};

use super::{
    machine::{Bounds, Machine, Wish},
    plan::{Known, find},
};
use crate::{
    process::{Cmd, exit_word, file::append, in_our_group, start_with_given_limit},
    runner::TRY_AGAIN,
    task::{Status, TaskId},
};

/// How a runner is started: `<program> runner --site <common> --task <id>`.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) common: PathBuf,
    /// Without it the machine's limit is this site's alone.
    pub(crate) machine: Option<Machine>,
}

/// A runner of ours that has ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) task: TaskId,
    pub(crate) status: io::Result<ExitStatus>,
}

/// Starts in a row that came to nothing, and when the next may be tried.
#[derive(Debug, Clone, Copy)]
struct Rest {
    failures: u32,
    /// Those of them that no shortage and no kill explains.
    unexplained: u32,
    until: Instant,
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Start {
    /// It runs.
    Done,
    /// It must wait for a place.
    NoPlace,
    /// It could not be started; it is tried again.
    Failed(io::Error),
}

/// The runners that hold tasks of this site.
#[derive(Debug)]
pub(crate) struct Runners {
    launcher: Launcher,
    /// Started by this daemon, with the generation that the task had then.
    children: HashMap<TaskId, u64>,
    /// Found holding their attempt's locks.
    adopted: HashSet<TaskId>,
    resting: HashMap<TaskId, Rest>,
    exits: mpsc::UnboundedSender<Exit>,
}

/// Starts that came to nothing before a task is given up.
const MAX_FAILURES: u32 = 6;

impl Runners {
    /// None yet. What ends is told on the channel.
    pub(crate) fn new(launcher: Launcher) -> (Self, mpsc::UnboundedReceiver<Exit>) {
        let (exits, ended) = mpsc::unbounded_channel();
        let (children, adopted, resting) = Default::default();
        (
            Self {
                launcher,
                children,
                adopted,
                resting,
                exits,
            },
            ended,
        )
    }

    /// Every task that a runner holds or is about to claim.
    pub(crate) fn held(&self) -> HashSet<TaskId> {
        self.children.keys().chain(&self.adopted).cloned().collect()
    }

    /// Whether no runner holds a task.
    pub(crate) fn is_idle(&self) -> bool {
        self.children.is_empty() && self.adopted.is_empty()
    }

    /// Every task whose next start must wait.
    pub(crate) fn resting(&self) -> HashSet<TaskId> {
        let now = Instant::now();
        self.resting
            .iter()
            .filter(|(_, rest)| rest.until > now)
            .map(|(task, _)| task.clone())
            .collect()
    }

    /// When the next rest is over.
    pub(crate) fn next_start(&self) -> Option<Instant> {
        let now = Instant::now();
        self.resting
            .values()
            .map(|rest| rest.until)
            .filter(|until| *until > now)
            .min()
    }

    pub(crate) fn has_adopted(&self) -> bool {
        !self.adopted.is_empty()
    }

    /// Starts a runner for `known` if there is a place.
    pub(crate) async fn start(&mut self, known: &Known, bounds: Bounds) -> Start {
        match self.launcher.start(known, bounds).await {
            Ok(None) => Start::NoPlace,
            Ok(Some(mut child)) => {
                tracing::info!(task = %known.id, pid = child.id(), "runner started");
                self.children.insert(known.id.clone(), known.generation);
                let (exits, task) = (self.exits.clone(), known.id.clone());
                tokio::task::spawn_local(async move {
                    let status = child.wait().await;
                    drop(exits.send(Exit { task, status }));
                });
                Start::Done
            }
            Err(error) => {
                // The task keeps its place, and no attempt is burnt.
                tracing::warn!(task = %known.id, %error, "a runner cannot be started");
                self.rest(&known.id, is_passing(&error));
                Start::Failed(error)
            }
        }
    }

    /// Takes note of an ended child.
    pub(crate) fn ended(&mut self, exit: &Exit, tasks: &[Arc<Known>]) {
        let word = exit
            .status
            .as_ref()
            .map_or_else(ToString::to_string, |status| exit_word(*status));
        tracing::info!(task = %exit.task, exit = %word, "runner ended");
        let before = self.children.remove(&exit.task);
        let now = find(tasks, &exit.task);
        let claimed = now.is_none_or(|known| {
            Some(known.generation) != before || !matches!(known.status, Status::Queued | Status::Interrupted)
        });
        if claimed {
            self.resting.remove(&exit.task);
        } else {
            let code = exit.status.as_ref().ok().map(ExitStatus::code);
            self.rest(
                &exit.task,
                matches!(code, Some(None)) || code == Some(Some(TRY_AGAIN.into())),
            );
        }
    }

    /// Takes note of a runner that another daemon started and that still holds its attempt.
    pub(crate) fn adopt(&mut self, task: &TaskId) {
        tracing::info!(%task, "runner adopted");
        self.adopted.insert(task.clone());
    }

    /// Forgets an adopted runner that is gone.
    pub(crate) fn release(&mut self, task: &TaskId) {
        if self.adopted.remove(task) {
            tracing::info!(%task, "adopted runner gone");
        }
    }

    pub(crate) fn adopted(&self) -> impl Iterator<Item = &TaskId> {
        self.adopted.iter()
    }

    /// Tasks whose start came to nothing so often that they are given up.
    pub(crate) fn hopeless(&mut self) -> Vec<TaskId> {
        let over = |rest: &Rest| rest.unexplained >= MAX_FAILURES;
        let tasks: Vec<_> = self
            .resting
            .iter()
            .filter(|(_, rest)| over(rest))
            .map(|(task, _)| task.clone())
            .collect();
        self.resting.retain(|_, rest| !over(rest));
        tasks
    }

    /// Has a task wait after a start that came to nothing. What is explained, a shortage or a kill, gives up no task.
    fn rest(&mut self, task: &TaskId, explained: bool) {
        let before = self.resting.get(task);
        let (failures, unexplained) = before.map_or((0, 0), |rest| (rest.failures, rest.unexplained));
        let failures = failures + 1;
        let pause = Duration::from_millis(250) * 2_u32.pow(failures.min(8));
        self.resting.insert(
            task.clone(),
            Rest {
                failures,
                unexplained: unexplained + u32::from(!explained),
                until: Instant::now() + pause,
            },
        );
    }
}

impl Launcher {
    async fn start(&self, known: &Known, bounds: Bounds) -> io::Result<Option<tokio::process::Child>> {
        let wish = Wish {
            site: self.common.clone(),
            task: known.id.clone(),
            provider: known.provider.clone(),
        };
        if !self.take(wish.clone(), bounds).await {
            return Ok(None);
        }
        let child = spawn(self, &known.id);
        self.hand_on(wish, child.as_ref().ok().and_then(tokio::process::Child::id))
            .await;
        child.map(Some)
    }

    /// Takes a place. Where the machine's limits cannot be read or written, there is no limit.
    async fn take(&self, wish: Wish, bounds: Bounds) -> bool {
        let Some(machine) = self.machine.clone() else {
            return true;
        };
        let taken = aside(move || machine.take(&wish, &bounds)).await;
        taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "limits are not shared with other sites");
            true
        })
    }

    async fn hand_on(&self, wish: Wish, to: Option<u32>) {
        let Some(machine) = self.machine.clone() else {
            return;
        };
        if let Err(error) = aside(move || machine.hand_on(&wish, to)).await {
            tracing::warn!(%error, "other sites do not know of this runner");
        }
    }
}

/// Does what may have to wait for another process, beside the thread that answers callers.
pub(super) async fn aside<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(job).await;
    done.unwrap_or_else(|broken| Err(io::Error::other(broken)))
}

/// Whether a start failed for nothing that is the task's: the machine is short of files, processes or memory, or the
/// program is not where it was, as in the midst of an upgrade. A later one comes with a daemon of its own.
fn is_passing(error: &io::Error) -> bool {
    let passing = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::NOENT,
        Errno::TXTBSY,
        Errno::ACCESS,
    ];
    passing
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn spawn(launcher: &Launcher, task: &TaskId) -> io::Result<tokio::process::Child> {
    let log = append(&crate::daemon::Place::log_of(&launcher.common))?;
    let mut command = Cmd::new(&launcher.program)
        .args(["runner", "--site"])
        .arg(&launcher.common)
        .args(["--task", task.as_str()])
        .dir(Path::new("/"))
        .into_inner();
    // The runner leads a session of its own, which a group's leader cannot begin: it starts in our group.
    in_our_group(&mut command);
    command.stdout(Stdio::null()).stderr(log);
    let mut command = tokio::process::Command::from(command);
    start_with_given_limit(|| command.spawn(), tokio::process::Child::id)
}
