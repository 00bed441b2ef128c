//! What commands ask of a daemon besides waking it.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::replace;
use crate::daemon::{Client, DaemonError, DaemonStatus, PATIENCE, Place, life::lock::DaemonLock, wake};

/// How long a daemon may take to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// What the daemon says of itself.
///
/// # Errors
/// [`DaemonError::NotRunning`] if there is none; it is not started.
pub fn status(place: &Place) -> Result<DaemonStatus, DaemonError> {
    Client::connect(place)?.call("status", &json!({}), PATIENCE)
}

/// Tells the daemon to leave and waits until it has; false if there was none.
///
/// # Errors
/// [`DaemonError::Silent`] if it does not leave.
pub fn stop(place: &Place) -> Result<bool, DaemonError> {
    let mut client = match Client::connect(place) {
        Err(DaemonError::NotRunning) => match replace::unreachable(place) {
            Some(pid) => return wait_for_end(place, pid, LEAVE),
            None => return Ok(false),
        },
        other => other?,
    };
    let _accepted: bool = client.call("shutdown", &json!({}), PATIENCE)?;
    let pid = client.pid();
    drop(client);
    wait_for_end(place, pid, LEAVE)
}

/// Waits until the daemon `pid`, which was told to leave, has.
pub(super) fn wait_for_end(place: &Place, pid: u32, patience: Duration) -> Result<bool, DaemonError> {
    let (deadline, path) = (Instant::now() + patience, place.lock_path());
    // It lets go of the lock last.
    while DaemonLock::try_take(&path)
        .map_err(|source| DaemonError::io(&path, source))?
        .is_none()
    {
        if Instant::now() > deadline {
            return Err(DaemonError::Silent {
                pid,
                patience,
                beat: place.last_beat(),
            });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Carries JSON-RPC between this process's stdin and stdout and the daemon, which is started if need be. The
/// handshake is done here: whoever could run this command may speak.
///
/// # Errors
/// [`DaemonError`] if no daemon can be reached, or the connection breaks.
pub fn bridge(place: &Place) -> Result<(), DaemonError> {
    wake(place)?;
    let (socket, answered) = Client::connect(place)?.into_stream();
    let broken = |source| DaemonError::io("stdin and stdout".as_ref(), source);
    let sender = socket.try_clone().map_err(broken)?;
    // Not joined: it ends with the process, since stdin may stay open when the daemon has gone.
    thread::spawn(move || {
        drop(io::copy(&mut io::stdin().lock(), &mut &sender));
        drop(sender.shutdown(Shutdown::Write));
    });
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answered).map_err(broken)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Each answer goes on as it comes: the other side waits for it.
        let read = (&socket).read(&mut buffer).map_err(broken)?;
        if read == 0 {
            return Ok(());
        }
        stdout
            .write_all(&buffer[..read])
            .and_then(|()| stdout.flush())
            .map_err(broken)?;
    }
}
