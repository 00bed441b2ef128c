//! When a limit ends, as providers write it into their error texts: `try again in 1h2m3.5s`, `in 3 days 4 hours`,
//! `retry after 30 seconds`, `limit reached|1795394992`. What cannot be read is unknown, and whoever waits backs off.

/// What stands before a time that is still to pass.
const MARKS: [&str; 7] = [
    "try again in ",
    "retry in ",
    "retry after ",
    "retry-after: ",
    "reset after ",
    "resets in ",
    "reset in ",
];
/// Nothing is limited for longer; such a number means something else.
const FARTHEST: i64 = 31 * 86_400;

/// When the limit that `text` tells of ends, seconds since the epoch.
pub(super) fn reset(text: &str, now: i64) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let after = |mark: &&str| text.split_once(*mark).and_then(|(_, rest)| span(rest));
    let until = match MARKS.iter().find_map(after) {
        Some(seconds) => now + seconds,
        None => text
            .split_once("limit reached|")
            .and_then(|(_, rest)| leading(rest))?,
    };
    (until > now && until - now <= FARTHEST).then_some(until)
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
        "ms" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

fn leading(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_providers_write() {
        let at = |text| reset(text, 1_000_000);
        let cases = [
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
        ];
        for (text, after) in cases {
            assert_eq!(at(text), Some(1_000_000 + after), "{text}");
        }
        assert_eq!(at("Claude AI usage limit reached|1000060"), Some(1_000_060));
        for text in [
            "Too many requests",
            "try again in a while",
            "limit reached|12",
            "try again in 999999999999 days",
            "try again in 5",
            "try again in .",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(try again in |retry after )?[0-9.dhms é]{0,40}") {
            let _until = reset(&text, 0);
        }
    }
}
