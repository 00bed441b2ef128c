//! Recovery that did not come to its end: how often it was tried, and when it is tried again.
//!
//! The next time is written down before recovery begins, so a recovery that is killed pauses like one that failed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// No pause is longer.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The pause after the first try.
const FIRST: Duration = Duration::from_secs(1);

/// The tries to recover one attempt since a person last asked for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Retry {
    /// How many have begun.
    pub tries: u32,
    /// When the next one begins, seconds since the epoch.
    pub until: i64,
    /// What stopped the last one; empty while it is under way, and where it was killed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Retry {
    /// One more try begins at `now`.
    #[must_use]
    pub fn begin(before: Option<&Self>, now: i64) -> Self {
        let tries = before.map_or(0, |before| before.tries).saturating_add(1);
        Self {
            tries,
            until: after(now, tries),
            reason: String::new(),
        }
    }

    /// The try that is under way fails at `now`.
    #[must_use]
    pub fn failed(before: Option<&Self>, now: i64, reason: String) -> Self {
        let tries = before.map_or(1, |before| before.tries);
        Self {
            tries,
            until: after(now, tries),
            reason,
        }
    }
}

fn after(now: i64, tries: u32) -> i64 {
    // Four times as long each time.
    let pause = FIRST.saturating_mul(4_u32.saturating_pow(tries.saturating_sub(1)));
    let seconds = pause.min(LONGEST_PAUSE).as_secs();
    now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The end of a pause that is not over; none where the clock was set back so far that it would never end.
pub fn pending(until: Option<i64>, now: i64) -> Option<i64> {
    let longest = i64::try_from(LONGEST_PAUSE.as_secs()).unwrap_or(i64::MAX);
    until.filter(|until| *until > now && until.saturating_sub(now) <= longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut retry = None;
        let mut last = 0;
        for tries in 1..60 {
            let begun = Retry::begin(retry.as_ref(), 1000);
            let failed = Retry::failed(Some(&begun), 2000, "full".to_owned());
            assert_eq!((begun.tries, failed.tries), (tries, tries));
            let pause = failed.until - 2000;
            assert!(pause >= last && pause <= 600, "{pause}");
            assert_eq!(begun.until - 1000, pause, "a killed try pauses as a failed one");
            last = pause;
            retry = Some(failed);
        }
        assert_eq!(last, 600);
    }

    #[test]
    fn a_clock_that_steps_back_ends_the_pause() {
        assert_eq!(pending(Some(1100), 1000), Some(1100));
        assert_eq!(pending(Some(1000), 1000), None);
        assert_eq!(pending(Some(100_000), 1000), None);
        assert_eq!(pending(None, 1000), None);
    }
}
