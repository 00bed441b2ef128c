//! The method `changes`: which tasks and zones have changed, as soon as one has.

use std::{rc::Rc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::methods::Answer;
use crate::daemon::{events::changes::Changes, shared::Shared};

/// Longest wait for a change; the caller asks again.
const LONGEST: Duration = Duration::from_secs(60);

/// The parameters of `changes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesParams {
    /// The `next` of the last answer.
    #[serde(default)]
    since: Option<String>,
    /// Seconds to wait for a change if there is none yet.
    #[serde(default)]
    wait: f64,
}

/// Waits for a change, for the time to be over, or for the daemon to leave.
pub(crate) async fn changes(shared: Rc<Shared>, params: ChangesParams) -> Answer {
    let wait = Duration::try_from_secs_f64(params.wait).unwrap_or_default();
    let deadline = Instant::now() + wait.min(LONGEST);
    let (mut seen, mut stopping) = (shared.seen.subscribe(), shared.stopping.subscribe());
    let since = params.since.as_deref();
    let is_news = seen.wait_for(|seen| seen.as_ref().is_some_and(|seen| !seen.since(since).is_empty()));
    tokio::select! {
        _ = timeout_at(deadline, is_news) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    let seen = shared.seen.borrow();
    // Before its first look it tells nothing: the caller is to look, and to ask again.
    let changes = seen
        .as_ref()
        .map_or_else(Changes::unknown, |seen| seen.since(since));
    Ok(json!(changes))
}
