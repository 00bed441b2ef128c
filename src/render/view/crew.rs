//! Zones and clones in lists.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{Table, View};
use crate::{
    refs::{Crew, Zone},
    task::{CloneName, TaskId, ZoneId},
    zone::sites::Known,
};

/// A zone in a list.
#[derive(Debug, Serialize, JsonSchema)]
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
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZoneList {
    /// The zones.
    pub zones: Vec<ZoneLine>,
}

impl View for ZoneList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for zone in &self.zones {
            let crew: Vec<_> = zone.clones.iter().map(ToString::to_string).collect();
            table.row([
                format!("@{}", zone.branch),
                format!("{} open", zone.unfinished),
                crew.join(" "),
            ]);
        }
        table.render()
    }
}

/// A clone in a list.
#[derive(Debug, Serialize, JsonSchema)]
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

    /// Its name, with its zone where there are `several`.
    pub(super) fn shown(&self, several: bool) -> String {
        if several {
            format!("{} in {}", self.clone, self.branch)
        } else {
            self.clone.to_string()
        }
    }

    /// `on t-7k3q9, 2 waiting`, or `idle`.
    pub(super) fn doing(&self) -> String {
        match (&self.task, self.queued) {
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
            (Some(ahead), Some(behind)) => format!("+{ahead} −{behind} {}", self.branch),
        }
    }
}

/// Clones.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CrewList {
    /// The clones.
    pub crew: Vec<CrewLine>,
}

impl View for CrewList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        let several = self.crew.iter().any(|clone| clone.zone != self.crew[0].zone);
        for clone in &self.crew {
            table.row([
                clone.shown(several),
                format!("@{}", clone.brain),
                clone.doing(),
                clone.standing(),
                clone.clone_branch.clone(),
            ]);
        }
        table.render()
    }
}

/// A site of this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SiteLine {
    /// Its id.
    site: String,
    /// Its main work tree, or the bare repository.
    path: String,
    /// Its common git folder.
    git_dir: String,
}

impl From<Known> for SiteLine {
    fn from(known: Known) -> Self {
        Self {
            site: known.site_uuid,
            path: known.path.display().to_string(),
            git_dir: known.common.display().to_string(),
        }
    }
}

/// Sites.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SiteList {
    /// The sites.
    pub sites: Vec<SiteLine>,
}

impl View for SiteList {
    fn plain(&self) -> String {
        self.sites.iter().map(|site| format!("{}\n", site.path)).collect()
    }
}
