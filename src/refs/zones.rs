//! Zones in git: one ref each, `refs/khlone/zones/<zone-id>`, an annotated tag of a tree with `zone.json` and one
//! `crew/<clone>.json` a clone.

use std::collections::BTreeMap;

use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Kind, Ledger, LedgerError, ObjectSink, Pack, RefError, TreeEdit,
    ledger::{TRIES, now},
    names, tag, update_ref,
};
use crate::task::{BrainName, Class, CloneName, Explain, FormatError, RoleName, ZoneId, parse_versioned};

/// `zone.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Version of the document.
    pub format: u32,
    /// The zone's id, also its ref's last part.
    pub id: ZoneId,
    /// The full branch name.
    pub branch: String,
    /// What the branch was made from, when the zone made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Seconds since the epoch.
    pub created: i64,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Where a zone's branch began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The ref or revision that was named.
    #[serde(rename = "ref")]
    pub name: String,
    /// The commit it stood at.
    pub oid: String,
}

/// `crew/<clone>.json`: a clone of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crew {
    /// Version of the document.
    pub format: u32,
    /// Its name.
    pub name: CloneName,
    /// What it does.
    pub role: RoleName,
    /// What it runs on, for life.
    pub brain: BrainName,
    /// The brain's model, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// Its worktree, once made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The brain's session that the next task goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The folder of the worktree that the session began in: some brains find their sessions by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_folder: Option<String>,
    /// The session before, which was given up as it had no room left; the next one is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<String>,
    /// The first port of its lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Seconds since the epoch.
    pub created: i64,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A zone as it stands in git.
#[derive(Debug, Clone)]
pub struct StoredZone {
    /// The zone.
    pub zone: Zone,
    /// Its clones, by name.
    pub crew: BTreeMap<CloneName, Crew>,
    /// The tag that its ref points at.
    tag: Oid,
}

/// A zone's document that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub struct ZoneError {
    name: String,
    source: FormatError,
}

impl ZoneError {
    /// What is wrong, without the zone's name.
    pub fn reason(&self) -> String {
        self.source.to_string()
    }
}

impl Explain for ZoneError {
    fn explain(&self) -> (Class, Option<String>) {
        self.source.explain()
    }
}

impl StoredZone {
    /// The tag that its ref points at.
    pub(super) fn tag(&self) -> Oid {
        self.tag
    }
}

impl Ledger<'_> {
    /// Every zone.
    ///
    /// # Errors
    /// If git cannot read, or a document is newer or broken.
    pub fn zones(&self) -> Result<Vec<StoredZone>, LedgerError> {
        let mut zones = Vec::new();
        for name in self.ref_names(names::ZONES)? {
            let target = self.repo.ref_target(&name).map_err(LedgerError::from);
            let zone = target.and_then(|oid| oid.map(|oid| self.read_zone(oid)).transpose());
            zones.extend(zone.map_err(|error| self.damage(&name, error))?);
        }
        Ok(zones)
    }

    /// A zone; `None` if nothing was ever done in it.
    ///
    /// # Errors
    /// If git cannot read, or the document is newer or broken.
    pub fn zone(&self, id: &ZoneId) -> Result<Option<StoredZone>, LedgerError> {
        let name = names::zone_ref(id);
        let target = self.repo.ref_target(&name).map_err(LedgerError::from);
        let zone = target.and_then(|oid| oid.map(|oid| self.read_zone(oid)).transpose());
        zone.map_err(|error| self.damage(&name, error))
    }

    pub(super) fn read_zone(&self, tag: Oid) -> Result<StoredZone, LedgerError> {
        let tree = self
            .repo
            .git()
            .find_object(tag, None)?
            .peel(ObjectType::Tree)?
            .id();
        let broken = |name: String| move |source| ZoneError { name, source };
        let bytes = self.file_at(tree, "zone.json")?.unwrap_or_default();
        let zone: Zone = parse_versioned("zone.json", &bytes).map_err(broken(format!("zone {tag}")))?;
        let mut crew = BTreeMap::new();
        let root = self.repo.git().find_tree(tree)?;
        if let Some(folder) = root.get_name("crew") {
            for entry in &self.repo.git().find_tree(folder.id())? {
                let blob = self.repo.git().find_blob(entry.id())?;
                let name = format!(
                    "zone {} crew {}",
                    zone.id,
                    String::from_utf8_lossy(entry.name_bytes())
                );
                let member: Crew = parse_versioned("crew.json", blob.content()).map_err(broken(name))?;
                crew.insert(member.name.clone(), member);
            }
        }
        Ok(StoredZone { zone, crew, tag })
    }

    /// Changes a zone, making it as `new` if it is not there yet: reads it, lets `change` have its way, and
    /// swaps the ref; again from the start if someone else was faster.
    ///
    /// # Errors
    /// What `change` returns, that there is no such zone, or that it could not be written; nothing has changed then.
    pub fn update_zone<T, E: From<LedgerError>>(
        &self,
        id: &ZoneId,
        new: Option<&Zone>,
        mut change: impl FnMut(&mut StoredZone) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pack = Pack::begin(self.site).map_err(LedgerError::from)?;
        for round in 0.. {
            let old = self.zone(id)?;
            let fresh = || {
                let zone = new?.clone();
                Some(StoredZone {
                    zone,
                    crew: BTreeMap::new(),
                    tag: Oid::ZERO_SHA1,
                })
            };
            let mut stored = old
                .clone()
                .or_else(fresh)
                .ok_or_else(|| LedgerError::NoZone(id.clone()))?;
            let answer = change(&mut stored)?;
            let unchanged = old
                .as_ref()
                .is_some_and(|old| old.zone == stored.zone && old.crew == stored.crew);
            if unchanged {
                return Ok(answer);
            }
            let tag = self.write_zone(&mut pack, &stored)?;
            let moved = update_ref(self.repo, &names::zone_ref(id), old.map(|old| old.tag), tag);
            match moved {
                Ok(()) => return Ok(answer),
                Err(RefError::Moved { .. }) if round < TRIES => {}
                Err(error) => return Err(LedgerError::from(error).into()),
            }
        }
        unreachable!("the loop returns")
    }

    fn write_zone(&self, pack: &mut Pack, stored: &StoredZone) -> Result<Oid, LedgerError> {
        let mut edit = TreeEdit::default();
        edit.json("zone.json", &stored.zone)?;
        for (name, member) in &stored.crew {
            edit.json(format!("crew/{name}.json"), member)?;
        }
        let tree = edit.apply(self.repo, None, pack)?;
        let tag = pack.put(
            Kind::Tag,
            &tag::zone_tag(&stored.zone.id, &stored.zone.branch, tree, now()),
        )?;
        pack.publish()?;
        Ok(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::{RefError, tests::scratch};

    #[test]
    fn a_zone_that_others_move_each_time_is_tried_so_often_and_no_more() {
        let (_dir, repo, site) = scratch();
        let ledger = Ledger::new(&repo, &site);
        let id = ZoneId::of_branch("main");
        let zone = Zone {
            format: crate::task::FORMAT,
            id: id.clone(),
            branch: "main".to_owned(),
            base: None,
            created: 0,
            unknown: Map::new(),
        };
        let mut tries = 0;
        let moved = ledger.update_zone(&id, Some(&zone), |stored| {
            tries += 1;
            ledger.update_zone(&id, Some(&zone), |theirs| {
                theirs.zone.created = tries;
                Ok::<_, LedgerError>(())
            })?;
            stored.zone.created = -tries;
            Ok::<_, LedgerError>(())
        });
        let moved = moved.unwrap_err();
        assert!(
            matches!(moved, LedgerError::Ref(RefError::Moved { .. })),
            "{moved:?}"
        );
        assert_eq!(tries, i64::try_from(TRIES).unwrap() + 1);
        assert_eq!(ledger.zone(&id).unwrap().unwrap().zone.created, tries);
    }
}
