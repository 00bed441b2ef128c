//! What every step of an attempt works with.

use std::path::PathBuf;

use super::RunnerError;
use crate::{
    config::{Config, Paths},
    guard::sandbox::tier::{Probe, Tier},
    process::is_shortage,
    refs::Ledger,
};

/// One attempt under way.
pub(super) struct Run<'a> {
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) paths: &'a Paths,
    pub(super) home: PathBuf,
    pub(super) config: Config,
    pub(super) bwrap: Option<PathBuf>,
    /// Why there is no sandbox, or what weakens it.
    pub(super) probe: Probe,
}

impl Run<'_> {
    pub(super) fn tier(&self) -> Tier {
        if self.bwrap.is_some() { Tier::T2 } else { Tier::T0 }
    }

    /// Whether the sandbox that was there when we began is gone, as in the midst of a package's upgrade.
    pub(super) fn has_lost_sandbox(&self) -> bool {
        self.bwrap.as_ref().is_some_and(|bwrap| !bwrap.is_file())
    }

    /// Whether an error says nothing of the task: the same can succeed later.
    pub(super) fn is_passing(&self, error: &RunnerError) -> bool {
        is_shortage(&error.to_string()) || self.has_lost_sandbox()
    }
}
