//! Whose the tasks of the ledger are. Only a task's owner schedules and recovers it; whose are not this site's wait
//! here for ever, unless their owner comes or `git khlone sites adopt` takes them over.

use std::collections::BTreeMap;

use crate::{
    refs::{Ledger, Site, TaskHead, Whose},
    task::{Owner, Status, Task},
};

/// A site, and what it has in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which site, on which machine.
    pub owner: Owner,
    /// How it is related to this one.
    pub whose: Whose,
    /// How many of the tasks stand where.
    pub tasks: BTreeMap<Status, usize>,
}

impl Holding {
    /// How many tasks are not over.
    pub fn unfinished(&self) -> usize {
        let open = self.tasks.iter().filter(|(status, _)| !status.is_over());
        open.map(|(_, count)| count).sum()
    }

    /// The command that takes over what it has; `None` if it is this site's.
    pub fn adopting(&self) -> Option<String> {
        let next = "git khlone sites adopt";
        match self.whose {
            Whose::Here => None,
            Whose::Former => Some(next.to_owned()),
            Whose::Other => Some(format!("{next} {}", short_site(&self.owner.site_uuid))),
        }
    }
}

/// As much of a site's id as people need.
pub fn short_site(uuid: &str) -> &str {
    uuid.get(..8).unwrap_or(uuid)
}

/// The owners of the tasks in `heads`, this site's former selves first. A task that cannot be read counts for nobody.
pub fn holdings<'a>(ledger: &Ledger<'_>, heads: impl IntoIterator<Item = &'a TaskHead>) -> Vec<Holding> {
    let mut found: BTreeMap<(Whose, String, String), Holding> = BTreeMap::new();
    for head in heads {
        let task = match ledger.task(&head.id) {
            Ok(stored) => stored.task,
            Err(error) => {
                tracing::warn!(task = %head.id, %error, "a task cannot be read");
                continue;
            }
        };
        let holding = of(ledger.site(), &task);
        let key = (
            holding.whose,
            task.owner.site_uuid.clone(),
            task.owner.machine.clone(),
        );
        let holding = found.entry(key).or_insert(holding);
        *holding.tasks.entry(task.status).or_default() += 1;
    }
    found.into_values().collect()
}

/// The sites that have unfinished tasks among `heads` which do not run here.
pub fn waiting_elsewhere(ledger: &Ledger<'_>, heads: &[TaskHead]) -> Vec<Holding> {
    let open = heads.iter().filter(|head| !head.status.is_over());
    let mut found = holdings(ledger, open);
    found.retain(|holding| holding.whose != Whose::Here);
    found
}

fn of(site: &Site, task: &Task) -> Holding {
    Holding {
        owner: task.owner.clone(),
        whose: site.whose(&task.owner),
        tasks: BTreeMap::new(),
    }
}
