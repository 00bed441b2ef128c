//! A process tree that was started: who in it is the brain, how it is stopped, when it is over.

use std::{
    io::Read,
    os::fd::OwnedFd,
    process::{Child, ExitStatus},
    time::Duration,
};

use crate::process::tree::{children, descendants, status_field};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};

/// What [`super::Confinement::start`] started.
#[derive(Debug)]
pub struct Running {
    /// The child: bubblewrap on T2, the program itself on T0. Its streams are the caller's to take.
    pub child: Child,
    info: Option<std::io::PipeReader>,
    /// What bubblewrap has told so far.
    told: Vec<u8>,
    /// It was asked for the init.
    is_asked: bool,
    init: Option<Target>,
    mark: Option<(String, String)>,
}

/// A process held by a descriptor, so that its number cannot come to mean another one.
#[derive(Debug)]
struct Target {
    pid: Pid,
    handle: OwnedFd,
}

impl Target {
    fn hold(pid: Pid) -> Option<Self> {
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, handle })
    }

    fn signal(&self, signal: Signal) -> bool {
        rustix::process::pidfd_send_signal(&self.handle, signal).is_ok()
    }
}

impl Running {
    /// `info` is where bubblewrap names the sandbox's init, and tells the program's end; `mark` is the variable by which, without a sandbox,
    /// what the child leaves behind is found.
    pub(super) fn new(
        child: Child,
        info: Option<std::io::PipeReader>,
        mark: Option<(String, String)>,
    ) -> Self {
        Self {
            child,
            info,
            told: Vec::new(),
            is_asked: false,
            init: None,
            mark,
        }
    }

    /// The brain's process id on the host, once it runs: inside the sandbox the first process after init.
    pub fn brain(&mut self) -> Option<Pid> {
        if self.info.is_none() {
            return own_pid(&self.child);
        }
        let init = self.init()?.pid;
        children(init).into_iter().find(|pid| inner_pid(*pid) == Some(2))
    }

    /// Signals the brain and all that it started, as ctrl-c at a terminal does: a shell that waits for its command ends
    /// with it. The sandbox's own init is left out, since with it everything ends and has no time. False when nothing
    /// runs, or not yet.
    pub fn signal(&mut self, signal: Signal) -> bool {
        if self.info.is_none() {
            let group = own_pid(&self.child);
            return group.is_some_and(|pid| rustix::process::kill_process_group(pid, signal).is_ok());
        }
        let Some(init) = self.init().map(|init| init.pid) else {
            return false;
        };
        let mut reached = false;
        for pid in descendants(init) {
            let Some(target) = Target::hold(pid) else { continue };
            // Its number could have come to mean another one before it was held.
            let still_it = descendants(init).contains(&pid);
            reached |= still_it && target.signal(signal);
        }
        reached
    }

    /// Ends everything at once: the sandbox's init, with which the kernel ends all that is in it; on T0 the group
    /// and what carries the mark.
    pub fn kill(&mut self) {
        if let Some(init) = self.init() {
            let _gone = init.signal(Signal::KILL);
        }
        if let Some(pid) = own_pid(&self.child) {
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        self.end_strays();
    }

    /// Waits at most `patience` for the end of the brain, and then for that of all it started.
    ///
    /// bubblewrap tells how the brain ended before the kernel has ended the rest of the sandbox; who looks at the
    /// work tree must not race with that rest.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub fn wait(&mut self, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
        let _held = self.init();
        let mut ended = self.child.try_wait()?;
        if ended.is_none() {
            if let Some(target) = own_pid(&self.child).and_then(Target::hold) {
                readable(&target.handle, patience)?;
            }
            ended = self.child.try_wait()?;
        }
        if let (Some(_), Some(init)) = (ended, self.init()) {
            readable(&init.handle, Duration::from_secs(10))?;
        }
        if ended.is_some() {
            self.end_strays();
        }
        Ok(ended)
    }

    /// Ends, on T0, what left the child's group.
    fn end_strays(&self) {
        if let Some((name, value)) = &self.mark {
            let ended = super::survivors::end_marked(name, value);
            tracing::debug!(ended, "strays");
        }
    }

    /// The sandbox's init, as bubblewrap names it: the first time this is asked it waits for the answer.
    fn init(&mut self) -> Option<&Target> {
        if !std::mem::replace(&mut self.is_asked, true) {
            self.hear(Duration::from_secs(5), |told| child_pid(told).is_some());
            self.init = child_pid(&self.told).and_then(Target::hold);
        }
        self.init.as_ref()
    }

    /// Reads what bubblewrap tells until it is `enough`. Not to its end: another child of ours may have inherited the
    /// other side of the pipe.
    fn hear(&mut self, patience: Duration, enough: impl Fn(&[u8]) -> bool) {
        let Some(info) = &mut self.info else { return };
        let mut chunk = [0; 512];
        while !enough(&self.told) && readable(&*info, patience).unwrap_or(false) {
            match info.read(&mut chunk) {
                Ok(count @ 1..) => self.told.extend_from_slice(&chunk[..count]),
                Ok(0) | Err(_) => break,
            }
        }
    }

    /// Whether the sandbox could be set up, of what ended with `status` and said `said` on stderr.
    pub fn has_started(&mut self, status: ExitStatus, said: &[u8]) -> bool {
        self.hear(Duration::ZERO, |_| false);
        self.info.is_none() || has_started((status, said), &self.told)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that is forgotten must not run on unseen.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            drop(self.child.wait());
        }
    }
}

pub(super) fn readable(fd: &impl std::os::fd::AsFd, patience: Duration) -> std::io::Result<bool> {
    let limit = Timespec::try_from(patience).ok();
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    match rustix::event::poll(&mut fds, limit.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn own_pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// The lines of bubblewrap's status that are whole.
fn lines(told: &[u8]) -> impl Iterator<Item = serde_json::Value> {
    let lines = told.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}

fn child_pid(told: &[u8]) -> Option<Pid> {
    let pid = lines(told).find_map(|line| line.get("child-pid")?.as_i64())?;
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Whether bubblewrap has come to its program, by how it ended, what it said and what it told: the program's exit code,
/// which it tells only where it had set up all before. One that was killed tells nothing. A program that is not there
/// is the last thing to fail, and fails again.
pub(super) fn has_started((ended, said): (ExitStatus, &[u8]), told: &[u8]) -> bool {
    let mut words = said.split(|byte| *byte == b'\n');
    ended.code() != Some(1)
        || lines(told).any(|line| line.get("exit-code").is_some())
        || words.any(|line| line.starts_with(b"bwrap: execvp "))
}

/// The number that a process has in the innermost namespace.
fn inner_pid(pid: Pid) -> Option<i32> {
    status_field(pid, "NSpid")?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}
