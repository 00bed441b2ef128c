//! Colours and short forms, in one place.

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use unicode_width::UnicodeWidthStr;

use crate::{
    guard::secrets::sanitise::is_unsafe,
    task::{Outcome, Status, TaskId},
};

/// Success.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Failure.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// At work.
pub(super) const BUSY: Style = AnsiColor::Cyan.on_default();
/// Waiting.
pub(super) const WAITS: Style = AnsiColor::Yellow.on_default();
/// Beside the point.
pub(super) const DIM: Style = Style::new().dimmed();

/// The colour of a state.
pub fn state_style(status: Status, outcome: Option<Outcome>) -> Style {
    match status {
        Status::Done if outcome == Some(Outcome::NoOp) => Style::new(),
        Status::Done => GOOD,
        Status::Failed | Status::Interrupted => BAD,
        Status::Running | Status::Finishing | Status::Cancelling => BUSY,
        Status::Queued | Status::Parked | Status::Paused => WAITS,
        Status::Cancelled | Status::Skipped => Style::new(),
    }
}

/// The shortest beginnings by which tasks are told apart.
#[derive(Debug)]
pub struct ShortIds<'a>(Vec<&'a str>);

impl<'a> ShortIds<'a> {
    /// Those of all the tasks of a site: a beginning that is shown must be one that can be typed.
    pub fn of(all: impl IntoIterator<Item = &'a TaskId>) -> Self {
        let mut ids: Vec<_> = all.into_iter().map(TaskId::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }

    /// The shortest beginning of `id`, at least five characters, that no other shares.
    pub fn short(&self, id: &TaskId) -> String {
        let id = id.as_str();
        let shared = |other: &&str| {
            let same = id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
            same.count()
        };
        // In order, no id shares more with this one than its neighbours do.
        let (before, after) = match self.0.binary_search(&id) {
            Ok(at) => (at.checked_sub(1), at + 1),
            Err(at) => (at.checked_sub(1), at),
        };
        let neighbours = before.into_iter().chain([after]).filter_map(|at| self.0.get(at));
        let most = neighbours.map(shared).max().unwrap_or(0);
        id[..(most + 1).clamp(5, id.len())].to_owned()
    }
}

/// How many columns of a terminal a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, or as much of it as fits so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    // The width of a text is not the sum of its characters': an emoji may be joined of several.
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let ends = ends.take(columns.saturating_mul(16));
    let fits = ends.take_while(|end| width(&text[..*end]) < columns).last();
    let shown = &text[..fits.unwrap_or(0)];
    format!("{}…", shown.trim_end_matches(['\u{200d}', '\u{fe0f}']))
}

/// So many lines of a list are shown.
const LISTED: usize = 20;
/// A path of more columns is cut in its middle.
const PATH: usize = 160;

/// What happened to many things of a kind: a line for each of the first, and how many more.
pub fn listed<S: AsRef<str>>(word: &str, all: &[S]) -> String {
    let lines = all.iter().take(LISTED);
    let lines = lines.map(|it| format!("  {word} {}\n", shortened(&one_line(it.as_ref()))));
    let mut text: String = lines.collect();
    if all.len() > LISTED {
        text.push_str(&format!("  … and {} more {word}\n", all.len() - LISTED));
    }
    text
}

/// A path with its beginning and its end.
fn shortened(path: &str) -> String {
    if width(path) <= PATH {
        return path.to_owned();
    }
    let half = PATH / 2;
    let end: Vec<char> = path.chars().rev().take(half).collect();
    format!("{}{}", cut(path, half), end.into_iter().rev().collect::<String>())
}

/// How long ago, in its largest unit: `3m`.
pub fn ago(then: i64, now: i64) -> String {
    let seconds = now.saturating_sub(then).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The time of day at `millis` since the epoch: `14:03:22`.
pub fn clock(millis: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(millis).map(|time| time.to_zoned(zone.clone()));
    time.map(|time| time.strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}

/// How long something took or takes: `2m10s`, in its two largest units.
pub fn elapsed(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number of tokens: `12.3k`.
#[expect(clippy::cast_precision_loss, reason = "for reading")]
pub fn tokens(count: u64) -> String {
    match count {
        0..1000 => count.to_string(),
        1000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// US dollars: cents, and of less than one as much as there is.
pub fn money(dollars: f64) -> String {
    if dollars == 0.0 || dollars >= 0.01 {
        format!("${dollars:.2}")
    } else {
        format!("${dollars:.4}")
    }
}

/// Bytes: `1.4 GiB`.
#[expect(clippy::cast_precision_loss, reason = "for reading")]
pub fn bytes(count: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} B"),
    }
}

/// So many of something: `1 task`, `2 tasks`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Text of unknown origin on one line: what a terminal would act upon is shown, not sent, and so is what hides in a
/// word. What joins emoji or letters of scripts that need it is neither.
pub fn one_line(text: &str) -> String {
    let mut before = ' ';
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let joins = matches!(c, '\u{200c}' | '\u{200d}');
        if is_unsafe(c) || c.is_control() || joins && before.is_ascii() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(
            (cut("修正する", 8), cut("修正する", 7)),
            ("修正する".into(), "修正す…".into())
        );
        let family = "👨\u{200d}👩\u{200d}👧 at home";
        assert_eq!(width(family), 10);
        assert_eq!(cut(family, 10), family);
        for columns in 3..10 {
            let short = cut(family, columns);
            assert!(width(&short) <= columns, "{columns}: {short}");
        }
    }

    #[test]
    fn what_hides_is_shown_and_what_joins_is_not() {
        for whole in [
            "👨\u{200d}👩\u{200d}👧 at home",
            "🏳\u{fe0f}\u{200d}🌈",
            "می\u{200c}خواهم",
            "e\u{301}",
        ] {
            assert_eq!(one_line(whole), whole);
        }
        for (hidden, shown) in [
            ("pass\u{200d}word", "pass\\u{200d}word"),
            ("a\u{200b}b", "a\\u{200b}b"),
            ("evil\u{202e}txt", "evil\\u{202e}txt"),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("two\nlines\tand", "two\\nlines\\tand"),
        ] {
            assert_eq!(one_line(hidden), shown);
        }
    }

    #[test]
    fn short_ids_are_long_enough() {
        let ids: Vec<TaskId> = ["t-aaaaaaaaaa", "t-aaaabaaaaa", "t-zzzzzzzzzz", "t-aaaabaaaab"]
            .map(|id| id.parse().unwrap())
            .into();
        let short = ShortIds::of(&ids);
        let all: Vec<_> = ids.iter().map(|id| short.short(id)).collect();
        assert_eq!(all, ["t-aaaaa", "t-aaaabaaaaa", "t-zzz", "t-aaaabaaaab"]);
        assert_eq!(ShortIds::of([]).short(&ids[0]), "t-aaa");
    }

    #[test]
    fn escapes_are_shown_not_sent() {
        assert_eq!(
            one_line("a\u{1b}[31m\nb\u{202e}修"),
            "a\\u{1b}[31m\\nb\\u{202e}修"
        );
    }
}
