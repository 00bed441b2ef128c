//! The user's pager, by git's own rules: `pager.khlone-VERB` or `pager.khlone` (yes, no or a command), else `GIT_PAGER`,
//! `core.pager`, `PAGER`, less.
//!
//! Only on a terminal, and only for what does not fit its screen. git itself sees to `pager.khlone` and `--no-pager`
//! where we run as `git khlone`.

use std::{
    io::{self, Write},
    path::Path,
    process::{Child, Stdio},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    style::width,
    terminal::{terminal, uncoloured},
};
use crate::process::{self, Cmd};

/// What `sh` says of a program that is not there, or cannot be run.
const NOT_RUN: [i32; 2] = [126, 127];

/// How a verb's answer is paged.
#[derive(Debug, Clone, Copy)]
pub struct Pager<'a> {
    /// Where git looks for its settings.
    pub dir: &'a Path,
    /// The verb, for its own setting.
    pub verb: &'a str,
}

impl Pager<'_> {
    /// Shows `text` in the pager; `false` if it is to be printed.
    pub(super) fn show(self, text: &str) -> bool {
        let Some(size) = terminal(io::stdout()) else {
            return false;
        };
        if fits(text, size) {
            return false;
        }
        let Some(command) = self.command() else {
            return false;
        };
        // The pager has the terminal now, ctrl-c included.
        let _survives = ignore_interrupts();
        let Ok(mut child) = start(&command) else {
            return false;
        };
        feed(&mut child, text);
        let ended = child.wait();
        !ended.is_ok_and(|status| status.code().is_some_and(|code| NOT_RUN.contains(&code)))
    }

    /// The pager's command line; `None` if nothing is to be paged.
    fn command(self) -> Option<String> {
        let set = [format!("pager.khlone-{}", self.verb), "pager.khlone".to_owned()];
        let set = set.iter().find_map(|key| self.git(&["config", "--get", key]));
        let command = match set.as_deref().and_then(boolean) {
            Some(false) => return None,
            Some(true) => None,
            None => set,
        };
        let command = command.or_else(|| self.git(&["var", "GIT_PAGER"]))?;
        (!command.is_empty() && command != "cat").then_some(command)
    }

    fn git(self, args: &[&str]) -> Option<String> {
        let git = Cmd::new("git").as_pager().dir(self.dir).args(args);
        let said = String::from_utf8(git.output().ok()?).ok()?;
        Some(said.trim_end_matches('\n').to_owned())
    }
}

/// What git takes for a yes or a no.
fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "" | "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Whether all of `text` stands on a screen of so many columns and rows, below a prompt.
fn fits(text: &str, (columns, rows): (usize, usize)) -> bool {
    let height = |line: &str| width(&uncoloured(line)).div_ceil(columns).max(1);
    let mut lines = text.lines();
    let used: usize = lines.by_ref().take(rows).map(height).sum();
    lines.next().is_none() && used < rows
}

fn start(command: &str) -> io::Result<Child> {
    let mut pager = Cmd::new("sh").as_pager().args(["-c", command]);
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            pager = pager.env(name, value);
        }
    }
    let mut pager = pager.env("GIT_PAGER_IN_USE", "true").into_inner();
    process::in_our_group(&mut pager);
    process::spawn(pager.stdin(Stdio::piped()))
}

/// Hands over the text; a pager that was left early takes no more.
fn feed(child: &mut Child, text: &str) {
    let Some(mut stdin) = child.stdin.take() else {
        return;
    };
    let plain = anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never;
    let text = if plain { uncoloured(text) } else { text.to_owned() };
    if let Err(error) = stdin.write_all(text.as_bytes()) {
        tracing::debug!(%error, "the pager has left");
    }
}

/// From here on ctrl-c ends the pager alone. What it starts hears of it as ever.
fn ignore_interrupts() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .ok()?;
    let heard = runtime.block_on(async { signal(SignalKind::interrupt()) });
    heard.ok().map(|_| runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_the_screen_is_not_paged() {
        assert!(fits("", (80, 24)));
        assert!(fits(&"x\n".repeat(23), (80, 24)));
        assert!(!fits(&"x\n".repeat(24), (80, 24)));
        assert!(!fits(&"x".repeat(80 * 24), (80, 24)));
        // Colours take no room.
        assert!(fits(&format!("{}\n", "\x1b[1mx\x1b[0m".repeat(40)), (80, 2)));
    }

    #[test]
    fn a_setting_is_a_yes_a_no_or_a_command() {
        assert_eq!(
            ["Yes", "0", "", "less -S"].map(boolean),
            [Some(true), Some(false), Some(false), None]
        );
    }
}
