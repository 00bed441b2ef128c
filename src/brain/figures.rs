//! What a run has come to so far, counted from its events: bounded, whatever the brain says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::{Event, Role, Trouble};
use crate::task::Usage;

/// More files than this are not told apart.
const MOST_FILES: usize = 1000;
/// Characters of the last message.
const LAST: usize = 200;

/// A run in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Tools that it called.
    pub tools: u64,
    /// Files that its tools named, a thousand at most.
    pub files: BTreeSet<String>,
    /// The last line that it said.
    said: String,
    /// The line that it is saying.
    saying: String,
    /// Tokens so far.
    pub usage: Usage,
    /// US dollars so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it waits for since it last got on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up: Option<HeldUp>,
    /// The last message goes on.
    #[serde(default)]
    open: bool,
}

/// What a brain waits for, trying again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HeldUp {
    /// A limit, or its provider.
    pub by: Trouble,
    /// How often it has tried.
    pub tries: u64,
}

impl Figures {
    /// Counts one more event.
    pub fn count(&mut self, event: &Event) {
        let goes_on = std::mem::take(&mut self.open);
        self.hold_up(event);
        match event {
            Event::Message {
                role: Role::Assistant,
                text,
                delta,
            } => self.said(text, *delta, goes_on),
            Event::ToolCall { paths, .. } => {
                self.tools += 1;
                self.touch(paths);
            }
            Event::ToolResult { paths, .. } => self.touch(paths),
            Event::Usage {
                input,
                output,
                cached,
                cost,
            } => {
                let add = |sum: &mut Option<u64>, more: &Option<u64>| {
                    if let Some(more) = more {
                        *sum = Some(sum.unwrap_or(0).saturating_add(*more));
                    }
                };
                add(&mut self.usage.input, input);
                add(&mut self.usage.output, output);
                add(&mut self.usage.cached, cached);
                if let Some(cost) = cost {
                    self.cost = Some(self.cost.unwrap_or(0.0) + cost);
                }
            }
            Event::Session { .. }
            | Event::Message { .. }
            | Event::Thinking { .. }
            | Event::Permission { .. }
            | Event::RateLimit { .. }
            | Event::Error { .. }
            | Event::Result { .. }
            | Event::Unknown { .. } => {}
        }
    }

    fn hold_up(&mut self, event: &Event) {
        let by = match event {
            Event::RateLimit { .. } => Trouble::Limit,
            Event::Error {
                kind: Trouble::Network,
                fatal: false,
                ..
            } => Trouble::Network,
            event if event.gets_on() => {
                self.held_up = None;
                return;
            }
            _ => return,
        };
        let tries = self.held_up.as_ref().map_or(0, |held| held.tries);
        self.held_up = Some(HeldUp { by, tries: tries + 1 });
    }

    fn touch(&mut self, paths: &[String]) {
        for path in paths {
            if self.files.len() < MOST_FILES {
                self.files.insert(path.clone());
            }
        }
    }

    /// The last thing it said, on one line: a whole message, or the last line of one that comes in pieces.
    pub fn last(&self) -> &str {
        let saying = self.saying.trim();
        if saying.is_empty() { &self.said } else { saying }
    }

    fn said(&mut self, text: &str, delta: bool, goes_on: bool) {
        self.open = delta;
        if !delta {
            self.saying.clear();
            self.said = one_line(text);
            return;
        }
        if !goes_on {
            self.saying.clear();
        }
        self.saying.push_str(text);
        if let Some(end) = self.saying.rfind('\n') {
            if let Some(line) = self.saying[..end].lines().rfind(|line| !line.trim().is_empty()) {
                self.said = one_line(line);
            }
            self.saying.drain(..=end);
        }
        self.saying = self.saying.chars().take(LAST).collect();
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().take(LAST).collect();
    words.join(" ").chars().take(LAST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, delta: bool) -> Event {
        Event::Message {
            role: Role::Assistant,
            text: text.to_owned(),
            delta,
        }
    }

    fn last(events: &[Event]) -> String {
        let mut figures = Figures::default();
        for event in events {
            figures.count(event);
        }
        figures.last().to_owned()
    }

    #[test]
    fn the_last_message_is_one_line_of_it() {
        assert_eq!(last(&[message("one\ntwo", false)]), "one two");
        assert_eq!(last(&[message("I ", true), message("will", true)]), "I will");
        assert_eq!(
            last(&[message("a\n", true), message("b\n", true), message("\n", true)]),
            "b"
        );
        assert_eq!(
            last(&[message("a", true), message("whole", false), message("c", true)]),
            "c"
        );
        assert_eq!(last(&[message(&"x".repeat(5000), true)]).len(), LAST);
    }

    #[test]
    fn what_holds_it_up_is_known_until_it_gets_on() {
        let mut figures = Figures::default();
        let limit = Event::RateLimit {
            message: String::new(),
            until: None,
        };
        for _ in 0..3 {
            figures.count(&limit);
        }
        figures.count(&Event::error(Trouble::Warning, "x"));
        let held = |by, tries| Some(HeldUp { by, tries });
        assert_eq!(figures.held_up, held(Trouble::Limit, 3));
        figures.count(&Event::error(Trouble::Network, "x"));
        assert_eq!(figures.held_up, held(Trouble::Network, 4));
        figures.count(&message("on it", false));
        assert_eq!(figures.held_up, None);
    }

    #[test]
    fn tools_files_and_cost_add_up_within_bounds() {
        let mut figures = Figures::default();
        for n in 0..3000 {
            figures.count(&Event::ToolCall {
                id: n.to_string(),
                tool: "Edit".to_owned(),
                paths: vec![format!("f{n}"), "same".to_owned()],
                input: String::new(),
            });
        }
        for cost in [None, Some(0.5), Some(0.25)] {
            figures.count(&Event::Usage {
                input: Some(1),
                output: None,
                cached: None,
                cost,
            });
        }
        assert_eq!((figures.tools, figures.files.len()), (3000, MOST_FILES));
        assert_eq!(
            (figures.usage.input, figures.usage.output, figures.cost),
            (Some(3), None, Some(0.75))
        );
    }
}
