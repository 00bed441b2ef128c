//! Waiting for a child and for what it says, no longer than it may take.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    process::{Child, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, getpid, kill_process, kill_process_group, pidfd_open},
};

use super::tree::{descendants, session};

/// How often it is looked whether a wait was called off.
const LOOK: Duration = Duration::from_millis(50);
/// How often a child is looked at where the kernel gives no descriptor of it.
const POLL: Duration = Duration::from_millis(10);

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// One stream of a child, up to the capture limit.
#[derive(Debug, Default)]
pub(super) struct Captured {
    pub(super) bytes: Vec<u8>,
    /// Whether there was more.
    pub(super) is_cut: bool,
}

/// Until when to wait.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) deadline: Instant,
    pub(super) called_off: Option<&'a AtomicBool>,
}

impl Bound<'_> {
    fn is_over(self) -> bool {
        Instant::now() >= self.deadline || self.called_off.is_some_and(|off| off.load(Ordering::Relaxed))
    }

    /// The time until the next look.
    fn step(self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.called_off.map_or(left, |_| left.min(LOOK))
    }

    /// What comes from `receiver`, if it comes in time.
    pub(super) fn receive(self, receiver: &mpsc::Receiver<Captured>) -> Option<Captured> {
        loop {
            match receiver.recv_timeout(self.step()) {
                Ok(captured) => return Some(captured),
                // A reader that broke has nothing to say.
                Err(mpsc::RecvTimeoutError::Disconnected) => return Some(Captured::default()),
                Err(mpsc::RecvTimeoutError::Timeout) if self.is_over() => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// How `child` ended, if it ends in time.
    pub(super) fn ended(self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let handle = own_pid(child).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        loop {
            let ended = child.try_wait()?;
            if ended.is_some() || self.is_over() {
                return Ok(ended);
            }
            match (&handle, Timespec::try_from(self.step())) {
                (Some(handle), Ok(step)) => {
                    let _interrupted = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&step));
                }
                _ => thread::sleep(self.step().min(POLL)),
            }
        }
    }
}

/// Reads a stream to its end on a thread of its own, and keeps the first `capture` bytes of it; with `ended`, no further
/// than to what is there once that is true.
pub(super) fn drain<R: Read + AsFd + Send + 'static>(
    stream: Option<R>,
    capture: usize,
    ended: Option<Arc<AtomicBool>>,
) -> mpsc::Receiver<Captured> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stream) = stream {
        thread::spawn(move || {
            let (mut captured, mut chunk) = (Captured::default(), vec![0; CHUNK]);
            // Past the limit the child is still read, so that it never blocks on a full pipe.
            while ended.as_ref().is_none_or(|ended| has_more(&stream, ended)) {
                let count = match stream.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let room = (capture - captured.bytes.len()).min(count);
                captured.bytes.extend_from_slice(&chunk[..room]);
                captured.is_cut |= room < count;
            }
            drop(sender.send(captured));
        });
    }
    receiver
}

/// Waits until there is something to read, or its end; false if there is nothing and `ended`.
fn has_more(stream: &impl AsFd, ended: &AtomicBool) -> bool {
    loop {
        // Before the look: what came until then is seen.
        let is_last = ended.load(Ordering::Relaxed);
        let step = Timespec::try_from(LOOK).ok();
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], step.as_ref()) {
            Ok(0) if is_last => return false,
            Ok(0) | Err(Errno::INTR) => {}
            _ => return true,
        }
    }
}

/// Ends what a child has started in our session.
pub(super) fn kill_below(child: &Child) {
    let own = session(getpid());
    for pid in own_pid(child).map(descendants).unwrap_or_default() {
        if session(pid) == own {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

pub(super) fn kill_group(child: &mut Child) {
    if let Some(pid) = own_pid(child) {
        let _gone = kill_process_group(pid, Signal::KILL);
    }
    drop(child.wait());
}

fn own_pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}
