//! `sites adopt`: a repository that stands elsewhere now takes over the tasks of the site that it was.
//!
//! Whoever owns a task runs it, so a copy runs nothing of its original's. A repository that was moved to another disk
//! or machine is a copy whose original is gone, and only a person knows that. Where the original may be alive (see
//! [`original`]) it is refused, unless `force` is given.
//!
//! The order: first everything that could refuse; then the places of worktrees, since a daemon runs what it owns at
//! once; then task by task, each by compare-and-swap, those that are not over first and in order of arrival. Its
//! generation is raised, so a runner that began under the former owner changes nothing any more. Killed anywhere, the
//! same command goes on with what is left. What had begun is looked after by the daemon as any attempt that died.

mod error;
pub mod original;
mod places;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

pub use error::AdoptError;
pub use places::{Misplaced, Surveyor, settle_clone};

use crate::{
    process::is_same_machine,
    refs::{Ledger, LedgerError, Update, Whose, adopt_packs},
    task::{Owner, Task, TaskId},
    worktree::place::Rules,
};

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Adoption<'a> {
    /// The beginning of another site's id; else this one's former selves are meant.
    pub site: Option<&'a str>,
    /// Also where the original may be alive.
    pub force: bool,
    /// The sites that are known on this machine.
    pub registry: &'a Path,
    /// What the user and the machine say about places of worktrees.
    pub rules: Rules<'a>,
}

/// What was taken over.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Tasks that are not over, in order of arrival.
    pub unfinished: Vec<TaskId>,
    /// Tasks that are.
    pub over: Vec<TaskId>,
    /// Worktrees that were not where they were recorded.
    pub places: Vec<Misplaced>,
    /// Whether some came from another machine, where nobody can look.
    pub from_away: bool,
}

/// Takes tasks over, and puts the places of worktrees right.
///
/// # Errors
/// [`AdoptError`]. If it is refused, nothing has changed; what was taken over before the disk refused stays so.
pub fn adopt(ledger: &Ledger<'_>, wanted: &Adoption<'_>) -> Result<Adopted, AdoptError> {
    let theirs = theirs(ledger, wanted)?;
    if !wanted.force {
        refuse_the_living(ledger, wanted, &theirs)?;
    }
    let surveyor = Surveyor {
        rules: wanted.rules,
        stood: stood(ledger, wanted.registry)?,
    };
    let places = places::settle(ledger, surveyor.misplaced(ledger)?)?;
    let machine = &ledger.site().owner().machine;
    let mut adopted = Adopted {
        places,
        from_away: theirs
            .iter()
            .any(|task| !is_same_machine(&task.owner.machine, machine)),
        ..Adopted::default()
    };
    for task in theirs {
        match take(ledger, &task) {
            Ok(()) if task.status.is_over() => adopted.over.push(task.id),
            Ok(()) => adopted.unfinished.push(task.id),
            Err(Taking::Elsewhere) => {}
            Err(Taking::Ledger(error)) => return Err(error.into()),
        }
    }
    adopt_packs(ledger.site()).map_err(LedgerError::from)?;
    Ok(adopted)
}

/// Where the repository may have stood before, by its own record and the machine's.
///
/// # Errors
/// If the registry of sites cannot be read.
pub fn stood(ledger: &Ledger<'_>, registry: &Path) -> std::io::Result<Vec<PathBuf>> {
    let site = ledger.site();
    let ids = [&site.owner().site_uuid].into_iter().chain(site.formers());
    let mut places = Vec::new();
    for id in ids {
        places.extend(original::stood(ledger, registry, id)?);
    }
    Ok(places)
}

/// The tasks to take over: those that are not over first, each part in order of arrival.
fn theirs(ledger: &Ledger<'_>, wanted: &Adoption<'_>) -> Result<Vec<Task>, AdoptError> {
    let mut tasks = Vec::new();
    for head in ledger.heads()? {
        match ledger.task(&head.id) {
            Ok(stored) => tasks.push(stored.task),
            // `fsck` names it; it must not keep the others.
            Err(error) => tracing::warn!(task = %head.id, %error, "a task cannot be read"),
        }
    }
    let site = ledger.site();
    let named = wanted.site.map(|prefix| named(&tasks, prefix)).transpose()?;
    tasks.retain(|task| match &named {
        Some(uuid) => task.owner.site_uuid == *uuid && site.whose(&task.owner) != Whose::Here,
        None => site.whose(&task.owner) == Whose::Former,
    });
    tasks.sort_by_key(|task| (task.status.is_over(), task.seq));
    Ok(tasks)
}

/// The one site among the owners of `tasks` whose id begins with `prefix`.
fn named(tasks: &[Task], prefix: &str) -> Result<String, AdoptError> {
    let owners: BTreeSet<&String> = tasks.iter().map(|task| &task.owner.site_uuid).collect();
    let found: Vec<_> = owners
        .into_iter()
        .filter(|uuid| !prefix.is_empty() && uuid.starts_with(prefix))
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(AdoptError::NoSite(prefix.to_owned())),
        many => Err(AdoptError::Ambiguous {
            prefix: prefix.to_owned(),
            sites: many.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn refuse_the_living(ledger: &Ledger<'_>, wanted: &Adoption<'_>, theirs: &[Task]) -> Result<(), AdoptError> {
    let site = ledger.site();
    let owners: BTreeSet<(&str, &str)> = theirs
        .iter()
        .map(|task| (task.owner.site_uuid.as_str(), task.owner.machine.as_str()))
        .collect();
    for (uuid, machine) in owners {
        let owner = Owner {
            site_uuid: uuid.to_owned(),
            machine: machine.to_owned(),
        };
        if site.whose(&owner) == Whose::Other && !is_same_machine(machine, &site.owner().machine) {
            return Err(AdoptError::Away(uuid.to_owned()));
        }
        let open = theirs
            .iter()
            .filter(|task| task.owner == owner && !task.status.is_over());
        let open: Vec<Task> = open.cloned().collect();
        if let Some(sign) = original::sign_of_life(ledger, wanted.registry, uuid, &open)? {
            return Err(AdoptError::Alive {
                site: uuid.to_owned(),
                sign,
            });
        }
    }
    Ok(())
}

/// Why a task is not taken.
enum Taking {
    /// It has got another owner meanwhile.
    Elsewhere,
    Ledger(LedgerError),
}

impl From<LedgerError> for Taking {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// Takes one task. Numbers of another site mean nothing in our order of arrival, so it gets new ones.
fn take(ledger: &Ledger<'_>, task: &Task) -> Result<(), Taking> {
    let site = ledger.site();
    let seq = match site.whose(&task.owner) {
        Whose::Other => ledger.next_seq()?,
        Whose::Former | Whose::Here => {
            site.raise_seq(task.seq).map_err(LedgerError::from)?;
            task.seq
        }
    };
    ledger.update(&task.id, "cli", |update: &mut Update<'_>| {
        if update.task.owner != task.owner {
            return Err(Taking::Elsewhere);
        }
        update.task.owner = site.owner().clone();
        update.task.generation += 1;
        update.task.seq = seq;
        update.remark(format!("adopted from site {}", task.owner.site_uuid));
        Ok(())
    })?;
    Ok(())
}
