//! Processes that left their group and their parent.
//!
//! On T2 the pid namespace leaves none. On T0, and after a runner was killed, three things tell what a brain
//! daemonised: the variable that its attempt alone carries, the attempt's lock that it inherited and still holds open,
//! and, as long as the runner lives, that orphans become the runner's children ([`adopt`]). A process that has rewritten
//! its environment and closed its files is found by the last alone.

use std::{os::unix::fs::MetadataExt, path::Path, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::process::tree::{children, descendants, processes};

/// The variable that only a task's own processes carry.
pub const MARK: &str = "KHLONE_TASK";

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
    end_all(|| marked(name, value), |pid| has_mark(pid, mark.as_bytes()))
}

/// Ends what a dead runner's attempt has left: by the task's mark, and by `lock`, the attempt's lock, which it inherited
/// and so still holds. The caller holds the runner's, so nobody else has this one.
pub fn end_attempt(task: &str, lock: &Path) -> usize {
    let ended = end_marked(MARK, task);
    let Ok(lock) = lock.metadata() else { return ended };
    let lock = (lock.dev(), lock.ino());
    let own = rustix::process::getpid();
    let find = || {
        processes()
            .filter(|pid| *pid != own && holds(*pid, lock))
            .collect()
    };
    ended + end_all(find, |pid| holds(pid, lock))
}

/// Makes orphans of this process's descendants its children, so that [`end_children`] finds them. For a process that
/// starts nothing but one brain.
pub fn adopt() {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::debug!(%error, "orphans go to init");
    }
}

/// Ends all children of this process and theirs, whatever they made of their environment. Nothing that this process
/// has started and waits for may be among them.
pub fn end_children() -> usize {
    let own = rustix::process::getpid();
    let ended = end_all(|| descendants(own), |_| true);
    // What has ended stays a zombie until it is waited for.
    for child in children(own) {
        let _gone = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
    }
    ended
}

/// Kills what `find` finds until there is nothing left. `still_it` is asked once the process is held.
fn end_all(find: impl Fn() -> Vec<Pid>, still_it: impl Fn(Pid) -> bool) -> usize {
    let mut ended = 0;
    let mut empty_looks = 0;
    for _round in 0..50 {
        let found = find();
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
            if still_it(pid) && rustix::process::pidfd_send_signal(&handle, Signal::KILL).is_ok() {
                ended += 1;
                let _may_take_longer = super::running::readable(&handle, Duration::from_millis(500));
            }
        }
    }
    ended
}

/// True if one of its open files is this one and holds the lock on it; who merely looks whether it is locked has it
/// open too.
fn holds(pid: Pid, file: (u64, u64)) -> bool {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let open = std::fs::read_dir(format!("{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    open.into_iter().any(|entry| {
        let is_it = std::fs::metadata(entry.path()).is_ok_and(|data| (data.dev(), data.ino()) == file);
        let info = || {
            let number = entry.file_name();
            std::fs::read_to_string(format!("{process}/fdinfo/{}", number.to_string_lossy()))
                .unwrap_or_default()
        };
        is_it
            && info()
                .lines()
                .any(|line| line.starts_with("lock:") && line.contains(" WRITE "))
    })
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

    /// Starts a daemon with `vars`, and returns when it runs.
    fn daemon(dir: &Path, env: &str, mark: &str) {
        // `head` ends when the daemon has said that it runs.
        let script = format!(
            "mkfifo $1; setsid {env} sh -c 'sleep 100 & echo up; sleep 100' >$1 2>&1 </dev/null & head -n1 $1"
        );
        Cmd::new("sh")
            .args(["-c", &script, "start"])
            .arg(dir.join("pipe"))
            .env("KHLONE_TEST_MARK", mark)
            .output()
            .unwrap();
    }

    #[test]
    fn a_daemon_is_found_by_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let value = format!("survivor-{}", std::process::id());
        daemon(dir.path(), "", &value);
        assert!(end_marked("KHLONE_TEST_MARK", &value) >= 1);
        assert!(marked("KHLONE_TEST_MARK", &value).is_empty());
    }

    #[test]
    fn one_without_a_mark_is_found_by_the_lock_that_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let file = std::fs::File::create(&lock).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        daemon(dir.path(), "env -i PATH=$PATH", "");
        drop(file);
        let _looking = std::fs::File::open(&lock).unwrap();
        let data = lock.metadata().unwrap();
        let lock_id = (data.dev(), data.ino());
        let holders = || processes().filter(|pid| holds(*pid, lock_id)).count();
        assert!(holders() >= 1);
        assert!(end_attempt("t-none", &lock) >= 1);
        assert_eq!(holders(), 0);
    }
}
