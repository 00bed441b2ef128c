//! Repositories of other users that git was told to trust for this command, handed on to whatever it starts.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

static TRUSTED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Has children trust the repository at `path`.
pub fn trust(path: &Path) {
    let mut trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
    trusted.insert(path.to_owned());
}

/// Those that children trust.
pub(super) fn trusted() -> Vec<PathBuf> {
    let trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
    trusted.iter().cloned().collect()
}
