//! How far ahead a limit is believed.

/// The farthest that a limit may lie ahead, in seconds: no provider counts in more than months.
pub const FARTHEST: i64 = 31 * 86_400;

/// A number of seconds since the epoch is smaller, one of milliseconds greater, from 1973 to the year 5000.
const MILLISECONDS: i64 = 100_000_000_000;

/// The end of a limit as a provider tells it, in seconds or milliseconds since the epoch: `None` where it cannot be
/// meant, since it is over already or farther away than any limit. Every end that is written down has come through
/// here, so that no number of somebody else's keeps a task for ever.
pub fn sane_until(told: i64, now: i64) -> Option<i64> {
    let until = if told >= MILLISECONDS { told / 1000 } else { told };
    let ahead = until.checked_sub(now)?;
    (ahead > 0 && ahead <= FARTHEST).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    #[test]
    fn only_what_can_be_meant_is_believed() {
        let soon = NOW + 7200;
        for (told, believed) in [
            (soon, Some(soon)),
            (soon * 1000, Some(soon)),
            (NOW + FARTHEST, Some(NOW + FARTHEST)),
            (NOW + FARTHEST + 1, None),
            (NOW, None),
            (12, None),
            (0, None),
            (-1, None),
            (i64::MAX, None),
            (i64::MIN, None),
            (soon * 1_000_000, None),
        ] {
            assert_eq!(sane_until(told, NOW), believed, "{told}");
        }
    }
}
