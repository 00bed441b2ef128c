//! Follows one task's events, attempt after attempt, from any offset on.
//!
//! The daemon's `watch` serves them while it lives; without it they are read where it reads them, from the
//! attempt's spool. What the spool does not have, the ledger's transcript has: all of a finished attempt whose
//! spool is gone, and the end of one that said more than its spool's head holds. Offsets are the same in all
//! three, so a feed goes from one to the other without a gap and without telling anything twice.

use std::{
    fmt, fs,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Stretch, events_path, read_events};
use crate::{
    daemon::{DaemonError, RpcError, client::line::Line},
    refs::{Ledger, Stored},
    task::{Outcome, Status, TaskId},
};

/// Bytes that are read at once.
const STRETCH: u64 = 256 << 10;
/// How often the spool is looked at without a daemon, and the ledger between two attempts.
const LOOK: Duration = Duration::from_millis(50);

/// How far in a task's events one is: `2:4711` is byte 4711 of its second attempt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bookmark {
    /// From 1.
    pub attempt: u32,
    /// Bytes of the attempt's events so far.
    pub offset: u64,
}

/// Where to begin, as people write it: `4711` is of the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    attempt: Option<u32>,
    offset: u64,
}

/// Not a place in a task's events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no offset: write bytes, or attempt:bytes, such as 1:4711")]
pub struct SinceError(String);

/// One event, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The event.
    pub event: Value,
    /// Where the next one begins.
    pub end: Bookmark,
}

/// What has happened since the last look.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// New events.
    pub events: Vec<Told>,
    /// Where the task is in its life.
    pub status: Status,
    /// How it came out, where it has.
    pub outcome: Option<Outcome>,
    /// Nothing more will come.
    pub over: bool,
}

/// A reader of one task's events.
#[derive(Debug)]
pub struct Feed {
    task: TaskId,
    at: Bookmark,
    /// The number of the attempt's last event that was told.
    seq: Option<u64>,
}

/// The part of a daemon's answer that counts here.
#[derive(Deserialize)]
struct Answer {
    events: Vec<Value>,
    ends: Vec<u64>,
    next: u64,
    status: Status,
    outcome: Option<Outcome>,
    ended: bool,
}

impl Feed {
    /// The events of the task's last attempt and of those to come, or what `since` says.
    pub fn of(stored: &Stored, since: Option<Since>) -> Self {
        let last = stored.task.last_attempt().map_or(1, |attempt| attempt.n);
        Self {
            task: stored.task.id.clone(),
            at: Bookmark {
                attempt: since.and_then(|since| since.attempt).unwrap_or(last),
                offset: since.map_or(0, |since| since.offset),
            },
            seq: None,
        }
    }

    /// Where it is.
    pub fn at(&self) -> Bookmark {
        self.at
    }

    /// Waits for news, by way of the daemon where there is one; none after `patience`.
    ///
    /// # Errors
    /// The daemon's refusal (the clone may have too many watchers), or that nothing can be read.
    pub fn next(
        &mut self,
        ledger: &Ledger<'_>,
        line: &mut Line,
        patience: Duration,
    ) -> Result<News, DaemonError> {
        let params = json!({
            "task": self.task, "attempt": self.at.attempt, "offset": self.at.offset, "wait": patience.as_secs_f64(),
        });
        match line.call::<Answer>("watch", &params, patience) {
            Some(answer) => self.served(ledger, answer?, patience),
            None => self.look(ledger, patience),
        }
    }

    fn served(
        &mut self,
        ledger: &Ledger<'_>,
        answer: Answer,
        patience: Duration,
    ) -> Result<News, DaemonError> {
        if answer.ended {
            return self.turn(ledger, patience);
        }
        self.at.offset = answer.next;
        let attempt = self.at.attempt;
        let told = answer.events.into_iter().zip(answer.ends);
        let events = told.map(|(event, offset)| Told {
            event,
            end: Bookmark { attempt, offset },
        });
        Ok(News {
            events: self.note(events.collect()),
            status: answer.status,
            outcome: answer.outcome,
            over: false,
        })
    }

    /// Waits for news without a daemon.
    ///
    /// # Errors
    /// That nothing can be read.
    pub fn look(&mut self, ledger: &Ledger<'_>, patience: Duration) -> Result<News, DaemonError> {
        let deadline = Instant::now() + patience;
        let path = events_path(&ledger.site().layout().attempt(&self.task, self.at.attempt));
        loop {
            // The task is seen before its events are read, so that nothing is missed at the end.
            let stored = ledger.task(&self.task).map_err(RpcError::from)?;
            let goes_on = stored.task.status.is_active() || stored.task.status.is_waiting();
            let follows = goes_on && !self.is_past(&stored);
            let stretch = read_events(&path, self.at.offset, STRETCH, follows)
                .map_err(|source| DaemonError::io(&path, source))?;
            if !stretch.lines.is_empty() {
                return Ok(self.news(&stored, &stretch));
            }
            if !follows {
                return self.turn(ledger, patience);
            }
            if Instant::now() >= deadline {
                return Ok(self.news(&stored, &stretch));
            }
            thread::sleep(LOOK.min(patience));
        }
    }

    /// The attempt has said all that its spool holds: what the ledger has besides, then the next attempt, then the
    /// end.
    fn turn(&mut self, ledger: &Ledger<'_>, patience: Duration) -> Result<News, DaemonError> {
        let stored = ledger.task(&self.task).map_err(RpcError::from)?;
        let transcript = ledger
            .transcript(&stored, self.at.attempt)
            .map_err(RpcError::from)?;
        let all = transcript.as_deref().unwrap_or_default();
        let rest = self.untold(ledger, all);
        let stretch = Stretch {
            lines: rest.to_vec(),
            next: self.at.offset.max(all.len() as u64),
        };
        if !stretch.lines.is_empty() {
            return Ok(self.news(&stored, &stretch));
        }
        let mut news = self.news(&stored, &stretch);
        if self.is_past(&stored) {
            self.at = Bookmark {
                attempt: self.at.attempt + 1,
                offset: 0,
            };
            self.seq = None;
        } else if stored.task.is_settled() {
            news.over = true;
        } else {
            // Between two attempts; a daemon begins the next one.
            thread::sleep(LOOK.min(patience));
        }
        Ok(news)
    }

    /// What of a finished attempt's transcript was not told yet.
    fn untold<'a>(&self, ledger: &Ledger<'_>, all: &'a [u8]) -> &'a [u8] {
        let path = events_path(&ledger.site().layout().attempt(&self.task, self.at.attempt));
        let is_past_head = fs::metadata(path).is_ok_and(|head| head.len() < self.at.offset);
        let Some(told) = self.seq.filter(|_| is_past_head) else {
            let begin = usize::try_from(self.at.offset).unwrap_or(usize::MAX);
            return all.get(begin..).unwrap_or_default();
        };
        // Beyond the head, offsets count also what is left out of the transcript.
        let mut end = all.len();
        for line in all.split_inclusive(|byte| *byte == b'\n').rev() {
            let seq = serde_json::from_slice::<Value>(line)
                .ok()
                .and_then(|event| event["seq"].as_u64());
            if seq.is_none_or(|seq| seq <= told) {
                break;
            }
            end -= line.len();
        }
        &all[end..]
    }

    fn note(&mut self, events: Vec<Told>) -> Vec<Told> {
        let last = events.iter().rev().find_map(|told| told.event["seq"].as_u64());
        self.seq = last.or(self.seq);
        events
    }

    /// Whether the task has begun another attempt since.
    fn is_past(&self, stored: &Stored) -> bool {
        stored.task.last_attempt().map_or(0, |last| last.n) > self.at.attempt
    }

    fn news(&mut self, stored: &Stored, stretch: &Stretch) -> News {
        let attempt = self.at.attempt;
        let told = |(event, offset)| Told {
            event,
            end: Bookmark { attempt, offset },
        };
        self.at.offset = stretch.next;
        News {
            events: self.note(stretch.events().map(told).collect()),
            status: stored.task.status,
            outcome: stored.task.outcome,
            over: false,
        }
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.attempt, self.offset)
    }
}

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let bad = || SinceError(text.to_owned());
        let (attempt, offset) = match text.split_once(':') {
            Some((attempt, offset)) => {
                let attempt = attempt.parse().ok().filter(|attempt| *attempt > 0);
                (Some(attempt.ok_or_else(bad)?), offset)
            }
            None => (None, text),
        };
        Ok(Self {
            attempt,
            offset: offset.parse().map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_are_read_as_they_are_written() {
        let mark = Bookmark {
            attempt: 2,
            offset: 4711,
        };
        let since: Since = mark.to_string().parse().unwrap();
        assert_eq!((since.attempt, since.offset), (Some(2), 4711));
        assert_eq!("0".parse::<Since>().unwrap().attempt, None);
        for bad in ["", ":", "0:1", "1:", "x", "1:2:3", "-1"] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
    }
}
