//! Everything that a person or a script sees. stdout is for the answer alone; progress, ✓ lines and hints go to
//! stderr; colour only on a terminal.

mod daemon;
mod pager;
mod pulse;
pub mod report;
mod signs;
mod story;
mod style;
mod table;
mod terminal;
pub mod view;
pub mod zones;

use std::io::{self, IsTerminal, Write};

use schemars::JsonSchema;
use serde::Serialize;

pub use daemon::DaemonView;
pub use pager::Pager;
pub use pulse::Pulse;
pub use report::{Form, Reporter, waits};
pub use story::Story;
pub use style::{
    ShortIds, ago, bytes, clock, counted, cut, elapsed, listed, money, one_line, state_style, tokens, width,
};
pub use table::Table;
pub use terminal::{Screen, Stream, fit};

use crate::{guard::secrets::sanitise::is_unsafe, query::Document, task::Explain};

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    json: bool,
}

/// Something with a plain form and a documented JSON form.
pub trait View: Serialize + JsonSchema {
    /// The plain form, each line ended.
    fn plain(&self) -> String;
}

impl Out {
    /// Output for a command; `json` asks for the documented form of answers.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether answers are to be JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn answer(self, view: &impl View) -> io::Result<()> {
        if self.json {
            let mut text = plain_json(&serde_json::to_string_pretty(&Document::of(view))?);
            text.push('\n');
            return self.text(&text);
        }
        self.text(&view.plain())
    }

    /// Prints a long answer, through the user's pager on a terminal; JSON as it is.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn paged(self, view: &impl View, pager: Pager<'_>) -> io::Result<()> {
        if self.json {
            return self.answer(view);
        }
        self.paged_text(&view.plain(), pager)
    }

    /// Prints long text, through the user's pager on a terminal.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn paged_text(self, text: &str, pager: Pager<'_>) -> io::Result<()> {
        if pager.show(text) {
            return Ok(());
        }
        self.text(text)
    }

    /// Prints the answer as it is.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn text(self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(signs::shown(text, &io::stdout()).as_bytes())?;
        out.flush()
    }

    /// Prints lines as they come.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn lines(self, stream: Stream, text: &str) -> io::Result<()> {
        match stream {
            Stream::Stdout => self.text(text),
            Stream::Stderr => {
                let mut err = anstream::stderr().lock();
                err.write_all(signs::shown(text, &io::stderr()).as_bytes())?;
                err.flush()
            }
        }
    }

    /// Tells the reader something that is not the answer.
    pub fn note(self, text: &str) {
        let text = signs::shown(text, &io::stderr());
        drop(writeln!(anstream::stderr().lock(), "{text}"));
    }

    /// Tells the reader that something was done.
    pub fn done(self, text: &str) {
        let (on, off) = (style::GOOD.render(), style::GOOD.render_reset());
        self.note(&format!("{on}✓{off} {text}"));
    }

    /// Tells the reader of an error: the cause, and what to do next.
    pub fn error(self, error: &dyn Explain) {
        if self.json {
            let document = view::ErrorView::of(error);
            let text = serde_json::to_string_pretty(&Document::of(&document)).unwrap_or_default();
            return self.note(&plain_json(&text));
        }
        let (on, off) = (style::BAD.render(), style::BAD.render_reset());
        self.note(&format!("{on}error:{off} {error}"));
        if let Some(hint) = error.hint() {
            self.note(&format!("  next: {hint}"));
        }
    }

    /// Whether a person watches stderr, so that progress may move there.
    pub fn is_watched(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
}

/// JSON in which no character acts on a terminal or hides from a reader: such ones occur in strings alone, where an
/// escape means the same.
fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c < '\u{7f}' || !is_unsafe(c) {
            plain.push(c);
        } else {
            let escaped = c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            plain.push_str(&escaped);
        }
    }
    plain
}

#[cfg(test)]
mod json_tests {
    #[test]
    fn json_shows_every_character_and_means_the_same() {
        let text = "a\u{9b}2J\u{202e}b\u{e0041}\u{7f}é\n";
        let json = serde_json::to_string(&text).unwrap();
        let plain = super::plain_json(&json);
        assert_eq!(plain, "\"a\\u009b2J\\u202eb\\udb40\\udc41\\u007fé\\n\"");
        assert_eq!(serde_json::from_str::<String>(&plain).unwrap(), text);
    }
}
