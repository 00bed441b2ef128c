//! Ctrl-c in a command that only looks on: it leaves with a word, and what it watched goes on.

use std::{sync::mpsc, thread};

use tokio::signal::unix::{SignalKind, signal};

use crate::task::Class;

/// The exit code of a command that was interrupted in what it had to do.
pub(super) const INTERRUPTED: u8 = Class::Interrupted.exit_code();

/// Runs `leave` and ends the process with this exit code when it is interrupted from the keyboard. Where that cannot be
/// arranged, an interrupt ends the process as always.
pub(super) fn on_interrupt(code: u8, leave: impl FnOnce() + Send + 'static) {
    let (ready, listens) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let heard = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let mut interrupts = signal(SignalKind::interrupt())?;
                let _ = ready.send(());
                Ok(interrupts.recv().await)
            })
        });
        if let Ok(Some(())) = heard {
            leave();
            std::process::exit(i32::from(code));
        }
    });
    // An interrupt that comes at once is heard, too. Where none can be, the sender is dropped.
    let _ = listens.recv();
}
