//! From an order to a queued task, and what is said of it then: what `act`, `ask` and `reply` share.

use std::process::ExitCode;

use super::{
    cx::Cx,
    error::{CliError, CmdError, printed},
    uncommitted::Uncommitted,
    wait, watch,
};
use crate::{
    daemon,
    guard::secrets::redact::Redactor,
    query::StrangerLine,
    render::view::{DispatchedView, stranger},
    runner,
    task::{Explain, Mode, Status, TaskId},
    zone::{Admitted, Caller, Dispatched, Order, Place, admit, owners::waiting_elsewhere, sites},
};

/// What comes after a task is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The shell is given back.
    Leave,
    /// Its end is waited for; stdout is its last words.
    Await,
    /// What it does is shown.
    Watch,
}

impl Then {
    /// What runs only as long as the command does is watched.
    fn within(self, cx: &Cx) -> Self {
        match self {
            Self::Leave if cx.leaves_nothing() => Self::Watch,
            then => then,
        }
    }
}

/// A place where tasks may be dispatched: its settings are trusted, and brains can run there.
pub(super) struct Ready<'a> {
    admitted: Admitted<'a>,
    uncommitted: Option<Uncommitted>,
}

impl<'a> Ready<'a> {
    /// Looks at everything that would refuse a task, and with `looks` at changes that it would not see.
    pub(super) fn at(cx: &'a Cx, place: &'a Place, looks: bool) -> Result<Self, CmdError> {
        let loaded = cx.config(place)?;
        let admitted = admit(&cx.repo, place, (loaded, &cx.paths), Caller::this())?;
        let uncommitted = (looks && place.inside.is_none())
            .then(|| Uncommitted::look(&cx.repo))
            .flatten();
        Ok(Self {
            admitted,
            uncommitted,
        })
    }

    /// Queues the task, says so, and does what comes then.
    pub(super) fn send(self, cx: &Cx, order: &Order<'_>, then: Then) -> Result<ExitCode, CmdError> {
        let then = then.within(cx);
        warn_of_secrets(cx, &order.prompt);
        let dispatched = self.admitted.submit(&cx.ledger(), order)?;
        self.tell(cx, &dispatched, then)?;
        if let Err(error) = cx.daemon().and_then(|place| daemon::wake(&place)) {
            cx.out.note(&format!(
                "warning: the task is queued, but no daemon runs it yet: {error}"
            ));
            let next = error
                .hint()
                .unwrap_or_else(|| "git khlone daemon start".to_owned());
            cx.out.note(&format!("  next: {next}"));
        }
        match then {
            Then::Leave => Ok(ExitCode::SUCCESS),
            Then::Await => wait::for_one(cx, &dispatched.stored.task.id),
            Then::Watch => watch::dispatched(cx, &dispatched.stored),
        }
    }

    /// Where the task stands now. Its id is the answer, unless its last words will be.
    fn tell(self, cx: &Cx, dispatched: &Dispatched, then: Then) -> Result<(), CmdError> {
        let task = &dispatched.stored.task;
        let is_answer = match then {
            Then::Leave => true,
            Then::Watch => task.mode == Mode::Act,
            Then::Await => false,
        };
        if is_answer {
            printed(cx.out.answer(&DispatchedView {
                task: task.id.clone(),
                zone: task.zone.clone(),
                branch: task.branch.clone(),
                clone: task.clone.clone(),
                new_clone: dispatched.enrolled,
                queued_behind: dispatched.behind.clone(),
            }))?;
        }
        if let Err(error) = sites::remember(&cx.registry(), &cx.repo, &cx.site) {
            tracing::warn!(%error, "the site is not in the registry");
        }
        let place = queued_where(dispatched);
        cx.out.done(&if is_answer {
            place
        } else {
            format!("{} {place}", task.id)
        });
        tell_of_settings(cx);
        tell_of_others(cx, dispatched)?;
        tell_of_strangers(cx, dispatched)?;
        if self.uncommitted.is_some_and(Uncommitted::found) {
            cx.out.note(
                "note: your checkout has uncommitted changes, which the clone does not see (--with-changes)",
            );
        }
        if let Some(reason) = self.admitted.unconfined {
            cx.out.note(&format!(
                "note: runs without a sandbox (T0): {reason}; git khlone doctor"
            ));
        }
        Ok(())
    }
}

/// What `git -c` and the like set ends with this command.
fn tell_of_settings(cx: &Cx) {
    let given = cx.repo.given_settings();
    if !given.is_empty() {
        cx.out.note(&format!(
            "note: {} counts for this command alone; its task runs later, by the settings in your files and the repository's",
            given.join(", ")
        ));
    }
}

/// What becomes of the task under way that this one disrupts, and of this one if what it waits for was not done.
fn tell_of_others(cx: &Cx, dispatched: &Dispatched) -> Result<(), CmdError> {
    let ledger = cx.ledger();
    let task = &dispatched.stored.task;
    for id in runner::disrupted_by(&ledger, task, "cli")? {
        cx.out
            .note(&format!("note: {id} is stopped for it; git khlone resume {id}"));
    }
    for id in &task.after {
        let before = ledger.task(id)?.task;
        if before.status.is_over() && before.status != Status::Done {
            cx.out
                .note(&format!("note: {id} was not done, so this one is skipped"));
        }
    }
    Ok(())
}

/// Tasks that nobody runs here stand before this one, or the whole repository stood elsewhere when they came.
fn tell_of_strangers(cx: &Cx, dispatched: &Dispatched) -> Result<(), CmdError> {
    let ledger = cx.ledger();
    let has_moved = !cx.site.formers().is_empty();
    if !has_moved && !dispatched.strangers {
        return Ok(());
    }
    let task = &dispatched.stored.task;
    let mut heads = ledger.open_heads()?;
    heads.retain(|head| has_moved || head.zone == task.zone && head.clone == task.clone);
    for line in waiting_elsewhere(&ledger, &heads).iter().map(StrangerLine::of) {
        cx.out.note(&format!("note: {}; {}", stranger(&line), line.next));
    }
    Ok(())
}

fn queued_where(dispatched: &Dispatched) -> String {
    let task = &dispatched.stored.task;
    let (clone, zone) = (&task.clone, &task.branch);
    let new = if dispatched.enrolled {
        format!(" (new, on {})", task.brain)
    } else {
        String::new()
    };
    match dispatched.behind.len() {
        0 => format!("{clone} in {zone}{new}"),
        tasks => format!(
            "{clone} in {zone}, queued behind {tasks}; --who {}.any takes a free clone",
            clone.role
        ),
    }
}

/// The prompt is kept as it was written, since a brain needs it so.
fn warn_of_secrets(cx: &Cx, prompt: &str) {
    let (_, found) = Redactor::default().redact(prompt);
    if !found.is_empty() {
        let names: Vec<_> = found.into_keys().collect();
        cx.out.note(&format!(
            "note: the prompt holds a secret ({}) and is kept as it is; git khlone redact takes it out again",
            names.join(", ")
        ));
    }
}

/// An id that no task has.
pub(super) fn new_id() -> Result<TaskId, CliError> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| CliError::Io {
        what: "random numbers".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(TaskId::from_entropy(u64::from_le_bytes(bytes)))
}
