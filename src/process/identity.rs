//! Which process: a pid alone is reused, a pid with its start time within one boot is not.

use std::{fs, io};

use serde::{Deserialize, Serialize};

/// One process of one boot of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// The boot that it belongs to.
    pub boot: String,
}

impl ProcessId {
    /// This very process.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has `pid` now.
    ///
    /// # Errors
    /// If there is none, or `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            pid,
            start: stat(pid)?.start,
            boot: boot_id()?,
        })
    }

    /// Whether it still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|boot| boot == self.boot);
        same_boot && stat(self.pid).is_ok_and(|stat| stat.start == self.start && !stat.dead)
    }
}

/// Whether a process is stopped, by a signal or a debugger: it does nothing until it is told to go on.
pub fn is_stopped(pid: u32) -> bool {
    stat(pid).is_ok_and(|stat| stat.stopped)
}

/// Whether the process that has `pid` now was started with all of `words`, in this order, on its command line.
pub fn runs(pid: u32, words: &[&str]) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut line = line.split(|byte| *byte == 0);
    words
        .iter()
        .all(|wanted| line.any(|word| word == wanted.as_bytes()))
}

/// The id of this boot.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// The id of this machine: stable over boots, another one on every machine, and no telltale of `/etc/machine-id`,
/// which is confidential. Without that file the host's name stands in.
pub fn machine_id() -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("git-khlone machine\0{}", machine_seed()));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("m-{hex}")
}

/// Whether two ids are those of one machine. Releases before the present form wrote another id for this one, which
/// stands in documents for ever.
pub fn is_same_machine(one: &str, other: &str) -> bool {
    let ours = |id: &str| id == machine_id() || id == former_machine_id();
    one == other || (ours(one) && ours(other))
}

/// This machine's id as it was formed once: 64 bits that depend linearly on each other, so it is only recognised.
fn former_machine_id() -> String {
    let seed = machine_seed();
    let hash = |part: &str| crc32fast::hash(format!("git-khlone {part} {seed}").as_bytes());
    format!("m-{:08x}{:08x}", hash("a"), hash("b"))
}

fn machine_seed() -> String {
    let seed = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if seed.trim().is_empty() {
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
    } else {
        seed.trim().to_owned()
    }
}

struct Stat {
    start: u64,
    dead: bool,
    stopped: bool,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc stat");
    // The command's name is in parentheses and may hold anything, closing parentheses too.
    let (_, fields) = text.rsplit_once(')').ok_or_else(bad)?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next().ok_or_else(bad)?;
    let start = fields
        .nth(18)
        .and_then(|field| field.parse().ok())
        .ok_or_else(bad)?;
    Ok(Stat {
        start,
        dead: matches!(state, "Z" | "X"),
        stopped: matches!(state, "T" | "t"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_pid() {
        let me = ProcessId::current().unwrap();
        assert!(me.is_alive());
        assert!(
            !ProcessId {
                start: me.start + 1,
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessId {
                boot: "another".to_owned(),
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_machine_is_known_by_its_former_id() {
        let (new, old) = (machine_id(), former_machine_id());
        assert_eq!((new.len(), old.len()), (34, 18));
        assert!(is_same_machine(&new, &old) && is_same_machine(&old, &new));
        assert!(is_same_machine("m-x", "m-x"));
        assert!(!is_same_machine(&new, "m-x") && !is_same_machine("m-x", &old));
    }

    #[test]
    fn the_dead_are_dead_before_they_are_reaped() {
        let mut child = super::super::Cmd::new("true").into_inner().spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let bound = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while id.is_alive() && std::time::Instant::now() < bound {
            std::thread::yield_now();
        }
        assert!(!id.is_alive());
        child.wait().unwrap();
    }
}
