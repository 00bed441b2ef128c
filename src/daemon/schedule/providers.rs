//! What is known of the providers of models: until when each is left alone, and when it was asked last.
//!
//! Pure; [`super::machine`] keeps the document under the machine's lock. Nothing is asked of a provider: what an
//! attempt ran into counts. A declared reset is waited for; without one, the pause doubles with each limit that
//! comes soon after the last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    brain::Provider,
    config::ProviderLimits,
    task::{FORMAT, sane_until},
};

/// The first pause where no reset was declared, and the longest, in seconds.
const PAUSE: (i64, i64) = (30, 3600);
/// What `per_minute` counts.
const MINUTE: i64 = 60;

/// The limits that the user sets, by the provider's name.
pub(crate) type Rates = BTreeMap<String, ProviderLimits>;

/// `providers.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Providers {
    format: u32,
    providers: BTreeMap<Provider, Standing>,
}

/// One account at a provider. Times are seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    /// Until when it is left alone.
    #[serde(default)]
    parked_until: i64,
    /// The last pause that nobody declared, in seconds.
    #[serde(default)]
    pause: i64,
    /// A person has said that limits up to this end are over: what still tells of one has it from before.
    #[serde(default)]
    lifted: i64,
    /// When attempts were started within the last minute.
    #[serde(default)]
    starts: Vec<i64>,
}

/// What may be asked of a provider now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// It is at its limit until then.
    pub(crate) parked_until: Option<i64>,
    /// Ends up to this one count no longer.
    pub(crate) lifted: i64,
    /// So many attempts may start now.
    pub(crate) starts: usize,
    /// When the minute lets the next one start, where that is what it waits for.
    pub(crate) next: Option<i64>,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            format: FORMAT,
            providers: BTreeMap::new(),
        }
    }
}

impl Providers {
    /// Leaves `provider` alone until `until`; an earlier end never shortens a later one. An end that cannot be meant is
    /// none.
    pub(crate) fn park(&mut self, provider: &Provider, until: i64, now: i64) {
        if let Some(until) = sane_until(until, now) {
            let standing = self.providers.entry(provider.clone()).or_default();
            if until <= standing.lifted {
                return;
            }
            standing.parked_until = standing.until(now).map_or(until, |known| known.max(until));
        }
    }

    /// Lets `provider` be asked again at once, whatever tells of a limit that ends by `until`; the next pause is a
    /// first one.
    pub(crate) fn lift(&mut self, provider: &Provider, until: i64) {
        let standing = self.providers.entry(provider.clone()).or_default();
        standing.lifted = until.max(standing.parked_until);
        (standing.parked_until, standing.pause) = (0, 0);
    }

    /// An attempt ran into a limit of which nobody said when it ends: gives until when to wait.
    pub(crate) fn back_off(&mut self, provider: &Provider, now: i64) -> i64 {
        let standing = self.providers.entry(provider.clone()).or_default();
        if let Some(until) = standing.until(now) {
            // It came with others that were under way.
            return until;
        }
        let last = standing.pause.clamp(0, PAUSE.1);
        let soon = standing.parked_until <= now && now.saturating_sub(standing.parked_until) <= 2 * last;
        standing.pause = if soon {
            (last * 2).clamp(PAUSE.0, PAUSE.1)
        } else {
            PAUSE.0
        };
        standing.parked_until = now.saturating_add(standing.pause);
        standing.parked_until
    }

    /// Takes note of a started attempt.
    pub(crate) fn started(&mut self, provider: &Provider, now: i64) {
        let starts = &mut self.providers.entry(provider.clone()).or_default().starts;
        starts.retain(|start| counts(*start, now));
        starts.push(now);
    }

    /// What may be asked of `provider`, of which `running` attempts are under way.
    pub(crate) fn room(
        &self,
        provider: &Provider,
        limits: ProviderLimits,
        (running, now): (usize, i64),
    ) -> Room {
        let most = |limit: Option<std::num::NonZeroU32>| {
            limit.map_or(usize::MAX, |limit| {
                usize::try_from(limit.get()).unwrap_or(usize::MAX)
            })
        };
        let none = Standing::default();
        let standing = self.providers.get(provider).unwrap_or(&none);
        let free = most(limits.max_concurrent).saturating_sub(running);
        let mut recent: Vec<i64> = standing
            .starts
            .iter()
            .copied()
            .filter(|start| counts(*start, now))
            .collect();
        recent.sort_unstable();
        let in_minute = most(limits.per_minute).saturating_sub(recent.len());
        // The one whose minute must be over for one more to fit.
        let holds_up = recent
            .len()
            .checked_sub(most(limits.per_minute))
            .and_then(|at| recent.get(at));
        Room {
            parked_until: standing.until(now),
            lifted: standing.lifted,
            starts: free.min(in_minute),
            next: holds_up.map(|start| start + MINUTE),
        }
    }
}

impl Standing {
    /// Until when it is left alone. Yesterday's documents may hold ends that cannot be meant.
    fn until(&self, now: i64) -> Option<i64> {
        Some(self.parked_until).filter(|until| sane_until(*until, now) == Some(*until))
    }
}

/// A start in the future is a clock that was set back, and counts no longer.
fn counts(start: i64, now: i64) -> bool {
    start <= now && now - start < MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        serde_json::from_str("\"openai/0123\"").unwrap()
    }

    fn limits(max_concurrent: u32, per_minute: u32) -> ProviderLimits {
        ProviderLimits {
            max_concurrent: std::num::NonZeroU32::new(max_concurrent),
            per_minute: std::num::NonZeroU32::new(per_minute),
        }
    }

    #[test]
    fn a_declared_reset_is_waited_for_and_never_shortened() {
        let (mut providers, openai) = (Providers::default(), provider());
        providers.park(&openai, 1500, 1000);
        providers.park(&openai, 1200, 1000);
        let at = |now| {
            providers
                .room(&openai, ProviderLimits::default(), (0, now))
                .parked_until
        };
        assert_eq!((at(1000), at(1499), at(1500)), (Some(1500), Some(1500), None));
    }

    #[test]
    fn an_end_that_cannot_be_meant_parks_nobody() {
        let (mut providers, openai) = (Providers::default(), provider());
        let now = 1_795_000_000;
        let until = |providers: &Providers| {
            let room = providers.room(&openai, ProviderLimits::default(), (0, now));
            room.parked_until
        };
        for told in [i64::MAX, i64::MIN, now - 1, now + 32 * 86_400, 12] {
            providers.park(&openai, told, now);
            assert_eq!(until(&providers), None, "{told}");
        }
        // In milliseconds, as some write it.
        providers.park(&openai, (now + 60) * 1000, now);
        assert_eq!(until(&providers), Some(now + 60));
        // As it was written before it was looked at.
        for written in [i64::MAX, now + 400 * 86_400, (now + 60) * 1000] {
            providers.providers.get_mut(&openai).unwrap().parked_until = written;
            assert_eq!(until(&providers), None, "{written}");
            assert_eq!(providers.back_off(&openai, now), now + 30);
        }
    }

    #[test]
    fn a_lifted_park_is_over_at_once() {
        let (mut providers, openai) = (Providers::default(), provider());
        providers.park(&openai, 9000, 1000);
        providers.lift(&openai, 0);
        // Another site has it from before.
        providers.park(&openai, 9000, 1000);
        let until = |providers: &Providers| {
            let room = providers.room(&openai, ProviderLimits::default(), (0, 1000));
            room.parked_until
        };
        assert_eq!(until(&providers), None);
        providers.park(&openai, 9001, 1000);
        assert_eq!(until(&providers), Some(9001), "a new one counts");
        providers.lift(&openai, 9500);
        providers.park(&openai, 9400, 1000);
        assert_eq!(until(&providers), None);
        assert_eq!(providers.back_off(&openai, 1000), 1030);
    }

    #[test]
    fn pauses_double_while_limits_follow_each_other_and_begin_anew_later() {
        let (mut providers, openai) = (Providers::default(), provider());
        let mut now = 10_000;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let until = providers.back_off(&openai, now);
            assert_eq!(
                providers.back_off(&openai, now + 1),
                until,
                "one limit met by several is one"
            );
            pauses.push(until - now);
            now = until + 5;
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(providers.back_off(&openai, now + 8000) - (now + 8000), 30);
    }

    #[test]
    fn places_and_minutes_are_counted() {
        let (mut providers, openai) = (Providers::default(), provider());
        for start in [100, 110, 120] {
            providers.started(&openai, start);
        }
        let room = |limits, running, now| {
            let room = providers.room(&openai, limits, (running, now));
            (room.starts, room.next)
        };
        assert_eq!(room(limits(0, 0), 99, 120), (usize::MAX - 99, None));
        assert_eq!(room(limits(4, 0), 3, 120), (1, None));
        assert_eq!(room(limits(4, 0), 5, 120), (0, None));
        assert_eq!(room(limits(0, 4), 3, 120), (1, None));
        assert_eq!(room(limits(0, 3), 3, 120), (0, Some(160)));
        assert_eq!(room(limits(0, 2), 3, 120), (0, Some(170)));
        assert_eq!(room(limits(0, 3), 3, 160), (1, None));
        assert_eq!(
            room(limits(0, 3), 0, 50),
            (3, None),
            "a clock that was set back blocks nothing"
        );
    }
}
