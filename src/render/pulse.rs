//! A line that moves at the bottom of a terminal while something takes its time; in a pipe there is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Out, signs};

/// How often it moves.
const BEAT: Duration = Duration::from_millis(120);

/// The line. It is gone when the last of its clones is.
#[derive(Debug, Clone)]
pub struct Pulse(Option<Bar>);

#[derive(Debug, Clone)]
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Pulse {
    /// Begins to move, if a person watches.
    pub fn new(out: Out, text: impl Into<String>) -> Self {
        let pulse = Self::still(out, text);
        pulse.begin();
        pulse
    }

    /// One that does not show before it begins.
    pub fn still(out: Out, text: impl Into<String>) -> Self {
        if !out.is_watched() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(if signs::is_plain() {
                style.tick_chars(signs::SPINNER)
            } else {
                style
            });
        }
        Self(Some(Bar(bar)))
    }

    /// Begins to move.
    pub fn begin(&self) {
        if let Some(bar) = &self.0 {
            bar.0.enable_steady_tick(BEAT);
        }
    }

    /// Whether it is seen.
    pub fn is_seen(&self) -> bool {
        self.0.is_some()
    }

    /// Says something else.
    pub fn say(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.0.set_message(text.into());
        }
    }

    /// Lets `print` print above it.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.0.suspend(print),
            None => print(),
        }
    }

    /// Takes it away for good.
    pub fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.0.finish_and_clear();
        }
    }
}
