//! Lifting a limit by a person's word: they know better than any announced reset that a provider may be asked again.

use crate::{
    brain::{self, Provider},
    config::Paths,
    daemon::schedule::machine::Machine,
    refs::{Ledger, LedgerError, Update, now},
    task::{Move, Status, Task, TaskId},
};

/// Lets the provider of `task` be asked again, by every daemon of the machine, and makes due what else waits for it at
/// this site. The task itself is the caller's to put into its queue, after this. `by` is who does it, in their histories.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read or written.
pub fn lift(ledger: &Ledger<'_>, paths: &Paths, task: &Task, by: &str) -> Result<Vec<TaskId>, LedgerError> {
    let Some(provider) = account(task) else {
        return Ok(Vec::new());
    };
    let parked = ledger
        .heads()?
        .into_iter()
        .filter(|head| head.status == Status::Parked);
    let mut others = Vec::new();
    for head in parked.filter(|head| head.site_uuid == ledger.site().owner().site_uuid) {
        let waits = ledger.task(&head.id)?.task;
        if waits.id != task.id && account(&waits).as_ref() == Some(&provider) {
            others.push(waits);
        }
    }
    // Before the tasks: a daemon that looks in between has their limits from before.
    let ends = others.iter().chain([task]).filter_map(|task| task.parked_until);
    let last = ends.max().unwrap_or(0);
    let machine = Machine::existing(&paths.khlone_home);
    if let Err(error) = machine.map_or(Ok(()), |machine| machine.lift(&provider, last)) {
        tracing::warn!(%provider, %error, "the limit stands for other sites");
    }
    let mut due = Vec::new();
    for other in others {
        ledger.update(&other.id, by, |update: &mut Update<'_>| {
            // One that goes on meanwhile is parked no more, and stays as it is.
            drop(update.transition(Move::ParkUntil(now()), ""));
            Ok::<_, LedgerError>(())
        })?;
        due.push(other.id);
    }
    Ok(due)
}

/// Whose limits a task runs into.
fn account(task: &Task) -> Option<Provider> {
    let vars = |name: &str| std::env::var_os(name);
    brain::find(&task.brain)
        .ok()?
        .provider(task.model.as_deref(), &vars)
}
