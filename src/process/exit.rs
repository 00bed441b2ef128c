//! How a process ended, in words.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::shortage::KILLED;

/// Whether a process was killed, or one that it had started, as a shell tells.
pub fn was_killed(status: ExitStatus) -> bool {
    status.code().is_none_or(|code| code > 128)
}

/// What became of a child that ended badly, up to its status.
pub(super) fn how(status: ExitStatus) -> &'static str {
    if was_killed(status) { KILLED } else { "failed (" }
}

/// How a process ended, in one word: its exit code or the signal's name.
pub fn exit_word(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => rustix::process::Signal::from_named_raw(signal).map_or_else(
            || format!("signal {signal}"),
            |named| format!("{named:?}").to_uppercase().replace("SIGNAL::", ""),
        ),
        (None, None) => "unknown".to_owned(),
    }
}
