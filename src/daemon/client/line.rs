//! A line to the daemon that may break and come back: whoever waits for something outlives the daemon.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::daemon::{Client, Code, DaemonError, Place, RpcError, wake};

/// How long a daemon that could not be reached is left alone.
const REST: Duration = Duration::from_millis(500);
/// How much longer than the wait that was asked for an answer may take.
const SLACK: Duration = Duration::from_secs(30);

/// A connection for as long as there is a daemon.
#[derive(Debug)]
pub struct Line {
    place: Place,
    client: Option<Client>,
    /// Whether a daemon that is gone is started again.
    starts: bool,
    rest: Option<Instant>,
}

impl Line {
    /// A line to the daemon at `place`. With `starts`, one is started where none runs.
    pub fn new(place: Place, starts: bool) -> Self {
        Self {
            place,
            client: None,
            starts,
            rest: None,
        }
    }

    /// The site's place.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the daemon answered when it was last asked.
    pub fn is_up(&self) -> bool {
        self.client.is_some()
    }

    /// Calls `method`, which waits at most `wait`. `None` if no daemon answers just now: look for yourself, and
    /// ask again later.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
        wait: Duration,
    ) -> Option<Result<T, RpcError>> {
        let client = self.client()?;
        match client.call(method, params, wait + SLACK) {
            Ok(answer) => Some(Ok(answer)),
            Err(DaemonError::Rpc(error)) if error.code != Code::Stopping.number() => Some(Err(error)),
            Err(_) => {
                self.client = None;
                None
            }
        }
    }

    fn client(&mut self) -> Option<&mut Client> {
        if self.client.is_none() && self.rest.is_none_or(|end| Instant::now() >= end) {
            self.client = Client::connect(&self.place).ok();
            if self.client.is_none() && self.starts && wake(&self.place).is_ok() {
                self.client = Client::connect(&self.place).ok();
            }
            self.rest = Some(Instant::now() + REST);
        }
        self.client.as_mut()
    }
}
