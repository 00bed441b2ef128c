//! The configuration that counts for a task: the user's own, and the `khlone.yml` of the checkout that is asked.
//!
//! In a bare repository, and inside a clone's worktree, the one committed on the zone's branch counts: a clone's
//! worktree is never read for it.

use std::{fs, io, path::Path};

use super::Place;
use crate::{
    config::{self, Config, ConfigError, FILE_NAME, Loaded, Paths},
    guard::trust::{Request, TrustError, TrustStore, scripts_of},
    refs::{Repo, branch_ref},
    task::{Class, Explain},
};

/// Settings that cannot be read, or that nobody agreed to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The committed one cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// A file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for what was not agreed to.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Explain for SettingsError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Git(_) => Class::Failed,
            Self::Config(error) => error.class(),
            Self::Trust(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::Git(_) => None,
            Self::Config(error) => error.hint(),
            Self::Trust(error) => error.hint(),
        }
    }
}

/// What the user's file and the repository's say together.
///
/// # Errors
/// [`SettingsError`] for the first thing wrong in either.
pub fn settings(repo: &Repo, place: &Place, paths: &Paths) -> Result<Loaded, SettingsError> {
    let user = read(&paths.config)?;
    let own = repo_file(repo, place)?;
    let user = user.as_deref().map(|bytes| config::Source {
        path: &paths.config,
        bytes,
    });
    let own = own.as_deref().map(|bytes| config::Source {
        path: FILE_NAME.as_ref(),
        bytes,
    });
    Ok(Config::load(user, own)?)
}

/// The user's file alone.
///
/// # Errors
/// [`SettingsError`] for the first thing wrong in it.
pub fn user_settings(paths: &Paths) -> Result<Loaded, SettingsError> {
    let user = read(&paths.config)?;
    let user = user.as_deref().map(|bytes| config::Source {
        path: &paths.config,
        bytes,
    });
    Ok(Config::load(user, None)?)
}

/// What has to be agreed to before `loaded` may count.
///
/// # Errors
/// [`SettingsError`] if the repository's file cannot be read.
pub fn trust_request(repo: &Repo, place: &Place, loaded: &Loaded) -> Result<Request, SettingsError> {
    let scripts = repo.work_dir().map(|top| scripts_of(top, &loaded.asks));
    Ok(Request {
        repository: repo.common_dir().to_owned(),
        config: repo_file(repo, place)?.unwrap_or_default(),
        commands: loaded.asks.clone(),
        scripts: scripts.unwrap_or_default(),
    })
}

/// Passes if everything that the settings ask for is trusted.
///
/// # Errors
/// [`TrustError::Untrusted`] in [`SettingsError::Trust`].
pub fn require_trust(
    repo: &Repo,
    place: &Place,
    (loaded, paths): (&Loaded, &Paths),
) -> Result<(), SettingsError> {
    if loaded.asks.is_empty() {
        return Ok(());
    }
    let request = trust_request(repo, place, loaded)?;
    Ok(trust_store(paths).check(&request)?.require()?)
}

/// Where this user's agreements are kept.
pub fn trust_store(paths: &Paths) -> TrustStore {
    TrustStore::at(paths.khlone_home.join("trust"))
}

/// The bytes of the `khlone.yml` that counts.
fn repo_file(repo: &Repo, place: &Place) -> Result<Option<Vec<u8>>, SettingsError> {
    if let Some(top) = repo.work_dir().filter(|_| place.inside.is_none()) {
        return read(&top.join(FILE_NAME));
    }
    let Some(tip) = repo.ref_target(&branch_ref(&place.branch))? else {
        return Ok(None);
    };
    let tree = repo.git().find_commit(tip)?.tree()?;
    match tree.get_name(FILE_NAME) {
        Some(entry) => Ok(Some(repo.git().find_blob(entry.id())?.content().to_vec())),
        None => Ok(None),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SettingsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SettingsError::Io {
            what: path.display().to_string(),
            source,
        }),
    }
}
