//! Who was started by whom.

use rustix::process::Pid;

/// The children of a process, also on kernels that do not list them.
pub fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    if let Ok(list) = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return list
            .split_whitespace()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            .collect();
    }
    let parent = parent.to_string();
    processes()
        .filter(|pid| status_field(*pid, "PPid").as_deref() == Some(&parent))
        .collect()
}

/// Every process that this one can see.
pub fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The living descendants of a process.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let (mut found, mut at) = (children(of), 0);
    while let Some(pid) = found.get(at).copied() {
        found.extend(children(pid));
        at += 1;
    }
    found.retain(|pid| is_alive(*pid));
    found
}

/// The session that a process is in; 0 where its leader is outside of what this process can see, as for what was started
/// in a container from without. (`getsid` of rustix cannot say 0.)
pub fn session(of: Pid) -> Option<i32> {
    stat(of)?.get(3)?.parse().ok()
}

/// False for one that has ended and is not yet waited for.
fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields.first().map(String::as_str), None | Some("Z" | "X")))
}

/// What stands in `/proc/PID/stat` (proc(5)) behind the name: the state, the parent, the group, the session, and so on.
fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name is in brackets and may hold any character.
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = String::from_utf8_lossy(stat.get(name_ends + 1..)?);
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// A field of `/proc/PID/status`.
pub fn status_field(pid: Pid, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}
