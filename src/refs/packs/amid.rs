//! Work on packs while another git packs and prunes the same repository (`git gc`, `git repack -ad`, `git maintenance`).
//!
//! What it removes in that moment, a pack or a temporary file, we find gone; so does git, which reads the folder again. A
//! step that changes nothing before its end is tried again then, with pauses. Where that does not help, the other git is
//! named. An error without any trace of another git is what it says.

use std::{
    error::Error,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::refs::{LedgerError, Repo};

/// The pauses before it is tried again, some twelve seconds.
const PAUSES: [u64; 7] = [100, 200, 400, 800, 1600, 3200, 6400];
/// How git, our libraries and the system say that something is gone, in lower case.
const GONE: [&str; 13] = [
    "no such file or directory",
    "could not open pack",
    "failed to open pack",
    "cannot be accessed",
    "object not found",
    "unable to write file",
    "unable to create temporary file",
    "unable to rename temporary file",
    "unable to read",
    "missing object",
    "missing blob",
    "bad object",
    "failed to read object",
];

/// Does a step that can be done again from its beginning.
///
/// # Errors
/// Those of the step, and [`LedgerError::Swept`] where another git has been at it all the time.
pub fn amid_gc<T, E: Error + From<LedgerError>>(
    repo: &Repo,
    mut step: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut traces = false;
    for pause in PAUSES {
        let before = Trace::of(repo.common_dir());
        let error = match step() {
            Err(error) if is_gone(&error) => error,
            done => return done,
        };
        let after = Trace::of(repo.common_dir());
        traces |= after.running.is_some() || before != after;
        if !traces {
            return Err(error);
        }
        tracing::debug!(%error, "tried again: another git packs the repository");
        std::thread::sleep(Duration::from_millis(pause));
        if let Err(error) = repo.let_go_of_packs() {
            tracing::debug!(%error, "packs are not looked for again");
        }
    }
    step().map_err(|error| {
        if !is_gone(&error) {
            return error;
        }
        let running = Trace::of(repo.common_dir()).running;
        let said = error.to_string();
        LedgerError::Swept { running, said }.into()
    })
}

fn is_gone(error: &impl Error) -> bool {
    let said = error.to_string().to_lowercase();
    GONE.iter().any(|words| said.contains(words))
}

/// What another git leaves to be seen.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    /// The process of a `git gc`, which writes it down.
    running: Option<u32>,
    /// When the folder of packs has changed.
    packs: Option<SystemTime>,
}

impl Trace {
    fn of(common: &Path) -> Self {
        let packs = fs::metadata(common.join("objects/pack"));
        Self {
            running: running(common).ok().flatten(),
            packs: packs.and_then(|packs| packs.modified()).ok(),
        }
    }
}

/// The process in `gc.pid`, if it runs.
fn running(common: &Path) -> io::Result<Option<u32>> {
    let text = fs::read_to_string(common.join("gc.pid"))?;
    let pid: Option<u32> = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    Ok(pid.filter(|pid| Path::new("/proc").join(pid.to_string()).exists()))
}
