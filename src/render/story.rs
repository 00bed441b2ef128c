//! A task's events as a person reads them: one compact line each, safe on any terminal.
//!
//! `14:03:22 foreman.1  → Edit src/auth.rs`. Pieces of a message become lines where it has line ends; what a brain
//! says line by line is seen line by line. On a terminal a line is cut where the screen ends, elsewhere it is
//! whole. Tokens and cost are told as sums, since that is what one wants to know.

use anstyle::Style;
use jiff::tz::TimeZone;

use super::style::{BAD, BUSY, DIM, GOOD, WAITS, clock, cut, money, one_line, state_style, tokens, width};
use crate::{
    brain::{Event, Record, Role},
    task::{Outcome, Status, Usage},
};

/// Longer pieces without a line end are told before it comes.
const PIECE: usize = 16 << 10;
/// What git-khlone itself puts into a transcript begins so.
const OWN_WORDS: &str = "[git-khlone:";

/// Tells one task's events.
#[derive(Debug)]
pub struct Story {
    who: String,
    width: Option<usize>,
    zone: TimeZone,
    /// A message whose line has not ended, and when it began.
    open: Option<(i64, String)>,
    usage: Usage,
    cost: Option<f64>,
}

impl Story {
    /// The story of `who`'s task, in lines of at most `width` columns.
    pub fn new(who: String, width: Option<usize>, zone: TimeZone) -> Self {
        Self {
            who,
            width,
            zone,
            open: None,
            usage: Usage::default(),
            cost: None,
        }
    }

    /// The lines that an event completes, each ended; nothing for what only machines need.
    pub fn tell(&mut self, record: &Record) -> String {
        let time = record.time;
        if let Event::Message {
            role: Role::Assistant,
            text,
            delta: true,
        } = &record.event
        {
            return self.piece(time, text);
        }
        let mut lines = self.finish();
        if let Some((mark, style, text)) = self.event(&record.event) {
            lines.push_str(&self.line(time, mark, style, &text));
        }
        lines
    }

    /// What was begun and has no end yet.
    pub fn finish(&mut self) -> String {
        match self.open.take() {
            Some((time, text)) if !text.trim().is_empty() => self.line(time, " ", Style::new(), &text),
            _ => String::new(),
        }
    }

    /// The end of the task, or that another attempt begins.
    pub fn turn(&mut self, time: i64, status: Status, outcome: Option<Outcome>, text: &str) -> String {
        let mut lines = self.finish();
        let mark = match status {
            Status::Done => "✓",
            Status::Failed | Status::Cancelled | Status::Skipped | Status::Interrupted => "✗",
            _ => "▶",
        };
        lines.push_str(&self.line(time, mark, state_style(status, outcome), text));
        lines
    }

    fn piece(&mut self, time: i64, text: &str) -> String {
        let (began, mut open) = self.open.take().unwrap_or((time, String::new()));
        open.push_str(text);
        let mut lines = String::new();
        let end = if open.len() > PIECE {
            open.len()
        } else {
            open.rfind('\n').map_or(0, |end| end + 1)
        };
        for line in open[..end].lines().filter(|line| !line.trim().is_empty()) {
            lines.push_str(&self.line(began, " ", Style::new(), line));
        }
        open.drain(..end);
        if !open.is_empty() {
            self.open = Some((if end > 0 { time } else { began }, open));
        }
        lines
    }

    fn event(&mut self, event: &Event) -> Option<(&'static str, Style, String)> {
        let plain = Style::new();
        Some(match event {
            Event::Session { id, model, .. } => {
                let model = model.as_deref().unwrap_or_default();
                ("·", DIM, format!("session {id} {model}"))
            }
            Event::Message {
                role: Role::Assistant,
                text,
                ..
            } => (" ", plain, text.clone()),
            Event::Message {
                role: Role::System,
                text,
                ..
            } => ("·", DIM, text.clone()),
            Event::Message { role: Role::User, .. } => return None,
            Event::Thinking { text } => ("…", DIM, text.clone()),
            Event::ToolCall {
                tool, paths, input, ..
            } => {
                let about = if input.is_empty() {
                    paths.join(" ")
                } else {
                    input.clone()
                };
                ("→", BUSY, format!("{tool} {about}"))
            }
            // That the call before it went well is said by what comes next.
            Event::ToolResult { ok: true, paths, .. } if paths.is_empty() => return None,
            Event::ToolResult {
                tool,
                ok: true,
                paths,
                ..
            } => ("✓", GOOD, format!("{tool} {}", paths.join(" "))),
            Event::ToolResult {
                tool, exit, output, ..
            } => {
                let exit = exit.map_or(String::new(), |exit| format!(" (exit {exit})"));
                ("✗", BAD, format!("{tool}{exit} {output}"))
            }
            Event::Permission { granted: true, .. } | Event::Unknown { .. } => return Self::own(event),
            Event::Permission { tool, reason, .. } => ("✗", BAD, format!("{tool} refused: {reason}")),
            Event::Usage { .. } => ("·", DIM, self.sum(event)?),
            Event::RateLimit { message, until } => {
                let until = until.map_or(String::new(), |until| {
                    format!(", until {}", clock(until.saturating_mul(1000), &self.zone))
                });
                ("…", WAITS, format!("rate limit: {message}{until}"))
            }
            Event::Error { message, .. } => ("✗", BAD, message.clone()),
            Event::Result { ok: true, text, .. } => {
                let text = text.as_deref().unwrap_or_default();
                ("✓", GOOD, format!("ended {text}"))
            }
            Event::Result { text, reason, .. } => {
                let text = text.as_deref().unwrap_or_default();
                ("✗", BAD, format!("ended: {reason} {text}"))
            }
        })
    }

    /// A line that no adapter understood means nothing to a person either, unless it is ours.
    fn own(event: &Event) -> Option<(&'static str, Style, String)> {
        match event {
            Event::Unknown { raw } if raw.starts_with(OWN_WORDS) => Some(("·", WAITS, raw.clone())),
            _ => None,
        }
    }

    fn sum(&mut self, event: &Event) -> Option<String> {
        let Event::Usage {
            input, output, cost, ..
        } = event
        else {
            return None;
        };
        let add = |sum: &mut Option<u64>, more: &Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(*more));
            }
        };
        add(&mut self.usage.input, input);
        add(&mut self.usage.output, output);
        if let Some(cost) = cost {
            self.cost = Some(self.cost.unwrap_or(0.0) + cost);
        }
        let count = |count: Option<u64>, what| count.map(|count| format!("{} {what}", tokens(count)));
        let parts = [
            count(self.usage.input, "in"),
            count(self.usage.output, "out"),
            self.cost.map(money),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("so far {}", parts.join(", ")))
    }

    fn line(&self, time: i64, mark: &str, style: Style, text: &str) -> String {
        let head = format!("{} {}  ", clock(time, &self.zone), self.who);
        let words: Vec<_> = text.split_whitespace().collect();
        let mut text = one_line(&words.join(" "));
        if let Some(most) = self.width {
            let room = most.saturating_sub(width(&head) + width(mark) + 1);
            text = cut(&text, room.max(1));
        }
        let line = format!("{head}{}{mark}{} {text}", style.render(), style.render_reset());
        format!("{}\n", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: Event) -> Record {
        Record {
            seq: None,
            time: 50_602_000,
            event,
        }
    }

    fn piece(text: &str) -> Event {
        Event::Message {
            role: Role::Assistant,
            text: text.to_owned(),
            delta: true,
        }
    }

    fn told(width: Option<usize>, events: Vec<Event>) -> String {
        let mut story = Story::new("foreman.1".to_owned(), width, TimeZone::UTC);
        let mut all: String = events
            .into_iter()
            .map(|event| story.tell(&record(event)))
            .collect();
        all.push_str(&story.turn(50_660_000, Status::Done, Some(Outcome::Done), "t-7k3q9w2m1x done"));
        anstream::adapter::strip_str(&all).to_string()
    }

    fn each() -> Vec<Event> {
        let call = |tool: &str, paths: &[&str], input: &str| Event::ToolCall {
            id: "1".to_owned(),
            tool: tool.to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            input: input.to_owned(),
        };
        let result = |tool: &str, ok, exit, output: &str| Event::ToolResult {
            id: "1".to_owned(),
            tool: tool.to_owned(),
            ok,
            exit,
            paths: vec!["src/auth.rs".to_owned()],
            output: output.to_owned(),
        };
        let usage = |cost| Event::Usage {
            input: Some(1200),
            output: Some(34),
            cached: None,
            cost,
        };
        vec![
            Event::Session {
                id: "8f304917".to_owned(),
                model: Some("sonnet".to_owned()),
                version: None,
            },
            Event::Thinking {
                text: "The parser\nfirst.".to_owned(),
            },
            piece("I will"),
            piece(" look.\nThen"),
            piece(" edit.\n\n"),
            piece("And \u{1b}[31mmore"),
            call("Edit", &["src/auth.rs"], ""),
            result("Edit", true, None, ""),
            call(
                "Bash",
                &[],
                "npm test -- --a-very-long-option=that-does-not-fit-on-one-line-of-a-terminal",
            ),
            result("Bash", false, Some(1), "1 failed\n2 passed"),
            usage(None),
            usage(Some(0.0421)),
            Event::Unknown {
                raw: "noise".to_owned(),
            },
            Event::unknown(b"[git-khlone: the middle of this stream is not kept]"),
            Event::RateLimit {
                message: "slow down".to_owned(),
                until: Some(50_700),
            },
            Event::Result {
                ok: true,
                text: None,
                reason: String::new(),
            },
        ]
    }

    #[test]
    fn a_story_on_a_terminal() {
        let text = told(Some(80), each());
        assert!(text.lines().all(|line| super::width(line) <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn elsewhere_lines_are_whole() {
        let text = told(None, each());
        assert!(text.contains("one-line-of-a-terminal\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
