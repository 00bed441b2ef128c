//! The terminal: how large it is, and what goes to it.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::signs;

/// What fits everywhere.
const WIDTH: usize = 80;
/// Narrower than this nothing can be told.
const NARROWEST: usize = 30;

/// What answers are fitted to.
static COLUMNS: AtomicUsize = AtomicUsize::new(WIDTH);

/// Fits answers from now on to `COLUMNS`, as git does, else to the terminal at stdout. Elsewhere nothing is cut: who
/// reads a pipe can do that.
pub fn fit() {
    let set = std::env::var("COLUMNS").ok().and_then(|set| set.parse().ok());
    let set = set.filter(|columns: &usize| *columns > 0);
    let columns = set.or_else(|| terminal(io::stdout()).map(|(columns, _)| columns));
    COLUMNS.store(
        columns.map_or(usize::MAX, |set| set.max(NARROWEST)),
        Ordering::Relaxed,
    );
}

/// How many columns an answer may take.
pub(super) fn columns() -> usize {
    COLUMNS.load(Ordering::Relaxed)
}

/// A line without its colours.
pub(super) fn uncoloured(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

/// The columns and rows of the terminal at `stream`; `None` if it is none.
pub(super) fn terminal(stream: impl IsTerminal + AsFd) -> Option<(usize, usize)> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    let columns = if size.ws_col == 0 {
        WIDTH
    } else {
        usize::from(size.ws_col)
    };
    let rows = if size.ws_row == 0 {
        24
    } else {
        usize::from(size.ws_row)
    };
    Some((columns.max(NARROWEST), rows))
}

/// Where lines go that are not the answer alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// They are the answer.
    Stdout,
    /// They go beside it.
    Stderr,
}

impl Stream {
    /// The columns of the terminal that it goes to, if it goes to one.
    pub fn width(self) -> Option<usize> {
        let size = match self {
            Self::Stdout => terminal(io::stdout()),
            Self::Stderr => terminal(io::stderr()),
        };
        size.map(|(columns, _)| columns)
    }
}

/// Text that is shown again and again in the same place of a terminal.
#[derive(Debug)]
pub struct Screen {
    lines: usize,
}

impl Screen {
    /// The terminal at stdout; `None` if it is none.
    pub fn new() -> Option<Self> {
        terminal(io::stdout()).map(|_| Self { lines: 0 })
    }

    /// Shows `text` where the last one stood, or as much of it as fits.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        let rows = terminal(io::stdout()).map_or(usize::MAX, |(_, rows)| rows);
        let text = signs::shown(text, &io::stdout());
        let shown: Vec<_> = text.lines().take(rows.saturating_sub(1)).collect();
        let mut out = anstream::stdout().lock();
        // Back to the first line; each is erased to its end as it is written, so that nothing flickers. A line that is
        // too long is cut by the terminal meanwhile: two rows of it would put the count of lines wrong.
        write!(out, "\x1b[?7l")?;
        if self.lines > 0 {
            write!(out, "\x1b[{}A\r", self.lines)?;
        }
        for line in &shown {
            writeln!(out, "{line}\x1b[K")?;
        }
        write!(out, "\x1b[J\x1b[?7h")?;
        self.lines = shown.len();
        out.flush()
    }
}
