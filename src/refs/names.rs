//! The names of our refs.

use crate::task::{CloneName, TaskId, ZoneId};

/// Where tasks stand.
pub const TASKS: &str = "refs/khlone/tasks/";
/// Where zones stand.
pub const ZONES: &str = "refs/khlone/zones/";
/// Where commits that tasks need are kept.
pub const PINS: &str = "refs/khlone/pins/";
/// Where saved states stand.
pub const UNDO: &str = "refs/khlone/undo/";
/// The notes on commits that tasks produced.
pub const NOTES: &str = "refs/notes/khlone";

/// The ref of a task.
pub fn task_ref(id: &TaskId) -> String {
    format!("{TASKS}{id}")
}

/// The ref of a zone.
pub fn zone_ref(id: &ZoneId) -> String {
    format!("{ZONES}{id}")
}

/// The ref that keeps a commit which attempt `n` of a task needs, such as `head-before`.
pub fn pin_ref(id: &TaskId, n: u32, what: &str) -> String {
    format!("{PINS}{id}/{n}-{what}")
}

/// The full ref name of a branch.
pub fn branch_ref(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// The branch of a clone, without `refs/heads/`.
pub fn clone_branch(prefix: &str, zone: &ZoneId, clone: &CloneName) -> String {
    format!("{prefix}/{zone}/{clone}")
}
