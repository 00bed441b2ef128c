//! Ctrl-c in a command that only looks on: it leaves with a word, and what it watched goes on.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::task::Class;

/// Runs `leave` and ends the process with exit code 130 when it is interrupted from the keyboard. Where that
/// cannot be arranged, an interrupt ends the process as always.
pub(super) fn on_interrupt(leave: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let heard = runtime.and_then(|runtime| {
            runtime.block_on(async { Ok(signal(SignalKind::interrupt())?.recv().await) })
        });
        if let Ok(Some(())) = heard {
            leave();
            std::process::exit(i32::from(Class::Interrupted.exit_code()));
        }
    });
}
