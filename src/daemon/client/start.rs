//! Waking the daemon, and starting it where there is none.
//!
//! Of any number of callers one takes the lock and starts the daemon with it; the others wait for the socket to
//! answer. Nothing here decides by what a file says: the daemon's own answer or the lock does.

use std::{
    io::{self, PipeReader, Read},
    path::Path,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::replace;
use crate::{
    daemon::{
        Code, DaemonError, Place, client,
        life::{lock::DaemonLock, log},
    },
    process::{self, Cmd, file::append, in_our_group},
};

/// How long a daemon may take from its start to its first answer.
pub const START: Duration = Duration::from_secs(10);

/// The least time that a daemon is given to answer.
const LEAST: Duration = Duration::from_millis(100);

/// How often one caller tries to start a daemon that does not come up.
const LAUNCHES: u32 = 3;

/// What the daemon writes to its starter once it listens.
pub(crate) const READY: &[u8] = b"ready\n";

/// How a daemon was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// One was there.
    Running {
        /// Its pid.
        pid: u32,
    },
    /// This call started one.
    Started {
        /// Its pid.
        pid: u32,
    },
}

/// Makes sure that a daemon looks at the ledger after now: wakes the living one, or starts one.
///
/// # Errors
/// [`DaemonError`] if none could be woken or started; what is in the ledger is safe all the same, and the next
/// daemon finds it.
pub fn wake(place: &Place) -> Result<Woken, DaemonError> {
    let program =
        std::env::current_exe().map_err(|source| DaemonError::io("/proc/self/exe".as_ref(), source))?;
    for _ in 0..LAUNCHES {
        let woken = wake_with(place, &program)?;
        match place.attendance().map(|attendance| attendance.keep(place)) {
            None | Some(Ok(())) => return Ok(woken),
            // It was just leaving.
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error),
        }
    }
    Err(not_up(place))
}

fn wake_with(place: &Place, program: &Path) -> Result<Woken, DaemonError> {
    let deadline = Instant::now() + START;
    let mut pause = Duration::from_millis(1);
    let (mut launches, mut own) = (0, None);
    let mut told = false;
    loop {
        let answer = client::wake(
            place,
            deadline.saturating_duration_since(Instant::now()).max(LEAST),
        );
        match (answer, own) {
            (Ok(pid), Some(started)) if pid == started => return Ok(Woken::Started { pid }),
            (Ok(pid), _) => {
                if told || !replace::another_build(place, pid)? {
                    return Ok(Woken::Running { pid });
                }
                told = true;
            }
            // It had nothing to do and has left; one that died leaves its record behind.
            (Err(DaemonError::NotRunning), Some(pid)) if !place.record_path().exists() => {
                return Ok(Woken::Started { pid });
            }
            (Err(error), _) if !is_passing(&error) => return Err(error),
            (Err(error @ DaemonError::Stranger { .. }), _) if Instant::now() > deadline => return Err(error),
            (Err(DaemonError::NotRunning), None) if !told => told = replace::unreachable(place).is_some(),
            (Err(_), _) => {}
        }
        let lock_path = place.lock_path();
        let lock = DaemonLock::try_take(&lock_path).map_err(|source| DaemonError::io(&lock_path, source))?;
        if let Some(lock) = lock {
            // Killed while it came up, perhaps; one that cannot come up is not tried for ever.
            if launches == LAUNCHES {
                return Err(not_up(place));
            }
            launches += 1;
            own = launch(place, program, lock, deadline)?;
            continue;
        }
        // Someone is starting one, or the last one is just leaving.
        if Instant::now() > deadline {
            return Err(not_up(place));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(40));
    }
}

/// Whether the daemon is on its way out or its successor on its way in: the next moment is different.
fn is_passing(error: &DaemonError) -> bool {
    match error {
        // A successor that has bound its socket and not yet written its record looks like a stranger.
        DaemonError::NotRunning | DaemonError::HungUp | DaemonError::Stranger { .. } => true,
        DaemonError::Rpc(error) => error.code == Code::Stopping.number(),
        _ => false,
    }
}

/// Starts a daemon that takes the lock over, and waits until it is there; `None` if it does not come up.
fn launch(
    place: &Place,
    program: &Path,
    lock: DaemonLock,
    deadline: Instant,
) -> Result<Option<u32>, DaemonError> {
    let pipe = |source| DaemonError::io(program, source);
    let (ready, tell) = io::pipe().map_err(pipe)?;
    let log_path = place.log_path();
    let log = append(&log_path).map_err(|source| DaemonError::io(&log_path, source))?;
    let mut command = Cmd::new(program)
        .args(["daemon", "run", "--handed", "--site"])
        .arg(place.common())
        .args(place.attendance().map(|_| "--attended"))
        .outliving()
        .dir("/")
        .into_inner();
    // It begins a session of its own, which the leader of a group cannot: it starts in our group.
    in_our_group(&mut command);
    // A daemon that a task's brain happened to start is not that task's.
    for (name, _) in std::env::vars_os() {
        if ["KHLONE_TASK", "KHLONE_CLONE", "KHLONE_ZONE", "KHLONE_PORT"]
            .iter()
            .any(|own| name == *own)
        {
            command.env_remove(name);
        }
    }
    command.stdin(lock.into_stdin()).stdout(tell).stderr(log);
    let spawned = process::spawn(&mut command);
    // The command holds the lock and the pipe too.
    drop(command);
    let child = spawned.map_err(|source| DaemonError::io(program, source))?;
    Ok(is_ready(ready, deadline).then(|| child.id()))
}

/// Whether the daemon says within the time that it is there. It is told apart from one that ends by what it says.
fn is_ready(mut ready: PipeReader, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let Ok(left) = Timespec::try_from(left) else {
        return false;
    };
    let mut said = [0; READY.len()];
    let mut fds = [PollFd::new(&ready, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&left)), Ok(1)) && ready.read_exact(&mut said).is_ok() && said == READY
}

fn not_up(place: &Place) -> DaemonError {
    let log = log::tail(&place.log_path(), 1)
        .unwrap_or_default()
        .trim()
        .to_owned();
    DaemonError::NotUp { log }
}
