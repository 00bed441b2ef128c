//! When a worktree's setup commands must run, and the record that they have.
//!
//! `worktree.setup` runs once in a worktree, before the first brain, and again when the commands change or a file
//! that `worktree.setup_when` matches (a lock file, as a rule) does. The record stands in the worktree's git
//! folder, so that it goes with the worktree. What is due is decided here, where and how the commands run is the
//! caller's: they are lines for a shell, and come from a file that the user must have trusted.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use bstr::ByteSlice;
use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use crate::{
    process::{ProcessError, file::read_no_link},
    task::{FORMAT, explain, parse_versioned},
};

/// The record's name in the worktree's git folder.
const RECORD: &str = "khlone-setup.json";

/// What the configuration says about setting worktrees up.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Lines for a shell, in order.
    pub commands: &'a [String],
    /// Globs of files, relative to the top, whose change makes the commands run again.
    pub when: &'a [String],
}

/// What the commands saw when they ran, or would see now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    format: u32,
    commands: Vec<String>,
    /// The watched files and their blob ids.
    files: BTreeMap<String, String>,
}

/// Why the commands must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// They never ran to their end here.
    First,
    /// They are other commands now.
    Commands,
    /// These watched files are new, changed or gone.
    Files(Vec<String>),
}

/// Commands that must run.
#[must_use = "record it once the commands have run"]
#[derive(Debug)]
pub struct Due {
    /// Why.
    pub why: Why,
    now: State,
    record: PathBuf,
}

/// A command that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It ended with another code than 0.
    #[error("setup command `{command}` ended with {code}")]
    Command {
        /// The line.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// The watched files cannot be listed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A watched file or the record cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

explain! {
    SetupError {
        transparent { Process }
        Failed {
            Command => "git khlone retry    # once worktree.setup in khlone.yml is right",
            Io,
        }
    }
}

/// Whether the commands must run in a worktree now.
///
/// # Errors
/// If the watched files cannot be listed or read.
pub fn due(checkout: &Checkout, rules: &Rules<'_>) -> Result<Option<Due>, SetupError> {
    if rules.commands.is_empty() {
        return Ok(None);
    }
    let now = State {
        format: FORMAT,
        commands: rules.commands.to_vec(),
        files: watched(checkout, rules.when)?,
    };
    let record = checkout.git_dir.join(RECORD);
    // A record that cannot be read, or is newer, is as good as none: the commands are made to be run again.
    let before = fs::read(&record)
        .ok()
        .and_then(|bytes| parse_versioned(RECORD, &bytes).ok());
    Ok(decide(before.as_ref(), &now).map(|why| Due { why, now, record }))
}

/// Runs commands one by one through `shell`, which returns an exit code, up to the first that fails; then records
/// that they ran.
///
/// # Errors
/// What `shell` returns, or [`SetupError::Command`]; they are due again then.
pub fn run<E: From<SetupError>>(due: Due, mut shell: impl FnMut(&str) -> Result<i32, E>) -> Result<(), E> {
    for command in &due.now.commands {
        let code = shell(command)?;
        if code != 0 {
            let command = command.clone();
            return Err(SetupError::Command { command, code }.into());
        }
    }
    due.record().map_err(E::from)
}

impl Due {
    /// Records that the commands have run.
    fn record(self) -> Result<(), SetupError> {
        let io = |source| SetupError::Io {
            path: self.record.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(&self.now).map_err(|error| io(error.into()))?;
        fs::write(&self.record, text).map_err(io)
    }
}

/// Forgets that the commands ran, for a worktree whose files are made again.
pub(super) fn forget(git_dir: &Path) {
    drop(fs::remove_file(git_dir.join(RECORD)));
}

/// Why the commands must run, seeing what they saw when they last did.
fn decide(before: Option<&State>, now: &State) -> Option<Why> {
    let Some(before) = before else {
        return Some(Why::First);
    };
    if before.commands != now.commands {
        return Some(Why::Commands);
    }
    let names = before.files.keys().chain(now.files.keys());
    let mut changed: Vec<_> = names
        .filter(|name| before.files.get(*name) != now.files.get(*name))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    (!changed.is_empty()).then_some(Why::Files(changed))
}

/// The files that match, with their blob ids. Only files that git tracks or would track: a dependency's own lock
/// file in an ignored folder is not the project's.
fn watched(checkout: &Checkout, when: &[String]) -> Result<BTreeMap<String, String>, SetupError> {
    if when.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = checkout.git().args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
    ]);
    let list = list
        .args(when.iter().map(|glob| format!(":(top,glob){glob}")))
        .output()?;
    let mut files = BTreeMap::new();
    for name in list.split_str(b"\0").filter(|name| !name.is_empty()) {
        let path = checkout.path.join(name.to_path_lossy());
        let io = |source| SetupError::Io {
            path: path.clone(),
            source,
        };
        let bytes = match read_no_link(&path) {
            Ok(bytes) => bytes,
            // Deleted ones are listed too; links and the like are nobody's lock file.
            Err(error) if [ErrorKind::NotFound, ErrorKind::InvalidInput].contains(&error.kind()) => continue,
            Err(error) => return Err(io(error)),
        };
        let oid = Oid::hash_object(ObjectType::Blob, &bytes).map_err(|error| io(io::Error::other(error)))?;
        files.insert(name.to_str_lossy().into_owned(), oid.to_string());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(commands: &[&str], files: &[(&str, &str)]) -> State {
        let own = |text: &&str| (*text).to_owned();
        State {
            format: FORMAT,
            commands: commands.iter().map(own).collect(),
            files: files.iter().map(|(name, oid)| (own(name), own(oid))).collect(),
        }
    }

    #[test]
    fn commands_run_once_and_again_when_something_changed() {
        let now = state(&["npm ci"], &[("package-lock.json", "1"), ("new.lock", "1")]);
        assert_eq!(decide(None, &now), Some(Why::First));
        assert_eq!(decide(Some(&now), &now), None);
        let before = state(&["npm i"], &[("package-lock.json", "1")]);
        assert_eq!(decide(Some(&before), &now), Some(Why::Commands));
        let before = state(&["npm ci"], &[("package-lock.json", "0"), ("gone.lock", "1")]);
        let changed = ["gone.lock", "new.lock", "package-lock.json"].map(str::to_owned);
        assert_eq!(decide(Some(&before), &now), Some(Why::Files(changed.to_vec())));
    }
}
