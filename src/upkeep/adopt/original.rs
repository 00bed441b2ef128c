//! Whether the site that a task belongs to may still be alive.
//!
//! A repository that was moved and one that was copied look the same from within. What tells them apart is outside:
//! another repository that is or was that site, at a place where it is known to have stood; a daemon or runner of it
//! that lives. Nothing here is a proof of death: on another machine nothing can be seen.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    process::{FileLock, ProcessId, runs},
    refs::{Layout, Ledger, Site},
    task::{Task, TaskId},
    zone::sites,
};

/// A sign that a site is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alive {
    /// Another repository is, or was, that site.
    Repository(PathBuf),
    /// Somebody holds a lock of it.
    Lock(PathBuf),
    /// The daemon that the repository had before lives.
    Daemon(u32),
    /// An attempt of a task is under way on this machine.
    Runner(TaskId, u32),
}

impl fmt::Display for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(path) => {
                write!(f, "the repository {} is, or was, the same site", path.display())
            }
            Self::Lock(path) => write!(f, "{} is held", path.display()),
            Self::Daemon(pid) => write!(f, "its daemon lives (pid {pid})"),
            Self::Runner(task, pid) => write!(f, "an attempt of {task} is under way (pid {pid})"),
        }
    }
}

/// The first sign that the site `uuid` lives beside this one. `tasks` are those of it that are not over.
///
/// # Errors
/// If the registry of sites below `registry` cannot be read.
pub fn sign_of_life(
    ledger: &Ledger<'_>,
    registry: &Path,
    uuid: &str,
    tasks: &[Task],
) -> io::Result<Option<Alive>> {
    for common in places(ledger, registry)? {
        if Site::ids_at(&common).iter().any(|id| id == uuid) {
            return Ok(Some(Alive::Repository(common)));
        }
    }
    for common in stood(ledger, registry, uuid)? {
        if let Some(lock) = held_lock(&Layout::of(&common))? {
            return Ok(Some(Alive::Lock(lock)));
        }
    }
    if let Some(pid) = former_daemon(ledger.site().layout()) {
        return Ok(Some(Alive::Daemon(pid)));
    }
    let mut begun = tasks
        .iter()
        .filter_map(|task| Some((task, task.last_attempt()?.pid?)));
    let alive = begun.find(|(task, pid)| runs(*pid, &["runner", task.id.as_str()]));
    Ok(alive.map(|(task, pid)| Alive::Runner(task.id.clone(), pid)))
}

/// Where the repository may have stood before: by its own record, and by the machine's.
pub fn stood(ledger: &Ledger<'_>, registry: &Path, uuid: &str) -> io::Result<Vec<PathBuf>> {
    let known = sites::known(registry)?.into_iter();
    let known = known.filter(|known| known.site_uuid == uuid);
    let all = known
        .map(|known| known.common)
        .chain(ledger.site().stood().iter().cloned());
    Ok(others(ledger, all))
}

/// Every other repository that is known on this machine.
fn places(ledger: &Ledger<'_>, registry: &Path) -> io::Result<Vec<PathBuf>> {
    let known = sites::known(registry)?.into_iter().map(|known| known.common);
    Ok(others(ledger, known.chain(ledger.site().stood().iter().cloned())))
}

/// Those that are not this very repository, whatever path leads to it.
fn others(ledger: &Ledger<'_>, places: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let own = id(ledger.repo().common_dir());
    places.filter(|place| id(place) != own).collect()
}

/// A lock of a daemon or a runner in `dir` that somebody holds.
fn held_lock(layout: &Layout) -> io::Result<Option<PathBuf>> {
    let mut locks = vec![layout.daemon_lock()];
    for task in below(&layout.attempts())? {
        for attempt in below(&task)? {
            locks.extend(["runner.lock", "attempt.lock"].map(|name| attempt.join(name)));
        }
    }
    Ok(locks.into_iter().find(|lock| FileLock::is_taken(lock)))
}

fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// What is asked of `daemon.json`.
#[derive(Deserialize)]
struct Record {
    process: ProcessId,
    folder: (u64, u64),
}

/// The daemon by whose record, which came along with the folder, it was another folder's, if it lives.
fn former_daemon(layout: &Layout) -> Option<u32> {
    let record: Record = serde_json::from_slice(&fs::read(layout.daemon_record()).ok()?).ok()?;
    let meta = fs::metadata(layout.dir()).ok()?;
    let is_other = record.folder != (meta.dev(), meta.ino());
    (is_other && record.process.is_alive()).then_some(record.process.pid)
}
