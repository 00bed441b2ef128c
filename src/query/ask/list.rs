//! Lists, and what stands beside them: how tasks are named, and what cannot be read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    query::{
        BrainList, CrewList, Ground, JUDGE, Listed, Names, NeedsLine, NeedsList, Parts, Query, QueryError,
        SiteLine, SiteList, TaskLine, TaskList, ZoneLine, ZoneList, brains::brains, crew, error::unread,
    },
    refs::{Damaged, StoredZone, TaskHead},
    task::ZoneId,
    zone::sites,
};

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Zones and their clones.
    Zones,
    /// Clones, what they do and where they stand.
    Crew,
    /// Tasks, in order of arrival.
    Tasks,
    /// Tasks that need a person, the most urgent first.
    Needs,
    /// Repositories of the machine that have tasks.
    Sites,
    /// Brains, and whether they are ready.
    Brains,
}

/// What `list` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// What to list.
    pub what: What,
    /// Only in this zone, named by its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Query for List {
    const METHOD: &'static str = "query.list";
    type Answer = Listed;

    fn answer(&self, ground: &Ground<'_>) -> Result<Listed, QueryError> {
        match self.what {
            What::Brains => {
                let brains = brains(ground);
                return Ok(Listed::Brains(BrainList { brains }));
            }
            What::Sites => return site_list(&ground.paths.khlone_home.join("sites")).map(Listed::Sites),
            What::Zones | What::Crew | What::Tasks | What::Needs => {}
        }
        let only = self.zone.as_deref().map(|zone| ground.place(Some(zone)));
        let only = only.transpose()?.map(|place| place.zone);
        let here = |zone: &ZoneId| only.as_ref().is_none_or(|only| zone == only);
        let heads = ground.heads()?;
        let zones: Vec<&StoredZone> = ground.zones()?.iter().filter(|it| here(&it.zone.id)).collect();
        Ok(match self.what {
            What::Needs => Listed::Needs(needs(ground, only.as_ref())?),
            What::Crew => Listed::Crew(CrewList {
                crew: crew(ground, zones.iter().copied())?,
            }),
            What::Zones => Listed::Zones(zone_list(&zones, heads)),
            What::Tasks | What::Brains | What::Sites => Listed::Tasks(TaskList {
                tasks: heads
                    .iter()
                    .filter(|head| here(&head.zone))
                    .map(TaskLine::of)
                    .collect(),
            }),
        })
    }
}

/// What needs a person, in all zones or one.
fn needs(ground: &Ground<'_>, only: Option<&ZoneId>) -> Result<NeedsList, QueryError> {
    let (ledger, parts) = (ground.ledger(), Parts::within(ground, JUDGE)?);
    let here = parts
        .needs_you
        .iter()
        .filter(|needed| only.is_none_or(|zone| needed.head.zone == *zone));
    let lines = here.map(|needed| {
        let task = ledger.task(&needed.head.id)?.task;
        Ok::<_, QueryError>(NeedsLine::new(needed, Some(&task)))
    });
    Ok(NeedsList {
        needs_you: lines.collect::<Result<_, _>>()?,
    })
}

fn zone_list(zones: &[&StoredZone], heads: &[TaskHead]) -> ZoneList {
    let line = |zone: &&StoredZone| ZoneLine {
        zone: zone.zone.id.clone(),
        branch: zone.zone.branch.clone(),
        clones: zone.crew.keys().cloned().collect(),
        unfinished: heads
            .iter()
            .filter(|head| head.zone == zone.zone.id && !head.status.is_over())
            .count(),
    };
    ZoneList {
        zones: zones.iter().map(line).collect(),
    }
}

/// The sites that `folder` remembers.
///
/// # Errors
/// If it cannot be read.
pub fn site_list(folder: &Path) -> Result<SiteList, QueryError> {
    let known = sites::list(folder).map_err(|source| unread(folder.display().to_string(), source))?;
    Ok(SiteList {
        sites: known.into_iter().map(SiteLine::from).collect(),
    })
}

/// How tasks are named for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Naming {}

impl Query for Naming {
    const METHOD: &'static str = "query.names";
    type Answer = Names;

    fn answer(&self, ground: &Ground<'_>) -> Result<Names, QueryError> {
        let branch = |zone: &StoredZone| (zone.zone.id.clone(), zone.zone.branch.clone());
        Ok(Names {
            tasks: ground.heads()?.iter().map(|head| head.id.clone()).collect(),
            branches: ground.zones()?.iter().map(branch).collect(),
        })
    }
}

/// What cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {}

/// Refs of tasks and zones that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damages {
    /// Each with what can be done.
    pub damaged: Vec<Damaged>,
}

impl Query for Damage {
    const METHOD: &'static str = "query.damaged";
    type Answer = Damages;

    fn answer(&self, ground: &Ground<'_>) -> Result<Damages, QueryError> {
        let damaged = ground.ledger().damaged(ground.heads()?, ground.zones()?)?;
        Ok(Damages { damaged })
    }
}
