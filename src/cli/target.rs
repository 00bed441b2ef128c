//! A task or a clone, as given on the command line; nothing given is the newest task of the zone.

use super::{
    cx::Cx,
    error::{CliError, CmdError},
};
use crate::{
    refs::{Crew, Stored, TaskHead},
    task::{CloneName, TaskPrefix, ZoneAddress, act_of},
    zone::{Place, clone_named},
};

/// What a command is about.
pub(super) enum Target {
    /// A task.
    Task(Box<Stored>),
    /// A clone.
    Clone(Place, Box<Crew>),
}

/// The task or clone that `word` names.
pub(super) fn target(cx: &Cx, word: Option<&str>, zone: Option<&ZoneAddress>) -> Result<Target, CmdError> {
    match word {
        Some(word) if word.starts_with("t-") => Ok(Target::Task(Box::new(task(cx, Some(word), zone)?))),
        Some(word) => {
            let name: CloneName = word.parse()?;
            let place = cx.place(zone)?;
            let (_, member) = clone_named(&cx.ledger(), &place, &name)?;
            Ok(Target::Clone(place, Box::new(member)))
        }
        None => Ok(Target::Task(Box::new(task(cx, None, zone)?))),
    }
}

/// The task that `word` names, else the newest of the zone.
pub(super) fn task(cx: &Cx, word: Option<&str>, zone: Option<&ZoneAddress>) -> Result<Stored, CmdError> {
    let ledger = cx.ledger();
    if let Some(Ok(name)) = word.map(str::parse::<CloneName>) {
        return newest_of(cx, &name, zone);
    }
    if let Some(word) = word {
        let prefix: TaskPrefix = word.parse()?;
        return Ok(ledger.task(&ledger.resolve(&prefix)?)?);
    }
    let place = cx.place(zone)?;
    let newest = ledger.heads()?.into_iter().rfind(|head| head.zone == place.zone);
    match newest {
        Some(head) => Ok(ledger.task(&head.id)?),
        None => Err(CliError::nothing(
            format!("there are no tasks in zone {} yet", place.branch),
            "git khlone act \"what is to be done\"",
        )
        .into()),
    }
}

/// The newest task of a clone.
fn newest_of(cx: &Cx, name: &CloneName, zone: Option<&ZoneAddress>) -> Result<Stored, CmdError> {
    let ledger = cx.ledger();
    let place = cx.place(zone)?;
    clone_named(&ledger, &place, name)?;
    let its = |head: &TaskHead| head.zone == place.zone && head.clone == *name;
    match ledger.heads()?.into_iter().rfind(its) {
        Some(head) => Ok(ledger.task(&head.id)?),
        None => Err(CliError::nothing(
            format!("{name} has had no task yet"),
            act_of(&name.to_string(), &place.branch),
        )
        .into()),
    }
}

/// The clone of a task.
pub(super) fn crew_of(cx: &Cx, stored: &Stored) -> Result<Crew, CmdError> {
    let place = Place {
        zone: stored.task.zone.clone(),
        branch: stored.task.branch.clone(),
        inside: None,
    };
    Ok(clone_named(&cx.ledger(), &place, &stored.task.clone)?.1)
}
