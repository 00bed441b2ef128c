//! Why a task that is next in its clone's queue does not run: the limits that it shares with the whole machine, as
//! they stand on the disk. Read by whoever asks; no daemon is needed for it.

use std::io;

use super::machine::{Bounds, Machine};
use crate::{
    brain,
    config::{Config, Paths},
    refs::now,
    task::Task,
    zone::Waits,
};

/// What holds `task` up; `None` if nothing of the machine's or its provider's does.
///
/// # Errors
/// If what the daemons of the machine share cannot be read.
pub fn hindrance(config: &Config, paths: &Paths, task: &Task) -> io::Result<Option<Waits>> {
    let Some(machine) = Machine::existing(&paths.khlone_home) else {
        return Ok(None);
    };
    let places = config.limits.running.get();
    if machine.taken()? >= usize::try_from(places).unwrap_or(usize::MAX) {
        return Ok(Some(Waits::Machine { places }));
    }
    let vars = |name: &str| std::env::var_os(name);
    let brain = brain::find(&task.brain).ok();
    let Some(provider) = brain.and_then(|brain| brain.provider(task.model.as_deref(), &vars)) else {
        return Ok(None);
    };
    let bounds = Bounds {
        most: 0,
        rates: config.providers.clone(),
        now: now(),
    };
    let room = machine
        .rooms(&[provider.clone()].into(), &bounds)?
        .remove(&provider);
    let Some(room) = room.filter(|room| room.starts == 0 || room.parked_until.is_some()) else {
        return Ok(None);
    };
    let name = provider.name();
    let key = match (room.parked_until, room.next) {
        (Some(_), _) => None,
        (None, Some(_)) => Some(format!("providers.{name}.per_minute")),
        (None, None) => Some(format!("providers.{name}.max_concurrent")),
    };
    Ok(Some(Waits::Provider {
        provider: name.to_owned(),
        key,
        until: room.parked_until.or(room.next),
    }))
}
