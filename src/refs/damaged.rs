//! Refs of tasks and zones that cannot be read: emptied by a power cut, pointed elsewhere, objects missing.
//!
//! git's library leaves some of them out of its lists without a word, so the names come from our own. What is damaged
//! stops only itself, and is told by its name with what can be done.

use std::{collections::BTreeSet, fs};

use super::{Ledger, LedgerError, Site, StoredZone, TaskHead, names, repo::quoted};
use crate::task::TaskId;

/// A ref that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Damaged {
    /// Its full name.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// What can be done, as a command.
    pub next: String,
}

impl Ledger<'_> {
    /// Every zone that can be read. Whoever removes what belongs to none asks for all of them: [`Ledger::zones`].
    ///
    /// # Errors
    /// If git cannot list refs.
    pub fn readable_zones(&self) -> Result<Vec<StoredZone>, LedgerError> {
        let mut zones = Vec::new();
        for name in self.ref_names(names::ZONES)? {
            let zone = self.repo.ref_target(&name).map_err(LedgerError::from);
            match zone.and_then(|oid| oid.map(|oid| self.read_zone(oid)).transpose()) {
                Ok(zone) => zones.extend(zone),
                Err(error) => tracing::warn!(%name, %error, "a zone cannot be read"),
            }
        }
        Ok(zones)
    }

    /// The refs of tasks and zones that are in none of these lists, since they cannot be read.
    ///
    /// # Errors
    /// If git cannot list refs.
    pub fn damaged(&self, heads: &[TaskHead], zones: &[StoredZone]) -> Result<Vec<Damaged>, LedgerError> {
        let tasks = heads.iter().map(|head| names::task_ref(&head.id));
        let known: BTreeSet<_> = tasks
            .chain(zones.iter().map(|zone| names::zone_ref(&zone.zone.id)))
            .collect();
        let mut damaged = Vec::new();
        for prefix in [names::TASKS, names::ZONES] {
            for name in self
                .ref_names(prefix)?
                .into_iter()
                .filter(|name| !known.contains(name))
            {
                damaged.extend(self.look_at(&name).map(|what| self.told(&name, what)));
            }
        }
        Ok(damaged)
    }

    /// Why a ref of a task or zone cannot be read; `None` if it can, or is gone.
    fn look_at(&self, name: &str) -> Option<String> {
        let is_there = || self.repo.common_dir().join(name).is_file();
        let oid = match self.repo.ref_target(name) {
            Err(error) => return Some(error.message().to_owned()),
            Ok(None) if is_there() => return Some("it is empty".to_owned()),
            Ok(oid) => oid?,
        };
        let read = match name.strip_prefix(names::TASKS) {
            Some(id) => id.parse::<TaskId>().ok().map(|id| self.task(&id).map(drop)),
            None => Some(self.read_zone(oid).map(drop)),
        };
        match read {
            None => Some("it is no task's name".to_owned()),
            Some(Ok(())) => None,
            Some(Err(LedgerError::Damaged(damaged))) => Some(damaged.what),
            Some(Err(error)) => Some(error.to_string()),
        }
    }

    /// A damaged ref, with what can be done about it.
    pub(super) fn told(&self, name: &str, what: String) -> Damaged {
        let path = self.repo.common_dir().join(name);
        let how = if path.is_file() {
            format!("rm {}", quoted(&path))
        } else {
            format!("git update-ref -d {name}")
        };
        let next = format!("{how}    # forgets it; its commits stay pinned");
        Damaged {
            name: name.to_owned(),
            what,
            next,
        }
    }

    /// How many tasks the site's folder remembers, where no ref of ours is left: they were deleted, by a fetch into a
    /// mirror say.
    pub fn lost_tasks(&self) -> usize {
        let has_refs = [names::TASKS, names::ZONES]
            .iter()
            .any(|prefix| self.ref_names(prefix).is_ok_and(|names| !names.is_empty()));
        if has_refs {
            0
        } else {
            remembered(self.site, "").len()
        }
    }
}

/// The tasks of which the site's folder has attempts and whose ids begin with `prefix`.
pub(super) fn remembered(site: &Site, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(site.layout().attempts())
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.parse::<TaskId>().is_ok() && name.starts_with(prefix))
        .collect()
}
