//! How `status --watch` is left: by `q` or by ctrl-c, both with exit code 0, for nothing is interrupted.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    thread,
};

use rustix::{
    process::getpgrp,
    termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr},
};

use super::super::interrupt::on_interrupt;

/// Leaves when one of the keys is pressed.
pub(super) fn leave_on_keys() {
    let before = at_once(io::stdin().as_fd());
    let restored = before.clone();
    on_interrupt(0, move || leave(before.as_ref()));
    if let Some(before) = restored {
        thread::spawn(move || {
            while let Some(key) = next_key() {
                if matches!(key, b'q' | b'Q') {
                    leave(Some(&before));
                    std::process::exit(0);
                }
            }
        });
    }
}

/// Has the terminal hand over each key as it is pressed, and gives what was set before; `None` where it is not ours.
fn at_once(stdin: BorrowedFd<'_>) -> Option<Termios> {
    if !is_ours(stdin) {
        return None;
    }
    let before = tcgetattr(stdin).ok()?;
    let mut now = before.clone();
    now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(stdin, OptionalActions::Now, &now).ok()?;
    Some(before)
}

/// Whether we are in the foreground of the terminal at `stdin`: elsewhere, touching it would stop us.
fn is_ours(stdin: BorrowedFd<'_>) -> bool {
    isatty(stdin) && tcgetpgrp(stdin).is_ok_and(|group| group == getpgrp())
}

fn next_key() -> Option<u8> {
    let mut key = [0];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(io::stdin(), &mut key)).ok()?;
    (read == 1).then_some(key[0])
}

/// Leaves the terminal as it was, once the frame that is being written stands.
fn leave(before: Option<&Termios>) {
    std::mem::forget(io::stdout().lock());
    if let Some(before) = before {
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
}
