//! The terminal: how large it is, and what goes to it.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
};

/// What fits everywhere.
const WIDTH: usize = 80;
/// Narrower than this nothing can be told.
const NARROWEST: usize = 30;

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
