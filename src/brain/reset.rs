//! When a limit ends, as providers and CLIs write it into their texts.
//!
//! A span (`try again in 1h2m3.5s`, `reset after 2h0m0s`, `Retrying after 7870857ms`), a field of a quoted document
//! (`"retryDelay":"7200s"`, `"resets_at":1795833600`), seconds since the epoch (`limit reached|1795394992`), or a time
//! of the clock ([`super::clock`]). What cannot be read is unknown, and the wait for it grows from try to try.

use jiff::tz::TimeZone;

use super::clock;
use crate::{refs::now, task::sane_until};

/// What stands before a time that is still to pass. What the provider says goes before what the CLI makes of it.
const SPANS: [&str; 10] = [
    "try again in ",
    "retry in ",
    "retry after ",
    "retry-after: ",
    "reset after ",
    "resets in ",
    "reset in ",
    "again after ",
    "retrying after ",
    "retrying in ",
];
/// Fields with a span; a bare number is one of seconds.
const SPAN_FIELDS: [&str; 4] = [
    "quotaresetdelay",
    "retrydelay",
    "resets_in_seconds",
    "retry_after",
];
/// What stands before seconds, or milliseconds, since the epoch.
const EPOCHS: [&str; 4] = [
    "limit reached|",
    "\"resets_at\":",
    "\"resetsat\":",
    "x-ratelimit-reset: ",
];
/// What stands before a time of the clock. The shorter ones would also find the longer.
const CLOCKS: [&str; 6] = [
    "try again at ",
    "resets at ",
    "reset at ",
    "resets on ",
    "resets ",
    "available again at ",
];

/// When the limit that `text` tells of ends, seconds since the epoch. Times of the clock are those of `zone` where the
/// text names none.
pub(super) fn reset(text: &str, now: i64, zone: &TimeZone) -> Option<i64> {
    let text = text.to_lowercase();
    let after = |mark: &&str| text.split_once(*mark).map(|(_, rest)| rest);
    let spans = SPANS.iter().filter_map(after).find_map(span);
    let fields = || SPAN_FIELDS.iter().find_map(|name| field(&text, name));
    let ahead = |seconds| sane_until(now.checked_add(seconds)?, now);
    let epoch = || {
        let told = EPOCHS.iter().filter_map(after).find_map(leading);
        told.and_then(|told| sane_until(told, now))
    };
    let clock = || {
        let told = CLOCKS
            .iter()
            .filter_map(after)
            .find_map(|rest| clock::time(rest, now, zone));
        told.and_then(|told| sane_until(told, now))
    };
    spans
        .or_else(fields)
        .and_then(ahead)
        .or_else(epoch)
        .or_else(clock)
}

/// The span that the field `name` of a document in `text` holds.
fn field(text: &str, name: &str) -> Option<i64> {
    let (_, rest) = text.split_once(name)?;
    let value = rest.trim_start_matches(['"', '\\', ' ']).strip_prefix(':')?;
    let value = value.trim_start_matches(['"', '\\', ' ']);
    let seconds = || leading(value).filter(|_| !value.starts_with('-'));
    span(value).or_else(seconds)
}

/// The seconds, rounded up, of the numbers with units that `text` begins with.
fn span(text: &str) -> Option<i64> {
    let (mut rest, mut total, mut any) = (text.trim_start(), 0.0, false);
    while let Some(end) = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .filter(|end| *end > 0)
    {
        let Ok(number) = rest[..end].trim_end_matches('.').parse::<f64>() else {
            break;
        };
        let word = rest[end..].trim_start();
        let length = word
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(word.len());
        let Some(factor) = unit(&word[..length]) else {
            break;
        };
        total += number * factor;
        any = true;
        rest = word[length..]
            .trim_start_matches([' ', ','])
            .trim_start_matches("and ");
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded right here")]
    (any && total < 1e9).then(|| total.ceil() as i64)
}

fn unit(word: &str) -> Option<f64> {
    Some(match word {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

fn leading(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '"']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// When the limit that `text` tells of ends. Times of the clock are those of this machine, as the brain's are.
pub(super) fn ends(text: &str) -> Option<i64> {
    reset(text, now(), &TimeZone::system())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_826_280; // 2026-11-28 00:38 UTC

    fn at(text: &str) -> Option<i64> {
        reset(text, NOW, &TimeZone::UTC).map(|until| until - NOW)
    }

    #[test]
    fn what_providers_write() {
        for (text, after) in [
            (
                "Rate limit reached for gpt-5. Please try again in 11.054s. Visit",
                12,
            ),
            ("Please try again in 6m0s.", 360),
            (
                "You've hit your usage limit. Upgrade, or try again in 3 days 4 hours 5 minutes.",
                273_900,
            ),
            ("Please retry in 34.5s", 35),
            ("429: Retry-After: 30 seconds", 30),
            ("quota will reset after 1h2m3s", 3723),
            ("try again in 850ms", 1),
            (
                "Attempt 1 failed: exhausted. Your quota will reset after 2h0m0s.. Retrying after 7870857ms...",
                7200,
            ),
            (
                "Attempt 2 failed with status 429. Retrying after 7870857ms...",
                7871,
            ),
            (r#"{"@type":"google.rpc.RetryInfo","retryDelay":"7200s"}"#, 7200),
            (r#"{\"retryDelay\": \"34s\"}"#, 34),
            (r#"{"type":"usage_limit_reached","resets_in_seconds":7200}"#, 7200),
            ("Claude AI usage limit reached|1795826340", 60),
            (r#"{"resets_at":1795826340}"#, 60),
            (r#"{"resetsAt": 1795826340000}"#, 60),
        ] {
            assert_eq!(at(text), Some(after), "{text}");
        }
    }

    #[test]
    fn times_of_the_clock() {
        for (text, after) in [
            ("purchase more credits or try again at 2:38 AM.", 7200),
            ("or try again at Nov 28th, 2026 2:38 AM.", 7200),
            ("try again at Dec 1st, 2026 12:38 AM.", 3 * 86_400),
            ("try again at 12:23 AM.", 86_400 - 900),
            ("5-hour limit reached ∙ resets 3am", 8520),
            (
                "You've hit your limit · resets Nov 28 at 4am (Europe/Berlin)",
                8520,
            ),
            (
                "Your limit will reset at 3pm (America/New_York).",
                19 * 3600 + 1320,
            ),
            ("Limit resets at 2026-11-28T02:38:00Z.", 7200),
            ("resets 02:38 UTC", 7200),
        ] {
            assert_eq!(at(text), Some(after), "{text}");
        }
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(reset("try again at 3:38 AM.", NOW, &berlin), Some(NOW + 7200));
        // Cut to the minute, it is a moment ago: not tomorrow.
        assert_eq!(
            reset("try again at 12:37 AM.", NOW + 50, &TimeZone::UTC),
            Some(NOW + 110)
        );
    }

    #[test]
    fn what_cannot_be_meant_is_unknown() {
        for text in [
            "Too many requests",
            "try again in a while",
            "limit reached|12",
            "limit reached|99999999999999999999",
            "limit reached|9223372036854775807",
            "try again in 999999999999 days",
            "try again in 400 days",
            "try again in 5",
            "try again in .",
            "try again at noon",
            "try again at Nov 1st, 2026 2:38 AM.",
            "try again at Nov 28th, 2036 2:38 AM.",
            "try again at Feb 30th, 2027 2:38 AM.",
            "try again at 25:61 PM",
            "it resets the counter",
            r#"{"retryDelay":"-5s"}"#,
            r#"{"resets_in_seconds":null}"#,
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(try again (in|at) |retry after |resets )?[0-9.dhms éapm:,novth(/)]{0,40}") {
            let _until = reset(&text, 0, &TimeZone::UTC);
        }
    }
}
