//! Processes that left their group and their parent, found by a mark in their environment.
//!
//! On T2 the pid namespace leaves none. On T0, and after a runner was killed, what a brain daemonised is found by
//! the variable that its attempt alone carries. A process that rewrote its environment is not found.

use std::{path::Path, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::running::processes;

/// The processes of this user whose environment holds `name=value`, but for ourselves.
pub fn marked(name: &str, value: &str) -> Vec<Pid> {
    let mark = format!("{name}={value}");
    let own = rustix::process::getpid();
    processes()
        .filter(|pid| *pid != own && has_mark(*pid, mark.as_bytes()))
        .collect()
}

/// Kills what [`marked`] finds until there is nothing left; gives the number of processes killed.
///
/// One that forks faster than it is found is given up after some rounds; the caller sees it in [`marked`].
pub fn end_marked(name: &str, value: &str) -> usize {
    let mark = format!("{name}={value}");
    let mut ended = 0;
    let mut empty_looks = 0;
    for _round in 0..50 {
        let found = marked(name, value);
        if found.is_empty() {
            // One that is just replacing its program shows no environment for a moment.
            empty_looks += 1;
            if empty_looks == 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        empty_looks = 0;
        for pid in found {
            let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            // Looked at again now that its number is held.
            if has_mark(pid, mark.as_bytes())
                && rustix::process::pidfd_send_signal(&handle, Signal::KILL).is_ok()
            {
                ended += 1;
                let _may_take_longer = super::running::readable(&handle, Duration::from_millis(500));
            }
        }
    }
    ended
}

fn has_mark(pid: Pid, mark: &[u8]) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    // Empty for those that have ended and are not yet waited for.
    std::fs::read(Path::new(&path)).is_ok_and(|env| env.split(|byte| *byte == 0).any(|var| var == mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Cmd;

    #[test]
    fn a_daemon_is_found_by_its_mark() {
        let value = format!("survivor-{}", std::process::id());
        // `head` ends when the daemon has said that it runs.
        let script =
            "mkfifo $1; setsid sh -c 'sleep 100 & echo up; sleep 100' >$1 2>&1 </dev/null & head -n1 $1";
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        Cmd::new("sh")
            .args(["-c", script, "start"])
            .arg(&pipe)
            .env("KHLONE_TEST_MARK", &value)
            .output()
            .unwrap();
        assert!(end_marked("KHLONE_TEST_MARK", &value) >= 1);
        assert!(marked("KHLONE_TEST_MARK", &value).is_empty());
    }
}
