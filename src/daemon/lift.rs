//! Lifting a limit by a person's word: they know better than any announced reset that a provider may be asked again.

use crate::{
    brain::{self, Provider},
    config::Paths,
    refs::{Ledger, LedgerError, Update, now},
    task::{Status, Task, TaskId},
};

use super::machine::Machine;

/// Lets the provider of `task` be asked again, by every daemon of the machine. What waits at this site for the same
/// provider is due at once, too: it would only hold it up again.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read or written.
pub fn lift(ledger: &Ledger<'_>, paths: &Paths, task: &Task) -> Result<Vec<TaskId>, LedgerError> {
    let Some(provider) = account(task) else {
        return Ok(Vec::new());
    };
    let lifted = Machine::existing(&paths.khlone_home).map_or(Ok(()), |machine| machine.lift(&provider));
    if let Err(error) = lifted {
        tracing::warn!(%provider, %error, "the limit stands for other sites");
    }
    let mut due = Vec::new();
    let parked = ledger
        .heads()?
        .into_iter()
        .filter(|head| head.status == Status::Parked);
    for head in parked.filter(|head| head.site_uuid == ledger.site().owner().site_uuid) {
        let waits = ledger.task(&head.id)?.task;
        if account(&waits).as_ref() != Some(&provider) {
            continue;
        }
        ledger.update(&head.id, "cli", |update: &mut Update<'_>| {
            if update.task.status == Status::Parked {
                update.task.parked_until = Some(now());
            }
            Ok::<_, LedgerError>(())
        })?;
        due.push(head.id);
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
