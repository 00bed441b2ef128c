//! Daemons that have to go: one of another build, which may not understand what this one writes, and one that nobody can
//! reach any more, since its socket is gone.

use std::{fs, os::unix::fs::MetadataExt};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::Client;
use crate::daemon::{DaemonError, PATIENCE, Place};

/// Whether the process `pid` runs another program file than this one: an older or newer build, or one that was
/// replaced since. What cannot be told is not.
fn is_of_another_build(pid: u32) -> bool {
    let file = |path: String| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (
        file(format!("/proc/{pid}/exe")),
        file("/proc/self/exe".to_owned()),
    ) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        _ => false,
    }
}

/// Tells the daemon `pid` to leave if it is of another build; gives whether it was. Its runners go on, and its successor
/// takes them over.
///
/// # Errors
/// If it cannot be told.
pub(super) fn another_build(place: &Place, pid: u32) -> Result<bool, DaemonError> {
    if !is_of_another_build(pid) {
        return Ok(false);
    }
    let mut client = Client::connect(place)?;
    let _accepted: bool = client.call("shutdown", &json!({}), PATIENCE)?;
    Ok(true)
}

/// Tells a daemon that lives without its socket to leave; gives its pid.
pub(super) fn unreachable(place: &Place) -> Option<u32> {
    let record = place.record().ok().flatten()?;
    if !record.process.is_alive() || record.socket.exists() {
        return None;
    }
    let pid = i32::try_from(record.process.pid).ok().and_then(Pid::from_raw)?;
    kill_process(pid, Signal::TERM).ok().map(|()| record.process.pid)
}
