//! Errors that say nothing about the work itself: the machine was short of something, or a process was killed.
//! The same step can succeed later, unchanged.
//!
//! Recognised by their words: git and libgit2 pass on no error number, only what the system calls it.

/// What a child process that was killed is described with, see [`super::ProcessError`].
pub(super) const KILLED: &str = "was killed (";

/// Disk, quota, memory, processes, file descriptors, and a failing device, as `strerror`, git and libgit2 put it.
const WORDS: [&str; 13] = [
    KILLED,
    "no space left",
    "quota exceeded",
    "input/output error",
    "read-only file system",
    "cannot allocate memory",
    "out of memory",
    "too many open files",
    "resource temporarily unavailable",
    "died of signal",
    "stale file handle",
    "structure needs cleaning",
    "no buffer space available",
];

/// Whether an error's message tells of a shortage or a kill.
pub fn is_shortage(said: &str) -> bool {
    let said = said.to_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::*;
    use crate::process::Cmd;

    #[test]
    fn what_the_system_runs_out_of_is_a_shortage() {
        let short = [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::IO,
            Errno::ROFS,
        ];
        for errno in short {
            assert!(is_shortage(&io::Error::from(errno).to_string()), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::EXIST, Errno::NOTDIR] {
            assert!(!is_shortage(&io::Error::from(errno).to_string()), "{errno}");
        }
    }

    #[test]
    fn a_killed_child_is_a_shortage_and_a_failed_one_is_not() {
        let run = |script| Cmd::new("sh").args(["-c", script]).output().unwrap_err();
        for killed in ["kill -9 $$", "sh -c 'kill -9 $$'; exit $?"] {
            assert!(is_shortage(&run(killed).to_string()), "{}", run(killed));
        }
        assert!(!is_shortage(&run("exit 3").to_string()));
    }
}
