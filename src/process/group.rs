//! Children that start in our own process group, where all others lead one of their own.

use std::{fs, os::unix::process::CommandExt, process::Command};

/// Has `command` start in our group: the leader of a group could begin no session of its own, and who shares the
/// terminal with us has to be in its foreground group.
///
/// In a pid namespace to which our group does not belong (`unshare --pid`) the group has no number that could be named.
/// The child leads one of its own there.
pub fn in_our_group(command: &mut Command) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(group) = group_in(&status) {
        command.process_group(group);
    }
}

/// The group in `/proc/PID/status`, as the process itself sees it: `NSpgid` has a number for each namespace from that
/// of `/proc` inwards, and 0 where the group is not of it.
fn group_in(status: &str) -> Option<i32> {
    let mut lines = status.lines();
    let numbers = lines.find_map(|line| line.strip_prefix("NSpgid:"))?;
    let group = numbers.split_ascii_whitespace().last()?.parse().ok()?;
    (group > 0).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::group_in;

    #[test]
    fn the_innermost_number_counts() {
        assert_eq!(group_in("Name:\tx\nNSpgid:\t42\nNSsid:\t7\n"), Some(42));
        assert_eq!(group_in("NSpgid:\t42\t3\n"), Some(3));
        assert_eq!(group_in("NSpgid:\t42\t0\n"), None);
        assert_eq!(group_in("Name:\tx\n"), None);
        // Where this itself runs in a container that was entered from without, there is no number to be found.
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert_eq!(group_in(&status).is_some(), !status.contains("NSpgid:\t0"));
    }
}
