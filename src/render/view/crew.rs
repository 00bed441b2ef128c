//! Zones and clones in lists.

use serde::Serialize;

use super::super::{Table, View};
use crate::{
    refs::{Crew, Zone},
    task::{CloneName, TaskId, ZoneId},
    zone::sites::Known,
};

/// A zone in a list.
#[derive(Debug, Serialize)]
pub struct ZoneLine {
    /// Its id.
    pub id: String,
    /// Its branch.
    pub branch: String,
    /// Its clones.
    pub crew: Vec<CloneName>,
    /// Tasks that are not over.
    pub open: usize,
}

/// Zones.
#[derive(Debug, Serialize)]
pub struct ZoneList {
    /// Version of the document.
    pub format: u32,
    /// The zones.
    pub zones: Vec<ZoneLine>,
}

impl View for ZoneList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for zone in &self.zones {
            let crew: Vec<_> = zone.crew.iter().map(ToString::to_string).collect();
            table.row([
                format!("@{}", zone.branch),
                format!("{} open", zone.open),
                crew.join(" "),
            ]);
        }
        table.render()
    }
}

/// A clone in a list.
#[derive(Debug, Serialize)]
pub struct CrewLine {
    /// Its name.
    pub name: CloneName,
    /// Its brain.
    pub brain: String,
    /// Its zone's branch.
    pub zone: String,
    /// Its zone's id.
    pub zone_id: ZoneId,
    /// Its own branch.
    pub branch: String,
    /// Its worktree; `null` before its first task.
    pub path: Option<String>,
    /// What it does now.
    pub busy: Option<TaskId>,
    /// Tasks that wait for it.
    pub waiting: usize,
    /// Commits of its own, and of the zone's that it lacks; `null` if unknown.
    pub ahead: Option<usize>,
    /// Commits of the zone that it lacks; `null` if unknown.
    pub behind: Option<usize>,
}

impl CrewLine {
    /// A line about a clone, of which nothing but its document is known.
    pub fn of(member: &Crew, zone: &Zone) -> Self {
        Self {
            name: member.name.clone(),
            brain: member.brain.to_string(),
            zone: zone.branch.clone(),
            zone_id: zone.id.clone(),
            branch: member.branch.clone(),
            path: member.path.clone(),
            busy: None,
            waiting: 0,
            ahead: None,
            behind: None,
        }
    }

    /// `on t-7k3q9, 2 waiting`, or `idle`.
    pub(super) fn doing(&self) -> String {
        match (&self.busy, self.waiting) {
            (None, 0) => "idle".to_owned(),
            (None, waiting) => format!("{waiting} waiting"),
            (Some(task), 0) => format!("on {}", &task.as_str()[..5]),
            (Some(task), waiting) => format!("on {}, {waiting} waiting", &task.as_str()[..5]),
        }
    }

    /// `+3 −2`, or nothing if it stands where the zone stands.
    pub fn standing(&self) -> String {
        match (self.ahead, self.behind) {
            (Some(0), Some(0)) | (None, _) | (_, None) => String::new(),
            (Some(ahead), Some(behind)) => format!("+{ahead} −{behind} {}", self.zone),
        }
    }
}

/// Clones.
#[derive(Debug, Serialize)]
pub struct CrewList {
    /// Version of the document.
    pub format: u32,
    /// The clones.
    pub crew: Vec<CrewLine>,
}

impl View for CrewList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for clone in &self.crew {
            table.row([
                clone.name.to_string(),
                format!("@{}", clone.brain),
                clone.doing(),
                clone.standing(),
                clone.branch.clone(),
            ]);
        }
        table.render()
    }
}

/// Sites.
#[derive(Debug, Serialize)]
pub struct SiteList {
    /// Version of the document.
    pub format: u32,
    /// The sites.
    pub sites: Vec<Known>,
}

impl View for SiteList {
    fn plain(&self) -> String {
        self.sites
            .iter()
            .map(|site| format!("{}\n", site.path.display()))
            .collect()
    }
}
