//! Repositories of other users that git was told to trust for this command, handed on to whatever it starts.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

static TRUSTED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Has children trust the repository at `path`.
pub fn trust(path: &Path) {
    let mut trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
    trusted.insert(path.to_owned());
}

/// The variables that say so.
pub(super) fn settings() -> Vec<(OsString, OsString)> {
    let trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
    if trusted.is_empty() {
        return Vec::new();
    }
    let mut settings = vec![("GIT_CONFIG_COUNT".into(), trusted.len().to_string().into())];
    for (n, path) in trusted.iter().enumerate() {
        settings.push((format!("GIT_CONFIG_KEY_{n}").into(), "safe.directory".into()));
        settings.push((
            format!("GIT_CONFIG_VALUE_{n}").into(),
            path.clone().into_os_string(),
        ));
    }
    settings
}
