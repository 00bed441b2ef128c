//! Colours and short forms, in one place.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::task::{Outcome, Status, TaskId};

/// Success.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Failure.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
const BUSY: Style = AnsiColor::Cyan.on_default();
const WAITS: Style = AnsiColor::Yellow.on_default();

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
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    text.chars().take_while(fits).chain(['…']).collect()
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

/// Text of unknown origin on one line: what a terminal would act upon is shown, not sent.
pub fn one_line(text: &str) -> String {
    let shown = |c: char| match c {
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    };
    text.chars()
        .map(|c| {
            if shown(c) {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
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
