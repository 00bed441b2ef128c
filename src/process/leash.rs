//! A program of the user's, a hook or a signer, that does not outlive the command that runs it.
//!
//! Between the two stands this program once more, as `git-khlone leash`: it starts the program, and where the command is
//! gone, killed or interrupted, it ends what was started: by TERM, so that a git among it lets go of its locks, and then
//! by KILL. What has begun a session of its own, a daemon, stays as it would with git.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitOptions, getppid, kill_process, pidfd_open, waitpid},
};

use super::{
    spawn,
    tree::{descendants, session},
};

/// The word by which this program knows that it is one.
pub const WORD: &str = "leash";
/// How long what was told to end may take.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is looked who is there.
const LOOK: Duration = Duration::from_millis(20);
/// How often the command is looked at, where the kernel gives no descriptor of it.
const POLL: Duration = Duration::from_millis(200);

/// Whether this program can be started again as a leash.
static THERE: AtomicBool = AtomicBool::new(false);

/// Says that this program knows [`WORD`].
pub fn enable() {
    THERE.store(true, Ordering::Relaxed);
}

/// `command` on a leash of this process; itself where there is none. Its streams are to be set anew.
#[expect(clippy::disallowed_methods, reason = "the gate puts it in between")]
pub(super) fn put_on(command: Command) -> Command {
    let own = if cfg!(target_os = "linux") {
        // Also where the file was replaced meanwhile.
        Ok("/proc/self/exe".into())
    } else {
        std::env::current_exe()
    };
    let Some(own) = own.ok().filter(|_| THERE.load(Ordering::Relaxed)) else {
        return command;
    };
    let mut leash = Command::new(own);
    leash.arg(WORD).arg(std::process::id().to_string());
    leash.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leash.env(name, value),
            None => leash.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        leash.current_dir(dir);
    }
    leash
}

/// Runs `argv` for the process `holder`, with the streams and the group of this one.
///
/// # Errors
/// If it cannot be started.
#[expect(clippy::disallowed_methods, reason = "this is a part of the gate")]
pub fn run(holder: i32, argv: &[OsString]) -> io::Result<u8> {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::debug!(%error, "orphans go to init");
    }
    let is_there = || getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == holder);
    let [program, words @ ..] = argv else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "nothing to run"));
    };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::inherit());
    let mut child = spawn(&mut command)?;
    let of = |pid: i32| Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let handles = (of(i32::try_from(child.id()).unwrap_or(0)), of(holder));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(code(status));
        }
        if !is_there() {
            end_all();
            return Ok(128 + 9);
        }
        match (&handles, Timespec::try_from(POLL)) {
            ((Some(child), Some(holder)), Ok(step)) => {
                let mut both = [child, holder].map(|handle| PollFd::new(handle, PollFlags::IN));
                let _interrupted = poll(&mut both, Some(&step));
            }
            _ => thread::sleep(LOOK),
        }
    }
}

/// As a shell tells.
fn code(status: ExitStatus) -> u8 {
    let by_signal = || status.signal().map_or(1, |signal| 128 + signal);
    u8::try_from(status.code().unwrap_or_else(by_signal)).unwrap_or(1)
}

/// Ends what descends from this process in its session.
fn end_all() {
    let own = rustix::process::getpid();
    let own_session = session(own);
    let began = Instant::now();
    let mut told = Vec::new();
    loop {
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
        let mut left = descendants(own);
        left.retain(|pid| session(*pid) == own_session);
        if left.is_empty() || began.elapsed() > 2 * GRACE {
            return;
        }
        for pid in left {
            if began.elapsed() > GRACE {
                let _gone = kill_process(pid, Signal::KILL);
            } else if !told.contains(&pid) {
                let _gone = kill_process(pid, Signal::TERM);
                told.push(pid);
            }
        }
        thread::sleep(LOOK);
    }
}
