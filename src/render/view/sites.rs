//! Whose the tasks of the ledger are, and what was taken over.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    process::is_same_machine,
    query::StrangerLine,
    refs::Whose,
    render::{Table, View, counted, one_line},
    task::{CloneName, Status, TaskId, ZoneId},
    upkeep::adopt::{Adopted, Misplaced},
    zone::{
        owners::{Holding, short_site},
        sites::Known,
    },
};

/// The sites that have tasks here.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HoldingList {
    /// This site.
    site: String,
    /// This machine.
    machine: String,
    /// The sites.
    sites: Vec<HoldingLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HoldingLine {
    /// Its id.
    site: String,
    /// What it is to this site.
    whose: Whose,
    /// Its machine.
    machine: String,
    /// Where it is on this machine; `null` where that is not known.
    path: Option<String>,
    /// How many tasks are not over.
    unfinished: usize,
    /// How many tasks are in which status.
    counts: BTreeMap<Status, usize>,
    /// The next step; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl HoldingList {
    /// The documented form of what sites have here, seen from the site `(uuid, machine)`.
    pub fn of((site, machine): (&str, &str), holdings: &[Holding], known: &[Known]) -> Self {
        let line = |holding: &Holding| {
            let uuid = &holding.owner.site_uuid;
            let known = known.iter().find(|known| known.site_uuid == *uuid);
            HoldingLine {
                site: uuid.clone(),
                whose: holding.whose,
                machine: holding.owner.machine.clone(),
                path: known.map(|known| known.path.display().to_string()),
                unfinished: holding.unfinished(),
                counts: holding.tasks.clone(),
                next: holding.adopting(),
            }
        };
        Self {
            site: site.to_owned(),
            machine: machine.to_owned(),
            sites: holdings.iter().map(line).collect(),
        }
    }
}

impl View for HoldingList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        for line in &self.sites {
            let whose = match line.whose {
                Whose::Here => "this site",
                Whose::Former => "what it was before",
                Whose::Other => "another site",
            };
            let machine = if is_same_machine(&line.machine, &self.machine) {
                "this machine"
            } else {
                "another machine"
            };
            let tasks: Vec<_> = line
                .counts
                .iter()
                .map(|(status, count)| format!("{count} {status}"))
                .collect();
            table.row([
                short_site(&line.site).to_owned(),
                tasks.join(", "),
                format!("{whose}, {machine}"),
            ]);
        }
        let mut text = table.render();
        for next in self.sites.iter().filter_map(|line| line.next.as_ref()) {
            text.push_str(&format!("  next: {next}\n"));
        }
        text
    }
}

/// What is the matter with a site whose tasks wait here, in words.
pub fn stranger(line: &StrangerLine) -> String {
    let (count, site) = (line.unfinished, short_site(&line.site));
    let tasks = counted(count, "task");
    let why = match line.whose {
        Whose::Former | Whose::Here => "this repository was copied, or moved to another disk or machine: ",
        Whose::Other => "",
    };
    let verb = if count == 1 { "does" } else { "do" };
    format!("{why}{tasks} of site {site} {verb} not run here")
}

/// `sites adopt`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdoptedView {
    /// The tasks taken over that are not over, in order of arrival.
    tasks: Vec<TaskId>,
    /// The tasks taken over that are over.
    over: Vec<TaskId>,
    /// The worktrees that were elsewhere.
    worktrees: Vec<PlaceLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PlaceLine {
    /// Absent for a worktree of the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<ZoneId>,
    /// The clone; absent for a worktree of the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    clone: Option<CloneName>,
    /// Where git had it.
    old_path: String,
    /// Where it is.
    path: String,
    /// `linked`, `lost` (its next task makes it again), `busy` (left as it is).
    state: &'static str,
}

impl AdoptedView {
    /// The documented form.
    pub fn of(adopted: Adopted) -> Self {
        Self {
            tasks: adopted.unfinished,
            over: adopted.over,
            worktrees: adopted.places.iter().map(PlaceLine::of).collect(),
        }
    }
}

impl PlaceLine {
    fn of(place: &Misplaced) -> Self {
        let (zone, clone) = place.clone.clone().unzip();
        let state = match (place.busy, place.found) {
            (true, _) => "busy",
            (false, true) => "linked",
            (false, false) => "lost",
        };
        Self {
            zone,
            clone,
            old_path: place.from.display().to_string(),
            path: place.to.display().to_string(),
            state,
        }
    }
}

impl View for AdoptedView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for place in &self.worktrees {
            let whose = place
                .clone
                .as_ref()
                .map_or(String::new(), |clone| format!("{clone} "));
            let to = one_line(&place.path);
            let line = match place.state {
                "busy" => format!("left alone, at work: {whose}{}", one_line(&place.old_path)),
                "lost" => format!("not found, its next task makes it: {whose}{to}"),
                _ => format!("linked {whose}{to}"),
            };
            text.push_str(&format!("{line}\n"));
        }
        for task in &self.tasks {
            text.push_str(&format!("adopted {task}\n"));
        }
        if !self.over.is_empty() {
            text.push_str(&format!("adopted {} that are over\n", self.over.len()));
        }
        text
    }
}
