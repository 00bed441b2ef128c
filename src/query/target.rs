//! A task or a clone, as given on the command line; nothing given is the newest task of the zone.

use super::{Ground, QueryError, nothing};
use crate::{
    refs::{Crew, Stored, TaskHead},
    task::{CloneName, TaskPrefix, act_of},
    zone::{Place, clone_named},
};

/// What a question is about.
pub enum Target {
    /// A task.
    Task(Box<Stored>),
    /// A clone.
    Clone(Place, Box<Crew>),
}

/// The task or clone that `word` names, in the zone of `branch` or the one that is checked out.
///
/// # Errors
/// If there is none.
pub fn target(ground: &Ground<'_>, word: Option<&str>, branch: Option<&str>) -> Result<Target, QueryError> {
    match word {
        Some(word) if word.starts_with("t-") => Ok(Target::Task(Box::new(task(ground, Some(word), branch)?))),
        Some(word) => {
            let name: CloneName = word.parse()?;
            let place = ground.place(branch)?;
            let (_, member) = clone_named(&ground.ledger(), &place, &name)?;
            Ok(Target::Clone(place, Box::new(member)))
        }
        None => Ok(Target::Task(Box::new(task(ground, None, branch)?))),
    }
}

/// The task that `word` names, else the newest of the zone.
///
/// # Errors
/// If there is none.
pub fn task(ground: &Ground<'_>, word: Option<&str>, branch: Option<&str>) -> Result<Stored, QueryError> {
    let ledger = ground.ledger();
    if let Some(Ok(name)) = word.map(str::parse::<CloneName>) {
        return newest_of(ground, &name, branch);
    }
    if let Some(word) = word {
        let prefix: TaskPrefix = word.parse()?;
        return Ok(ledger.task(&ledger.resolve(&prefix)?)?);
    }
    let place = ground.place(branch)?;
    let newest = ground.heads()?.iter().rfind(|head| head.zone == place.zone);
    match newest {
        Some(head) => Ok(ledger.task(&head.id)?),
        None => Err(nothing(
            format!("there are no tasks in zone {} yet", place.branch),
            "git khlone act \"what is to be done\"",
        )),
    }
}

/// The newest task of a clone.
fn newest_of(ground: &Ground<'_>, name: &CloneName, branch: Option<&str>) -> Result<Stored, QueryError> {
    let ledger = ground.ledger();
    let place = ground.place(branch)?;
    clone_named(&ledger, &place, name)?;
    let its = |head: &&TaskHead| head.zone == place.zone && head.clone == *name;
    match ground.heads()?.iter().rfind(its) {
        Some(head) => Ok(ledger.task(&head.id)?),
        None => Err(nothing(
            format!("{name} has had no task yet"),
            act_of(&name.to_string(), &place.branch),
        )),
    }
}

/// The clone of a task.
///
/// # Errors
/// If it is gone.
pub fn crew_of(ground: &Ground<'_>, stored: &Stored) -> Result<Crew, QueryError> {
    let place = Place {
        zone: stored.task.zone.clone(),
        branch: stored.task.branch.clone(),
        inside: None,
    };
    Ok(clone_named(&ground.ledger(), &place, &stored.task.clone)?.1)
}
