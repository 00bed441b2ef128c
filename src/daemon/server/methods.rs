//! The methods: what each takes and gives.
//!
//! A method that needs nothing but memory answers at once; one that needs the ledger or must wait answers later,
//! within [`REQUEST`] unless waiting is its purpose.

use std::{pin::Pin, rc::Rc, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    again::AgainParams,
    changes::{ChangesParams, changes},
    enqueue::EnqueueParams,
    queries::{self, query},
    reading::Written,
    watching::watch,
};
use crate::{
    daemon::{
        Code, RpcError,
        protocol::{self, Call, Hello, PROTOCOL},
        schedule::plan::Known,
        shared::{DaemonStatus, Shared},
    },
    task::{FORMAT, How, Outcome, Status, TaskId},
    zone::Caller,
};

/// A request takes no longer, unless waiting is its purpose.
const REQUEST: Duration = Duration::from_secs(30);

pub(crate) type Answer = Result<Value, RpcError>;

/// A begun call.
pub(crate) enum Handled {
    /// Answered already.
    Now(Answer),
    /// Answered when this is ready.
    Later(Pin<Box<dyn Future<Output = Reply>>>),
    /// The same, with an answer that may be long: one at a time of a connection is made and sent.
    Long(Pin<Box<dyn Future<Output = Reply>>>),
}

/// What answers a call.
pub(crate) enum Reply {
    /// This.
    Whole(Answer),
    /// What this gives when the answer is about to be sent: a caller that does not read costs nothing.
    OnSend(Box<dyn FnOnce() -> Answer>),
    /// This, which is written already.
    Written(Written),
}

impl Reply {
    /// The response to the call with `id`, and the room that it takes until it is sent.
    pub(crate) fn response(self, id: &Value) -> (String, Option<OwnedSemaphorePermit>) {
        match self {
            Self::Whole(answer) => (protocol::response(id, answer).to_string(), None),
            Self::OnSend(make) => (protocol::response(id, make()).to_string(), None),
            Self::Written(Written { text, room }) => (protocol::written(id, &text), Some(room)),
        }
    }
}

/// The parameters of `await`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwaitParams {
    pub(crate) tasks: Vec<TaskId>,
    /// Answer when the first of them is over, not the last.
    #[serde(default)]
    pub(crate) any: bool,
    /// Seconds; without it the wait has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<f64>,
}

/// How a task stands, in the answer to `await` and `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which task.
    pub task: TaskId,
    /// Where it is in its life.
    pub status: Status,
    /// How it came out, where it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl From<&Known> for Standing {
    fn from(known: &Known) -> Self {
        Self {
            task: known.id.clone(),
            status: known.status,
            outcome: known.outcome,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskParams {
    task: TaskId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    #[serde(default = "ListParams::usual")]
    most: usize,
}

impl ListParams {
    fn usual() -> usize {
        500
    }
}

/// Shakes hands.
pub(crate) fn hello(shared: &Shared, params: Value) -> Answer {
    let hello: Hello = read(params)?;
    if !is_equal_in_constant_time(&hello.token, &shared.record.token) {
        return Err(RpcError::new(
            Code::Unauthenticated,
            "that is not this daemon's token",
        ));
    }
    if hello.protocol == 0 {
        let message = format!(
            "protocol {} is not spoken here; this daemon speaks {PROTOCOL}",
            hello.protocol
        );
        return Err(RpcError::new(Code::Protocol, message));
    }
    Ok(json!(shared.greeting()))
}

/// Begins `call`.
pub(crate) fn handle(shared: &Rc<Shared>, call: Call, by: Caller) -> Handled {
    let shared = Rc::clone(shared);
    match call.method.as_str() {
        "ping" => now(call.params, |_: NoParams| Ok(json!(shared.greeting()))),
        "wake" => now(call.params, |_: NoParams| wake(&shared)),
        "status" => now(call.params, |_: NoParams| Ok(json!(status(&shared)))),
        "shutdown" => now(call.params, |_: NoParams| {
            shared.stop();
            Ok(json!(true))
        }),
        "await" => later(call.params, move |params| whole(wait(shared, params))),
        "watch" => later(call.params, move |params| watch(shared, params)),
        "changes" => later(call.params, move |params: ChangesParams| {
            whole(changes(shared, params))
        }),
        "list" => long(call.params, move |params: ListParams| {
            whole(brief(list(shared, params.most)))
        }),
        "show" => long(call.params, move |params: TaskParams| {
            whole(brief(show(shared, params.task)))
        }),
        "enqueue" => later(call.params, move |params: EnqueueParams| {
            whole(brief(place_order(shared, params, by)))
        }),
        "resume" => later(call.params, move |params: TaskParams| {
            let TaskParams { task } = params;
            let params = AgainParams { task, fresh: false };
            whole(brief(try_again(shared, params, How::Resume)))
        }),
        "retry" => later(call.params, move |params: AgainParams| {
            whole(brief(try_again(shared, params, How::Retry)))
        }),
        "cancel" => later(call.params, move |params: TaskParams| {
            whole(brief(cancel(shared, params.task)))
        }),
        method if queries::is_one(method) => Handled::Long(Box::pin(query(shared, call))),
        method => {
            let message = format!("there is no method `{method}`");
            Handled::Now(Err(RpcError::new(Code::Method, message)))
        }
    }
}

/// One that leaves because it was told to may not look again: its successor will.
fn wake(shared: &Shared) -> Answer {
    if shared.is_stopping() {
        return Err(RpcError::new(Code::Stopping, "the daemon is on its way out"));
    }
    shared.wake.notify_one();
    Ok(json!(true))
}

fn now<P: DeserializeOwned>(params: Value, answer: impl FnOnce(P) -> Answer) -> Handled {
    Handled::Now(read(params).and_then(answer))
}

fn later<P, F>(params: Value, answer: impl FnOnce(P) -> F) -> Handled
where
    P: DeserializeOwned,
    F: Future<Output = Reply> + 'static,
{
    match read(params) {
        Ok(params) => Handled::Later(Box::pin(answer(params))),
        Err(error) => Handled::Now(Err(error)),
    }
}

fn long<P, F>(params: Value, answer: impl FnOnce(P) -> F) -> Handled
where
    P: DeserializeOwned,
    F: Future<Output = Reply> + 'static,
{
    match later(params, answer) {
        Handled::Later(future) => Handled::Long(future),
        other => other,
    }
}

async fn whole(answer: impl Future<Output = Answer>) -> Reply {
    Reply::Whole(answer.await)
}

pub(super) async fn brief<T>(answer: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    let late = |_| RpcError::new(Code::Timeout, format!("not done within {} s", REQUEST.as_secs()));
    timeout(REQUEST, answer).await.map_err(late)?
}

fn read<P: DeserializeOwned>(params: Value) -> Result<P, RpcError> {
    serde_json::from_value(params).map_err(|error| RpcError::new(Code::Params, error.to_string()))
}

fn status(shared: &Shared) -> DaemonStatus {
    let table = shared.table.borrow();
    let count = |status| {
        table
            .tasks
            .iter()
            .filter(|task| task.ours && task.status == status)
            .count()
    };
    DaemonStatus {
        greeting: shared.greeting(),
        uptime: shared.uptime(),
        connections: shared.connections.get(),
        requests: shared.requests.get(),
        queued: count(Status::Queued),
        parked: count(Status::Parked),
        running: table.held.clone(),
        problem: shared.problem(),
    }
}

/// Waits until the tasks are over: all of them, or the first.
async fn wait(shared: Rc<Shared>, params: AwaitParams) -> Answer {
    if params.tasks.is_empty() {
        return Err(RpcError::new(Code::Params, "`tasks` is empty"));
    }
    let bound = params
        .timeout
        .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let over = wait_over(&shared, &params);
    match bound {
        None => over.await,
        Some(bound) => timeout(bound, over)
            .await
            .map_err(|_| RpcError::new(Code::Timeout, "not over yet when the time ran out"))?,
    }
}

async fn wait_over(shared: &Rc<Shared>, params: &AwaitParams) -> Answer {
    let (mut table, mut stopping) = (shared.table.subscribe(), shared.stopping.subscribe());
    // What is on hold moves again when a person says so.
    let is_over = |known: &Known| known.status.is_over() || known.on_hold;
    // The table is of a moment ago: what has just been queued is not in it, and what has just been resumed is over there.
    let before = Arc::clone(&table.borrow_and_update());
    let mut outdated: Vec<&Known> = Vec::new();
    for task in &params.tasks {
        let known = before.task(task);
        if known.is_none_or(is_over) && !is_over(&shared.find(task).await?) {
            outdated.extend(known);
            shared.wake.notify_one();
        }
    }
    loop {
        let now = Arc::clone(&table.borrow_and_update());
        let standings: Vec<_> = params.tasks.iter().filter_map(|task| now.task(task)).collect();
        let is_settled =
            |known: &&&Known| is_over(known) && !outdated.iter().any(|old| std::ptr::eq(*old, **known));
        let over = standings.iter().filter(is_settled).count();
        if over == params.tasks.len() || (params.any && over > 0) {
            return Ok(json!(
                standings.into_iter().map(Standing::from).collect::<Vec<_>>()
            ));
        }
        tokio::select! {
            _ = table.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => {
                return Err(RpcError::new(Code::Stopping, "the daemon is on its way out"));
            }
        }
    }
}

async fn list(shared: Rc<Shared>, most: usize) -> Answer {
    let tasks = shared.keeper.with(move |store| store.list(most)).await??;
    Ok(json!({ "format": FORMAT, "tasks": tasks }))
}

async fn show(shared: Rc<Shared>, task: TaskId) -> Answer {
    shared.keeper.with(move |store| store.show(&task)).await?
}

async fn place_order(shared: Rc<Shared>, params: EnqueueParams, by: Caller) -> Answer {
    if shared.is_stopping() {
        return Err(RpcError::new(Code::Stopping, "the daemon is on its way out"));
    }
    let queued = shared
        .keeper
        .with(move |store| store.enqueue(&params, by))
        .await?;
    shared.wake.notify_one();
    queued
}

async fn try_again(shared: Rc<Shared>, params: AgainParams, how: How) -> Answer {
    if shared.is_stopping() {
        return Err(RpcError::new(Code::Stopping, "the daemon is on its way out"));
    }
    let again = shared.keeper.with(move |store| store.again(&params, how)).await?;
    shared.wake.notify_one();
    again
}

async fn cancel(shared: Rc<Shared>, task: TaskId) -> Answer {
    let id = task.clone();
    shared.keeper.with(move |store| store.cancel(&id)).await??;
    shared.wake.notify_one();
    Ok(json!(Standing::from(&shared.find(&task).await?)))
}

/// A task in the answer to `list`.
pub(crate) fn listed(head: &crate::refs::TaskHead) -> Value {
    json!({
        "task": head.id, "status": head.status, "outcome": head.outcome, "mode": head.mode, "zone": head.zone,
        "clone": head.clone, "seq": head.seq, "priority": head.priority, "updated": head.updated,
        "title": head.title,
    })
}

/// Comparing a secret must not tell by its time how much of it was right.
fn is_equal_in_constant_time(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |differ, (a, b)| differ | (a ^ b))
            == 0
}
