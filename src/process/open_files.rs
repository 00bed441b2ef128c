//! How many files this process may have open.
//!
//! The soft limit is 1,024 nearly everywhere, for the sake of programs that use `select`; the hard one is what the
//! machine can bear. This process raises its own to the hard one. What it starts gets the limit back that it was
//! given itself: a program of the user's sees what it would see without us.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
};

/// The limit before it was raised.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();
/// The limit is the process's, so only one thread at a time starts a child under the lower one.
static STARTING: Mutex<()> = Mutex::new(());

/// Raises the limit of this process as far as it may.
pub fn raise_limit() {
    let given = *GIVEN.get_or_init(|| getrlimit(Resource::Nofile));
    // A refusal leaves the limit as it is, which is enough for a while.
    let _best_effort = setrlimit(Resource::Nofile, raised(given));
}

/// Gives the limit back for good, before this process becomes another program.
pub(super) fn give_back() {
    if let Some(given) = GIVEN.get() {
        let _best_effort = setrlimit(Resource::Nofile, *given);
    }
}

/// Starts a child that gets the limit which this process was given; `pid` tells which one it is.
///
/// A process that has more files open than that cannot start anything under the lower limit: such a child gets it
/// right after its start.
///
/// # Errors
/// What `start` says.
pub fn start_with_given_limit<T>(
    mut start: impl FnMut() -> io::Result<T>,
    pid: impl Fn(&T) -> Option<u32>,
) -> io::Result<T> {
    let Some(given) = GIVEN.get().filter(|given| raised(**given) != **given) else {
        return start();
    };
    let first = {
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let _best_effort = setrlimit(Resource::Nofile, *given);
        let child = start();
        let _best_effort = setrlimit(Resource::Nofile, raised(*given));
        child
    };
    match first {
        Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {}
        other => return other,
    }
    let child = start()?;
    let of_child = pid(&child).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if of_child.is_some() {
        let _gone_already = prlimit(of_child, Resource::Nofile, *given);
    }
    Ok(child)
}

fn raised(given: Rlimit) -> Rlimit {
    Rlimit {
        current: given.maximum,
        ..given
    }
}
