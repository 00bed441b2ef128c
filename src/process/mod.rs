//! The one gate by which a child process starts.
//!
//! Every child gets a group of its own, no stdin unless one is given, a pinned locale, and none of the `GIT_*`
//! variables that would send git to another repository: we may ourselves have been called from a hook. What is handed on
//! of them stands in `given`.
//! Captured output is bounded, waiting is bounded, and a child that overstays is killed with its group, also one that
//! has closed its streams. A program of the user's can be put on a leash: it ends with this process, too. Output that was cut short is never taken for the whole.

mod exit;
pub mod fault;
pub mod file;
mod given;
mod group;
mod identity;
pub mod kept;
pub mod leash;
pub mod lock;
mod memory;
mod open_files;
mod run_dir;
mod shortage;
pub mod temp;
pub mod tree;
mod tried;
mod trust;
mod wait;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use exit::{exit_word, was_killed};
pub use given::{given_files, obey_settings};
pub use group::in_our_group;
pub use identity::{ProcessId, boot_id, is_same_machine, is_stopped, machine_id, runs};
pub use lock::FileLock;
pub use memory::memory;
pub use open_files::{raise_limit, start_with_given_limit};
pub use run_dir::{MAX_SOCKET_PATH, RunDirError, run_dir};
pub use shortage::is_shortage;
pub use tried::Tried;
pub use trust::trust;

use self::wait::{Bound, drain, kill_group};
use crate::task::explain;

/// How long a helper program may take unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How much of each stream is kept unless the caller says otherwise.
pub const CAPTURE: usize = 64 << 20;

/// A command that is about to be run.
#[must_use = "a command does nothing until it is run"]
#[derive(Debug)]
pub struct Cmd {
    inner: Command,
    input: Option<Vec<u8>>,
    patience: Duration,
    capture: usize,
    called_off: Option<Arc<AtomicBool>>,
    in_foreground: bool,
    is_on_leash: bool,
}

/// What a finished child left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, up to the capture limit.
    pub stdout: Vec<u8>,
    /// Its standard error, up to the capture limit.
    pub stderr: Vec<u8>,
    /// Whether it wrote more to its standard output than that.
    pub is_cut: bool,
}

/// A child that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program's name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ran longer than it may.
    #[error("{program} took longer than {} s and was stopped", .patience.as_secs())]
    Timeout {
        /// The program's name.
        program: String,
        /// The limit.
        patience: Duration,
    },
    /// It ended badly.
    #[error("{program} {}{status}){}{stderr}", exit::how(*.status), if .stderr.is_empty() { "" } else { ": " })]
    Failed {
        /// The program's name and first argument.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// It said more than is kept.
    #[error("{program} wrote more than {capture} bytes")]
    TooLong {
        /// The program's name and first argument.
        program: String,
        /// The limit.
        capture: usize,
    },
}

impl ProcessError {
    /// Whether it was killed, or what it had started was.
    pub fn was_killed(&self) -> bool {
        match self {
            Self::Timeout { .. } => true,
            Self::Failed { status, .. } => was_killed(*status),
            Self::Spawn { .. } | Self::TooLong { .. } => false,
        }
    }
}

explain! {
    ProcessError {
        Timeout { Timeout }
        Failed {
            Spawn { program, .. } => format!("command -v {program}"),
            Failed, TooLong,
        }
    }
}

/// Starts a command that [`Cmd::into_inner`] gave.
///
/// # Errors
/// If nothing was started.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    start_with_given_limit(|| command.spawn(), |child| Some(child.id()))
}

/// Becomes `argv`, with the environment, group and streams of this process. Returns only if that failed.
#[expect(clippy::disallowed_methods, reason = "this is the gate")]
pub fn replace(argv: &[OsString]) -> io::Error {
    open_files::give_back();
    match argv.split_first() {
        Some((program, words)) => Command::new(program).args(words).exec(),
        None => io::Error::new(io::ErrorKind::InvalidInput, "nothing to run"),
    }
}

impl Cmd {
    /// Prepares `program`, found on `PATH`, with the environment of this process less `GIT_*`.
    #[expect(clippy::disallowed_methods, reason = "this is the gate")]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut inner = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                inner.env_remove(name);
            }
        }
        inner
            .env("LC_ALL", "C.UTF-8")
            .envs(given::settings())
            .stdin(Stdio::null())
            .process_group(0);
        Self {
            inner,
            input: None,
            patience: PATIENCE,
            capture: CAPTURE,
            called_off: None,
            in_foreground: false,
            is_on_leash: false,
        }
    }

    /// Prepares git on an explicit git folder: nothing is discovered, no hook, monitor, prompt, lazy fetch or
    /// replace ref has a say, and no optional lock is taken.
    pub fn git(git_dir: &Path) -> Self {
        Self::new("git")
            .args([
                "--no-optional-locks",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
            ])
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .env("GIT_DIR", git_dir)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_PAGER", "cat")
            .env("GIT_EDITOR", ":")
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.inner.args(args);
        self
    }

    /// Sets a variable of the child.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Replaces the whole environment of the child.
    pub fn only_env<I: IntoIterator<Item = (OsString, OsString)>>(mut self, vars: I) -> Self {
        self.inner.env_clear().envs(vars);
        self
    }

    /// Runs the child in `dir`.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Leaves the child in the group of this process: it may read from the terminal, and is told of ctrl-c. What it has
    /// started itself may outlive it where it overstays, if it has begun a session of its own.
    pub fn in_foreground(mut self) -> Self {
        self.inner.process_group(rustix::process::getpgrp().as_raw_pid());
        self.in_foreground = true;
        self
    }

    /// Ends the child, and what it has started in our session, with this process, however that ends. What it has left in
    /// the background when it ends itself is not waited for. For [`Cmd::finish`] and [`Cmd::output`], with the
    /// environment that this process has, and what was set.
    pub fn on_leash(mut self) -> Self {
        self.is_on_leash = true;
        self
    }

    /// Feeds `bytes` to the child's stdin.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Lets the child read from `stdin`, a file or the end of a pipe.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.inner.stdin(stdin);
        self
    }

    /// Ends the child with its group, as if its time were over, once `called_off` is true.
    pub fn unless(mut self, called_off: Arc<AtomicBool>) -> Self {
        self.called_off = Some(called_off);
        self
    }

    /// Lets the child take at most this long.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Keeps at most this many bytes of each stream; the rest is read and dropped.
    pub fn capture(mut self, bytes: usize) -> Self {
        self.capture = bytes;
        self
    }

    /// The command line, for records and logs.
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(self.inner.get_program())
            .chain(self.inner.get_args())
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }

    /// Hands over the prepared command to a caller that follows the child itself (the runner, the daemon).
    /// Stdio is the caller's to set; the input set here is not fed.
    pub fn into_inner(self) -> Command {
        self.inner
    }

    /// Runs the child to its end, whatever its exit status.
    ///
    /// # Errors
    /// [`ProcessError::Spawn`] if it cannot start, [`ProcessError::Timeout`] if it overstays.
    pub fn finish(mut self) -> Result<Finished, ProcessError> {
        let program = self.inner.get_program().to_string_lossy().into_owned();
        tracing::debug!(%program, args = self.inner.get_args().len(), "run");
        if self.is_on_leash {
            self.inner = leash::put_on(self.inner);
            self.inner.stdin(Stdio::null());
            let foreground = self.in_foreground.then(rustix::process::getpgrp);
            let group = foreground.map_or(0, rustix::process::Pid::as_raw_pid);
            self.inner.process_group(group);
        }
        self.inner.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_some() {
            self.inner.stdin(Stdio::piped());
        }
        let spawned = spawn(&mut self.inner);
        let mut child = spawned.map_err(|source| ProcessError::Spawn {
            program: program.clone(),
            source,
        })?;
        if let (Some(bytes), Some(mut stdin)) = (self.input.take(), child.stdin.take()) {
            // A child that does not read all of its input is no error of ours; its exit status tells.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        let ended = self.is_on_leash.then(|| Arc::new(AtomicBool::new(false)));
        let stdout = drain(child.stdout.take(), self.capture, ended.clone());
        let stderr = drain(child.stderr.take(), self.capture, ended.clone());
        let bound = Bound {
            deadline: Instant::now() + self.patience,
            called_off: self.called_off.as_deref(),
        };
        if let Some(ended) = ended {
            let _told_below = bound.ended(&mut child);
            ended.store(true, Ordering::Relaxed);
        }
        let stdout = bound.receive(&stdout);
        // What the child itself had to say is there when it has ended; what it left behind may hold the pipe.
        let stderr = bound.receive(&stderr).unwrap_or_default();
        let status = match stdout.is_some().then(|| bound.ended(&mut child)).transpose() {
            Ok(status) => status.flatten(),
            Err(source) => return Err(ProcessError::Spawn { program, source }),
        };
        let (Some(stdout), Some(status)) = (stdout, status) else {
            if self.in_foreground {
                wait::kill_below(&child);
                drop(child.kill());
                drop(child.wait());
            } else {
                kill_group(&mut child);
            }
            return Err(ProcessError::Timeout {
                program,
                patience: self.patience,
            });
        };
        Ok(Finished {
            status,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            is_cut: stdout.is_cut,
        })
    }

    /// Runs the child to a good end and gives its stdout.
    ///
    /// # Errors
    /// As [`Cmd::finish`], [`ProcessError::Failed`] for any other exit status than 0, and [`ProcessError::TooLong`] if
    /// its stdout is longer than what is kept.
    pub fn output(self) -> Result<Vec<u8>, ProcessError> {
        let program = self
            .argv()
            .into_iter()
            .filter(|arg| !arg.starts_with('-') && !arg.contains('='))
            .take(2);
        let program = program.collect::<Vec<_>>().join(" ");
        let capture = self.capture;
        let finished = self.finish()?;
        if finished.status.success() && finished.is_cut {
            return Err(ProcessError::TooLong { program, capture });
        }
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let stderr = String::from_utf8_lossy(&finished.stderr);
        let start = stderr.len().saturating_sub(2000);
        let stderr = stderr.get(start..).unwrap_or(&stderr).trim().to_owned();
        Err(ProcessError::Failed {
            program,
            status: finished.status,
            stderr,
        })
    }
}

#[cfg(test)]
mod tests;
