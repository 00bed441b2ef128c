//! Follows a running brain to its end, on one thread: its output goes to the spool and is translated, its limits
//! are kept, and whoever wants it stopped is heard.
//!
//! Stopping is gentle first: INT to the brain itself, then TERM, then the end of its sandbox. A brain that only
//! goes on trying what cannot work (a refused key, endless retries) is stopped the same way.

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use super::{RunnerError, checkpoint::Checkpoints, control::Control, spool::Spool};
use crate::{
    brain::{Event, Translator, Trouble, Verdict},
    guard::sandbox::running::Running,
};

/// How long a brain has after INT, and again after TERM.
const GRACE: Duration = Duration::from_secs(5);
/// And once the brain itself is gone.
const REST: Duration = Duration::from_millis(300);
/// How long nothing may come any more after the brain has ended: something that it left behind holds the pipe.
const LINGER: Duration = Duration::from_millis(300);
/// How long output may come after it in all: what it left behind may write for ever.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// How long a brain may go on trying to reach its provider.
const OFFLINE: Duration = Duration::from_secs(150);
/// How often the limits are looked at when nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// Most bytes taken from a pipe at once.
const CHUNK: usize = 64 << 10;

/// How long a run may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// In all.
    pub(super) task: Duration,
    /// Without a sign of life.
    pub(super) silence: Duration,
}

/// Why a run was stopped before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Someone asked.
    Cancelled,
    /// The task's limit.
    TimedOut,
    /// The limit of silence.
    Silent,
    /// The brain would only go on trying.
    Hopeless(Trouble),
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// How the process ended.
    pub(super) status: ExitStatus,
    /// What the brain says it came to.
    pub(super) verdict: Verdict,
    /// Why it was stopped, if it was.
    pub(super) stop: Option<Stop>,
    /// False where the sandbox could not be set up: nothing has run.
    pub(super) has_started: bool,
}

impl Ended {
    /// Whether its provider could not be reached.
    pub(super) fn offline(&self) -> bool {
        self.verdict.offline || self.stop == Some(Stop::Hopeless(Trouble::Network))
    }
}

/// Where what is heard of a run goes.
pub(super) struct Ears<'a> {
    pub(super) translator: &'a mut Translator,
    pub(super) spool: &'a mut Spool,
    pub(super) control: &'a Control,
    pub(super) checkpoints: &'a mut Checkpoints,
    /// Told of each limit that the brain means to wait for, with its end where the provider named one.
    pub(super) limited: &'a mut dyn FnMut(Option<i64>),
}

impl Ears<'_> {
    fn events(&mut self, events: Vec<Event>) -> io::Result<()> {
        for event in events {
            if matches!(event, Event::RateLimit { .. }) {
                (self.limited)(self.translator.verdict().limited_until);
            }
            let spool = &*self.spool;
            self.checkpoints
                .note(&event, &|text| spool.clean(text.as_bytes()));
            self.spool.event(event)?;
        }
        Ok(())
    }

    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.spool.stdout(bytes)?;
        let events = self.translator.stdout(bytes);
        self.events(events)
    }

    fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.spool.stderr(bytes)?;
        let events = self.translator.stderr(bytes);
        self.events(events)
    }
}

/// Follows `running` to its end.
///
/// # Errors
/// If the disk refuses, or this attempt was given up for dead; the brain is ended then.
pub(super) fn follow(
    mut running: Running,
    mut ears: Ears<'_>,
    patience: Patience,
) -> Result<Ended, RunnerError> {
    let mut out = running.child.stdout.take();
    let mut err = running.child.stderr.take();
    let mut clock = Clock::start(patience);
    let mut over: Option<Over> = None;
    loop {
        wait_for_news(
            out.as_ref().map(AsFd::as_fd),
            err.as_ref().map(AsFd::as_fd),
            ears.control,
            over.is_some(),
        )?;
        let mut heard = false;
        if let Some(bytes) = take(&mut out)? {
            heard = true;
            ears.stdout(&bytes)?;
        }
        if let Some(bytes) = take(&mut err)? {
            heard = true;
            ears.stderr(&bytes)?;
        }
        if let Some(over) = over.as_mut().filter(|_| heard) {
            over.quiet = Instant::now();
        }
        if ears.control.answer() {
            clock.want(Stop::Cancelled);
        }
        ears.checkpoints.tick(ears.spool.position())?;
        clock.tick(heard, ears.translator.hopeless(), ears.translator.struggles());
        clock.enforce(&mut running);
        // Asked last: the first answer takes as long as the sandbox takes to begin, and a brain is heard before.
        if over.is_none() {
            over = running.wait(Duration::ZERO)?.map(Over::now);
        }
        if let Some(Over { status, .. }) = over.filter(|over| {
            let dry = out.is_none() && err.is_none();
            dry || over.quiet.elapsed() > LINGER || over.since.elapsed() > AFTERWARDS
        }) {
            let last = ears.translator.finish(status.code());
            ears.events(last)?;
            ears.spool.settle_all()?;
            let said = ears.spool.errors()?;
            return Ok(Ended {
                status,
                verdict: ears.translator.verdict(),
                stop: clock.stop,
                has_started: running.has_started(status, &said),
            });
        }
    }
}

/// The brain has ended.
#[derive(Clone, Copy)]
struct Over {
    status: ExitStatus,
    since: Instant,
    /// Since when nothing more has come of it.
    quiet: Instant,
}

impl Over {
    fn now(status: ExitStatus) -> Self {
        let now = Instant::now();
        Self {
            status,
            since: now,
            quiet: now,
        }
    }
}

/// Waits for output, for a caller, or for the next tick.
fn wait_for_news(
    out: Option<BorrowedFd<'_>>,
    err: Option<BorrowedFd<'_>>,
    control: &Control,
    over: bool,
) -> io::Result<()> {
    let mut fds = vec![PollFd::from_borrowed_fd(
        control.listener().as_fd(),
        PollFlags::IN,
    )];
    fds.extend(
        [out, err]
            .into_iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
    );
    // The end of the process closes its pipes, so it is news by itself; only a closed pipe needs the short tick.
    let quiet = out.is_none() && err.is_none();
    let tick = if over || quiet {
        Duration::from_millis(10)
    } else {
        TICK
    };
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(tick.subsec_nanos()),
    };
    match poll(&mut fds, Some(&tick)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes what a pipe holds now, without waiting; an ended pipe becomes `None`.
fn take<R: Read + AsFd>(pipe: &mut Option<R>) -> io::Result<Option<Vec<u8>>> {
    let Some(reader) = pipe else { return Ok(None) };
    let mut fds = [PollFd::new(&*reader, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if poll(&mut fds, Some(&now)).unwrap_or(0) == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; CHUNK];
    let n = reader.read(&mut bytes)?;
    if n == 0 {
        *pipe = None;
        return Ok(None);
    }
    bytes.truncate(n);
    Ok(Some(bytes))
}

/// The limits of a run, and how far stopping has gone.
struct Clock {
    patience: Patience,
    started: Instant,
    heard: Instant,
    stop: Option<Stop>,
    stopping: Option<(usize, Instant)>,
}

impl Clock {
    fn start(patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            patience,
            started: now,
            heard: now,
            stop: None,
            stopping: None,
        }
    }

    fn want(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    /// Tries to reach a provider are no sign of life.
    fn tick(&mut self, heard: bool, hopeless: Option<Trouble>, struggles: Option<Duration>) {
        if heard {
            self.heard = Instant::now();
        }
        if let Some(trouble) = hopeless {
            self.want(Stop::Hopeless(trouble));
        } else if struggles.is_some_and(|time| time > OFFLINE.min(self.patience.silence)) {
            self.want(Stop::Hopeless(Trouble::Network));
        } else if self.started.elapsed() > self.patience.task {
            self.want(Stop::TimedOut);
        } else if self.heard.elapsed() > self.patience.silence {
            self.want(Stop::Silent);
        }
    }

    fn enforce(&mut self, running: &mut Running) {
        if self.stop.is_none() {
            return;
        }
        // The brain has had its say; what it started and left behind need not keep everyone waiting.
        let has_left = self.stopping.is_some() && running.brain().is_none();
        let grace = if has_left { REST } else { GRACE };
        let due = self.stopping.is_none_or(|(_, since)| since.elapsed() > grace);
        if !due {
            return;
        }
        let step = self.stopping.map_or(0, |(step, _)| step + 1);
        match step {
            0 => drop(running.signal(Signal::INT)),
            1 => drop(running.signal(Signal::TERM)),
            _ => running.kill(),
        }
        self.stopping = Some((step, Instant::now()));
    }
}
