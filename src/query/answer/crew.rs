//! Zones and clones in lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    refs::{Crew, Zone},
    task::{CloneName, TaskId, ZoneId},
};

/// A zone in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ZoneLine {
    /// Its id.
    pub zone: ZoneId,
    /// Its branch.
    pub branch: String,
    /// Its clones.
    pub clones: Vec<CloneName>,
    /// How many of its tasks are not over.
    pub unfinished: usize,
}

/// Zones.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ZoneList {
    /// The zones.
    pub zones: Vec<ZoneLine>,
}

/// A clone in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CrewLine {
    /// Its name.
    pub clone: CloneName,
    /// Its brain.
    pub brain: String,
    /// Its zone's id.
    pub zone: ZoneId,
    /// Its zone's branch.
    pub branch: String,
    /// Its own branch.
    pub clone_branch: String,
    /// Its worktree; `null` before its first task.
    pub path: Option<String>,
    /// The task that it works on; `null` if there is none.
    pub task: Option<TaskId>,
    /// How many tasks wait for it.
    pub queued: usize,
    /// Commits of its own that the zone lacks; `null` if unknown.
    pub ahead: Option<usize>,
    /// Commits of the zone that it lacks; `null` if unknown.
    pub behind: Option<usize>,
}

impl CrewLine {
    /// A line about a clone, of which nothing but its document is known.
    pub fn of(member: &Crew, zone: &Zone) -> Self {
        Self {
            clone: member.name.clone(),
            brain: member.brain.to_string(),
            zone: zone.id.clone(),
            branch: zone.branch.clone(),
            clone_branch: member.branch.clone(),
            path: member.path.clone(),
            task: None,
            queued: 0,
            ahead: None,
            behind: None,
        }
    }
}

/// Clones.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CrewList {
    /// The clones.
    pub crew: Vec<CrewLine>,
}
