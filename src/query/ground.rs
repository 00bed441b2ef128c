//! The ledger of this site as a source of answers.

use std::cell::OnceCell;

use super::{Query, QueryError, Source};
use crate::{
    config::{Loaded, Paths},
    daemon::hindrance,
    refs::{Ledger, LedgerError, Repo, Site, StoredZone, TaskHead, Whose},
    task::Task,
    zone::{Place, Waits, here, settings, waits_for, zone_named},
};

/// A site that can be read here. What is read of all tasks and zones is read once: it is for one command.
pub struct Ground<'a> {
    pub(super) repo: &'a Repo,
    pub(super) site: &'a Site,
    pub(super) paths: &'a Paths,
    heads: OnceCell<Vec<TaskHead>>,
    zones: OnceCell<Vec<StoredZone>>,
}

impl<'a> Ground<'a> {
    /// The site of `repo`, for the user whose files are at `paths`.
    pub fn new(repo: &'a Repo, site: &'a Site, paths: &'a Paths) -> Self {
        Self {
            repo,
            site,
            paths,
            heads: OnceCell::new(),
            zones: OnceCell::new(),
        }
    }

    /// The tasks and zones here.
    pub(super) fn ledger(&self) -> Ledger<'a> {
        Ledger::new(self.repo, self.site)
    }

    /// Every task, in order of arrival.
    pub(super) fn heads(&self) -> Result<&[TaskHead], LedgerError> {
        once(&self.heads, || self.ledger().heads())
    }

    /// Every zone that can be read.
    pub(super) fn zones(&self) -> Result<&[StoredZone], LedgerError> {
        once(&self.zones, || self.ledger().readable_zones())
    }

    /// The zone of `branch`, else the one that is checked out.
    pub(super) fn place(&self, branch: Option<&str>) -> Result<Place, QueryError> {
        Ok(match branch {
            Some(branch) => zone_named(self.repo, branch)?,
            None => here(&self.ledger())?,
        })
    }

    /// The configuration that counts where a zone is checked out.
    pub(super) fn config(&self) -> Result<Loaded, QueryError> {
        Ok(settings(self.repo, &self.place(None)?, self.paths)?)
    }

    /// What `task` waits for among those of `heads`, with what holds it up on the machine if it is next in its queue.
    pub fn waits(&self, task: &Task, heads: &[TaskHead]) -> Option<Waits> {
        let waits = waits_for(task, heads)?;
        if self.site.whose(&task.owner) != Whose::Here {
            return Some(Waits::Owner {
                site: task.owner.site_uuid.clone(),
            });
        }
        if waits != Waits::Turn {
            return Some(waits);
        }
        // A file that cannot be read has its own complaint elsewhere; here the answer is only less exact.
        let config = self.config().ok()?.config;
        let held_up = hindrance(&config, self.paths, task).ok().flatten();
        held_up.or(Some(waits))
    }
}

impl Source for Ground<'_> {
    fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, QueryError> {
        query.answer(self)
    }
}

fn once<T>(
    cell: &OnceCell<Vec<T>>,
    read: impl FnOnce() -> Result<Vec<T>, LedgerError>,
) -> Result<&[T], LedgerError> {
    if cell.get().is_none() {
        let _first = cell.set(read()?);
    }
    Ok(cell.get().map(Vec::as_slice).unwrap_or_default())
}
