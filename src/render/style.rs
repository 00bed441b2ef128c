//! Colours and short forms, in one place.

use anstyle::{AnsiColor, Style};

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

/// The shortest beginning of `id`, at least five characters, that none of `all` shares.
pub fn short_id<'a>(id: &TaskId, all: impl Iterator<Item = &'a TaskId>) -> String {
    let shared = |other: &TaskId| {
        id.as_str()
            .bytes()
            .zip(other.as_str().bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let most = all.filter(|other| *other != id).map(shared).max().unwrap_or(0);
    id.as_str()[..(most + 1).clamp(5, id.as_str().len())].to_owned()
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
    use super::one_line;

    #[test]
    fn escapes_are_shown_not_sent() {
        assert_eq!(
            one_line("a\u{1b}[31m\nb\u{202e}修"),
            "a\\u{1b}[31m\\nb\\u{202e}修"
        );
    }
}
