//! Upkeep of the repository between tasks: our packs become few, our loose refs are packed, and receipts that nothing
//! reads any more go.
//!
//! It runs beside everything else, on a thread of its own with a repository of its own, at most one at a time and not
//! more often than [`DISTANCE`]; a daemon on which nothing has run does none. Broken off, it has done nothing or all.

use std::path::{Path, PathBuf};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Duration, Instant},
};

use crate::{
    process::machine_id,
    refs::{Ledger, LedgerError, Repo, Site, compact, pack_refs},
    upkeep::gc::drop_receipts,
};

/// Time between two.
const DISTANCE: Duration = Duration::from_secs(30);
/// More packs than this become fewer. Each costs every git command of the user's a little, and a runner, which has less
/// time, leaves more.
const PACKS: usize = 8;
/// More loose refs than this are packed.
const LOOSE: usize = 128;

/// What is to be done, and what is under way.
#[derive(Debug)]
pub(crate) struct Upkeep {
    common: PathBuf,
    /// Whether something has run since the last time.
    due: bool,
    began: Instant,
    working: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Of the repository at `common`, of which nothing is known yet.
    pub(crate) fn new(common: &Path) -> Self {
        Self {
            common: common.to_owned(),
            due: true,
            began: Instant::now(),
            working: None,
        }
    }

    /// A task has run: it has left packs and refs.
    pub(crate) fn ask(&mut self) {
        self.due = true;
    }

    /// Begins, if it is time.
    pub(crate) fn begin(&mut self) {
        if self.began.elapsed() >= DISTANCE {
            self.begin_now();
        }
    }

    /// Begins, if there may be something to do. Gives whether one is under way.
    pub(crate) fn begin_now(&mut self) -> bool {
        let is_working = self.working.as_ref().is_some_and(|work| !work.is_finished());
        if self.due && !is_working {
            (self.due, self.began) = (false, Instant::now());
            let common = self.common.clone();
            self.working = Some(spawn_blocking(move || tidy(&common)));
            return true;
        }
        is_working
    }

    /// Returns once none is under way. Cancel safe.
    pub(crate) async fn done(&mut self) {
        if let Some(work) = &mut self.working {
            let _told_in_the_log = work.await;
            self.working = None;
        }
    }
}

fn tidy(common: &Path) {
    if let Err(error) = try_tidy(common) {
        tracing::warn!(%error, "packs and refs stay as they are");
    }
}

fn try_tidy(common: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let repo = Repo::open(common)?;
    let site = Site::open(&repo, &machine_id())?;
    if compact(&repo, &site, PACKS)? {
        tracing::info!("packs are joined");
    }
    let gone = drop_receipts(&Ledger::new(&repo, &site))?;
    if gone > 0 {
        tracing::info!(gone, "receipts of finished tasks are dropped");
    }
    let packed = pack_refs(&repo, LOOSE).map_err(LedgerError::from)?;
    if packed > 0 {
        tracing::info!(packed, "refs are packed");
    }
    Ok(())
}
