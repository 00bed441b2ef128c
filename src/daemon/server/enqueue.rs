//! The method `enqueue`: an order over RPC, as `act` and `ask` give it themselves.
//!
//! The caller makes the task's id. Asking again with the same id gives the first result and queues nothing, so a
//! caller that lost the answer, or the daemon, just asks again. The settings are those of the main checkout.

use std::path::{Component, Path};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    brain::BrainError,
    config::Paths,
    daemon::{Code, RpcError},
    refs::{Ledger, LedgerError, RefError, Stored},
    runner,
    task::{Class, Explain, FORMAT, Mode, Task, TaskId, TaskPrefix, Who},
    zone::{
        self, AdmissionError, Caller, CrewError, DispatchError, Order, OrderError, Place, Rank, ResolveError,
        SettingsError, admit, changes::own_changes, clone_of, open::open_missing, refuse_open, settings,
    },
};

/// The parameters of `enqueue`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct EnqueueParams {
    /// Made by the caller.
    pub(crate) task: TaskId,
    pub(crate) prompt: String,
    #[serde(default = "act")]
    pub(crate) mode: Mode,
    #[serde(default)]
    pub(crate) who: Option<String>,
    /// The zone's branch, else the one that the main checkout is on.
    #[serde(default)]
    pub(crate) zone: Option<String>,
    /// Make that branch if there is none, at `base`, else HEAD.
    #[serde(default)]
    pub(crate) create: bool,
    #[serde(default)]
    pub(crate) base: Option<String>,
    #[serde(default)]
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) prioritize: bool,
    #[serde(default)]
    pub(crate) when: When,
    #[serde(default)]
    pub(crate) after: Vec<String>,
    /// Start from the uncommitted files of the main checkout, too.
    #[serde(default)]
    pub(crate) with_changes: bool,
    #[serde(default)]
    pub(crate) new_session: bool,
    /// Where the brain starts, relative to the top of the work tree.
    #[serde(default)]
    pub(crate) folder: Option<String>,
    /// The task whose question it answers: mode, clone, zone and model are its, and the place is before those that wait.
    #[serde(default)]
    pub(crate) reply_to: Option<TaskId>,
}

/// What happens to the clone's task under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    #[default]
    Enqueue,
    Disrupt,
}

fn act() -> Mode {
    Mode::Act
}

/// Queues the task, unless it is there.
pub(crate) fn enqueue(
    ledger: &Ledger<'_>,
    paths: &Paths,
    params: &EnqueueParams,
    by: Caller,
) -> Result<Value, RpcError> {
    if let Some(first) = first_result(ledger, params)? {
        return Ok(first);
    }
    fits_together(params)?;
    let asked = params.reply_to.as_ref().map(|id| asked(ledger, id)).transpose()?;
    let place = place(ledger, params, asked.as_ref())?;
    let loaded = settings(ledger.repo(), &place, paths).map_err(|error| of_settings(&error))?;
    let admitted = admit(ledger.repo(), &place, (loaded, paths), by).map_err(|error| of_admission(&error))?;
    let wrong = |what: &dyn std::fmt::Display| RpcError::new(Code::Params, what.to_string());
    let who: Option<Who> = params
        .who
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| wrong(&error))?;
    let after: Result<Vec<TaskPrefix>, _> = params.after.iter().map(|prefix| prefix.parse()).collect();
    let clone = asked.as_ref().map(clone_of);
    let changes = params
        .with_changes
        .then(|| own_changes(ledger.repo(), ledger.site()))
        .transpose()
        .map_err(|error| RpcError::of(&error))?;
    let order = Order {
        id: params.task.clone(),
        mode: params.mode,
        prompt: params.prompt.clone(),
        who: who.as_ref(),
        model: params.model.clone(),
        rank: Rank::of(params.when == When::Disrupt, params.prioritize),
        after: &after.map_err(|error| wrong(&error))?,
        reply_to: None,
        // The pack is held until the task is in the ledger.
        with_changes: changes.as_ref().map(|(tree, _)| *tree),
        folder: params.folder.as_deref().map(below_top).transpose()?,
        new_session: params.new_session,
    };
    let order = match (&asked, &clone) {
        (Some(asked), Some(clone)) => Order::reply(asked, clone, order.id, order.prompt),
        _ => order,
    };
    match admitted.submit(ledger, &order) {
        Ok(dispatched) => {
            let task = &dispatched.stored.task;
            runner::disrupted_by(ledger, task, "daemon")?;
            Ok(answer(&dispatched.stored))
        }
        // Someone has just queued it.
        Err(OrderError::Dispatch(DispatchError::Ledger(LedgerError::Ref(RefError::Moved { .. })))) => {
            first_result(ledger, params)?.ok_or_else(|| RpcError::new(Code::Refused, "try again"))
        }
        Err(error) => Err(of_order(&error)),
    }
}

/// Refuses parameters of which one would be passed over without a word.
fn fits_together(params: &EnqueueParams) -> Result<(), RpcError> {
    let (create, base) = (params.create, params.base.is_some());
    let what = if create && params.zone.is_none() {
        "`create` needs `zone`"
    } else if base && !create {
        "`base` needs `create`"
    } else if params.reply_to.is_some() && (create || params.with_changes) {
        "a reply goes on in the zone and with the files of the task that it answers: it takes neither `create` nor \
         `with_changes`"
    } else {
        return Ok(());
    };
    Err(RpcError::new(Code::Params, what))
}

/// The zone of the task, made if it is to be.
fn place(ledger: &Ledger<'_>, params: &EnqueueParams, asked: Option<&Task>) -> Result<Place, RpcError> {
    if let Some(branch) = params.zone.as_ref().filter(|_| params.create) {
        open_missing(ledger, branch, params.base.as_deref()).map_err(|error| RpcError::of(&error))?;
    }
    match asked.map(|asked| &asked.branch).or(params.zone.as_ref()) {
        Some(branch) => zone::zone_named(ledger.repo(), branch),
        None => zone::here(ledger),
    }
    .map_err(|error| of_place(&error))
}

/// The task that is to be answered, once it is over.
fn asked(ledger: &Ledger<'_>, id: &TaskId) -> Result<Task, RpcError> {
    let task = match ledger.task(id) {
        Err(LedgerError::NoTask(id)) => {
            return Err(RpcError::new(
                Code::TaskNotFound,
                format!("there is no task {id} here"),
            ));
        }
        other => other?.task,
    };
    refuse_open(&task).map_err(|error| of_order(&error))?;
    Ok(task)
}

/// A folder of the work tree.
fn below_top(folder: &str) -> Result<String, RpcError> {
    let mut parts = Path::new(folder).components();
    if !folder.is_empty() && parts.all(|part| matches!(part, Component::Normal(_))) {
        return Ok(folder.to_owned());
    }
    let message = format!("invalid folder `{folder}`: expected one below the top of the work tree");
    Err(RpcError::new(Code::Params, message))
}

/// What the first call with this id gave, if there was one. Another order may not have the same id.
fn first_result(ledger: &Ledger<'_>, params: &EnqueueParams) -> Result<Option<Value>, RpcError> {
    let stored = match ledger.task(&params.task) {
        Err(LedgerError::NoTask(_)) => return Ok(None),
        other => other?,
    };
    let prompt = ledger.file(&stored, "prompt.md")?.unwrap_or_default();
    let same_mode = params.reply_to.is_some() || stored.task.mode == params.mode;
    if prompt != params.prompt.as_bytes() || !same_mode || stored.task.reply_to != params.reply_to {
        let message = format!("{} is another task already; make a new id", params.task);
        return Err(RpcError::new(Code::Params, message));
    }
    Ok(Some(answer(&stored)))
}

/// Only what does not change any more.
fn answer(stored: &Stored) -> Value {
    let task = &stored.task;
    json!({
        "format": FORMAT, "task": task.id, "zone": task.zone, "branch": task.branch, "clone": task.clone,
        "brain": task.brain, "mode": task.mode, "seq": task.seq,
    })
}

fn of_place(error: &ResolveError) -> RpcError {
    match error {
        ResolveError::NoBranch { .. } => RpcError::coded(error, Code::ZoneNotFound),
        ResolveError::NoClone { .. } => RpcError::coded(error, Code::CloneNotFound),
        other => RpcError::of(other),
    }
}

fn of_admission(error: &AdmissionError) -> RpcError {
    match error {
        AdmissionError::Settings(error) => of_settings(error),
        other => RpcError::of(other),
    }
}

fn of_settings(error: &SettingsError) -> RpcError {
    match error {
        SettingsError::Trust(trust) if trust.class() == Class::Refused => {
            RpcError::coded(error, Code::Untrusted)
        }
        other => RpcError::of(other),
    }
}

fn of_order(error: &OrderError) -> RpcError {
    let code = match error {
        OrderError::Dispatch(DispatchError::QueueFull { .. }) => Code::QueueFull,
        OrderError::Dispatch(DispatchError::Brain(BrainError::SignedOut { .. })) => Code::BrainAuth,
        OrderError::Dispatch(DispatchError::Crew(CrewError::Full { .. })) => Code::MaxClones,
        OrderError::Dispatch(DispatchError::Crew(CrewError::NoNumber(_))) => Code::CloneNotFound,
        OrderError::Ledger(LedgerError::NoTask(_)) => Code::TaskNotFound,
        other => Code::of_class(other.class()),
    };
    RpcError::coded(error, code)
}
