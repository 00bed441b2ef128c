//! Zones, clones and sites in lists.

use super::super::{Table, View};
use crate::query::{CrewLine, CrewList, SiteList, ZoneList};

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

impl View for CrewList {
    fn plain(&self) -> String {
        let mut table = Table::default();
        let several = self.crew.iter().any(|clone| clone.zone != self.crew[0].zone);
        for clone in &self.crew {
            table.row([
                named(clone, several),
                format!("@{}", clone.brain),
                doing(clone),
                standing(clone),
                clone.clone_branch.clone(),
            ]);
        }
        table.render()
    }
}

/// A clone's name, with its zone where there are `several`.
pub(super) fn named(line: &CrewLine, several: bool) -> String {
    if several {
        format!("{} in {}", line.clone, line.branch)
    } else {
        line.clone.to_string()
    }
}

/// `on t-7k3q9, 2 waiting`, or `idle`.
pub(super) fn doing(line: &CrewLine) -> String {
    match (&line.task, line.queued) {
        (None, 0) => "idle".to_owned(),
        (None, waiting) => format!("{waiting} waiting"),
        (Some(task), 0) => format!("on {}", &task.as_str()[..5]),
        (Some(task), waiting) => format!("on {}, {waiting} waiting", &task.as_str()[..5]),
    }
}

/// `+3 −2`, or nothing if it stands where the zone stands.
pub(super) fn standing(line: &CrewLine) -> String {
    match (line.ahead, line.behind) {
        (Some(0), Some(0)) | (None, _) | (_, None) => String::new(),
        (Some(ahead), Some(behind)) => format!("+{ahead} −{behind} {}", line.branch),
    }
}

impl View for SiteList {
    fn plain(&self) -> String {
        self.sites.iter().map(|site| format!("{}\n", site.path)).collect()
    }
}
