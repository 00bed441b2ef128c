//! The method `watch`: a stretch of a task's events, as soon as there is one.
//!
//! The caller asks for each stretch with the offset it has got to. Between two requests the daemon remembers
//! nothing of it; while one waits, it counts against `limits.watchers` of the clone.

use std::{path::PathBuf, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::methods::{Answer, Reply};
use crate::{
    daemon::{
        Code, RpcError,
        events::{events_path, read_events},
        schedule::plan::Known,
        shared::Shared,
    },
    runner::piece_at,
    task::{CloneName, TaskId, ZoneId},
};

/// Bytes of one stretch.
const STRETCH: u64 = 64 << 10;
/// Longest wait for an event; the caller asks again.
const LONGEST: Duration = Duration::from_secs(60);
/// How often the file is looked at: at first, and after a long silence.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// The parameters of `watch`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchParams {
    pub(crate) task: TaskId,
    /// Which attempt, else the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    #[serde(default)]
    pub(crate) offset: u64,
    /// Seconds to wait for an event if there is none yet.
    #[serde(default)]
    pub(crate) wait: f64,
}

/// A clone's waiting watchers are counted for as long as this lives.
struct Seat<'a> {
    shared: &'a Shared,
    clone: (ZoneId, CloneName),
}

impl<'a> Seat<'a> {
    fn take(shared: &'a Shared, known: &Known) -> Result<Self, RpcError> {
        let clone = (known.zone.clone(), known.clone.clone());
        let mut watchers = shared.watchers.borrow_mut();
        let count = watchers.entry(clone.clone()).or_default();
        let most = shared.limits.get().watchers;
        if *count >= most {
            let message = format!("{} has {most} watchers, the limit (limits.watchers)", known.clone);
            return Err(RpcError::new(Code::MaxWatchers, message));
        }
        *count += 1;
        Ok(Self { shared, clone })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut watchers = self.shared.watchers.borrow_mut();
        if let Some(count) = watchers.get_mut(&self.clone) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&self.clone);
            }
        }
    }
}

/// Waits for the next stretch; it is read when it can be sent.
pub(crate) async fn watch(shared: Rc<Shared>, params: WatchParams) -> Reply {
    match wait(&shared, &params).await {
        Err(error) => Reply::Whole(Err(error)),
        Ok((known, attempt)) => Reply::OnSend(Box::new(move || stretch(&shared, &params, &known, attempt))),
    }
}

/// Waits until the attempt has events past the offset, is over, or the time is; gives the task as it is then.
async fn wait(shared: &Shared, params: &WatchParams) -> Result<(Known, u32), RpcError> {
    let wait = Duration::try_from_secs_f64(params.wait)
        .unwrap_or_default()
        .min(LONGEST);
    let deadline = Instant::now() + wait;
    let mut known = shared.find(&params.task).await?;
    let _seat = if wait.is_zero() {
        None
    } else {
        Some(Seat::take(shared, &known)?)
    };
    let mut table = shared.table.subscribe();
    let mut look = LOOK.0;
    loop {
        let attempt = params.attempt.unwrap_or(known.attempts.max(1));
        let news = piece_at(&path(shared, params, attempt), params.offset);
        let over = is_over(&known, attempt) || Instant::now() >= deadline || shared.is_stopping();
        if over || news.is_ok_and(|piece| piece.is_some()) {
            return Ok((known, attempt));
        }
        tokio::select! {
            () = sleep_until((Instant::now() + look).min(deadline)) => look = (look * 2).min(LOOK.1),
            _ = table.changed() => {
                let latest = table.borrow_and_update().task(&params.task).cloned();
                known = latest.unwrap_or(known);
            }
        }
    }
}

/// An attempt is over for its watchers once its task is, or has begun another.
fn is_over(known: &Known, attempt: u32) -> bool {
    known.attempts > attempt || !(known.status.is_active() || known.status.is_waiting())
}

fn path(shared: &Shared, params: &WatchParams, attempt: u32) -> PathBuf {
    events_path(
        &shared
            .attempts
            .join(params.task.as_str())
            .join(attempt.to_string()),
    )
}

/// The stretch itself. `known` was seen before the file is read, so that nothing is missed at the end.
fn stretch(shared: &Shared, params: &WatchParams, known: &Known, attempt: u32) -> Answer {
    let follows = !is_over(known, attempt);
    let stretch = read_events(&path(shared, params, attempt), params.offset, STRETCH, follows)
        .map_err(|error| RpcError::new(Code::Failed, format!("the events cannot be read: {error}")))?;
    // An offset in the middle of a line: that line is no event.
    let (events, ends): (Vec<Value>, Vec<u64>) = stretch.events().unzip();
    let ended = events.is_empty() && is_over(known, attempt);
    Ok(json!({
        "task": params.task, "attempt": attempt, "attempts": known.attempts, "offset": params.offset,
        "next": stretch.next, "events": events, "ends": ends, "status": known.status, "outcome": known.outcome, "ended": ended,
    }))
}
