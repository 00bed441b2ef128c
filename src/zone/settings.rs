//! The configuration that counts for a task: the user's own, and the `khlone.yml` of the checkout that is asked.
//!
//! In a bare repository, and inside a clone's worktree, the one committed on the zone's branch counts: a clone's
//! worktree is never read for it.

use std::{
    io,
    path::{Path, PathBuf},
};

use git2::ObjectType;

use super::Place;
use crate::{
    config::{self, Config, ConfigError, FILE_NAME, Loaded, Paths, Trust},
    guard::trust::{Request, TrustError, TrustStore, Verdict, scripts_of},
    process::file::{self, Links},
    refs::{Repo, branch_ref},
    task::{CloneName, ZoneId, explain},
    worktree::{carry::quoted, place},
};

/// The mode of a symbolic link in a tree.
const LINK: i32 = 0o120_000;

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
    /// A link stands in its place. As git follows none to its own files of a work tree, none is followed here: whoever
    /// made the repository chose where it leads, and a clone of a zone reads what is committed, which is the link.
    #[error("{} is a symbolic link, which is not followed, as by git for .gitattributes", .0.display())]
    Link(PathBuf),
    /// The committed one cannot be read.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// What is committed there is no file.
    #[error("khlone.yml of {0} is not a regular file")]
    NotAFile(String),
    /// A file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for what was not agreed to.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

explain! {
    SettingsError {
        transparent { Config, Trust }
        Failed { Io, Git }
        Usage {
            Link(path) => {
                let path = quoted(path);
                format!(
                    "cp --remove-destination \"$(readlink -f {path})\" {path}    # the file itself in its place"
                )
            },
            NotAFile(branch) => format!("git ls-tree {branch} {FILE_NAME}"),
        }
    }
}

/// What the user's file and the repository's say together.
///
/// # Errors
/// [`SettingsError`] for the first thing wrong in either.
pub fn settings(repo: &Repo, place: &Place, paths: &Paths) -> Result<Loaded, SettingsError> {
    in_force(repo, repo_file(repo, place)?, paths)
}

/// What counts in the main checkout, for what concerns the whole repository.
///
/// # Errors
/// [`SettingsError`] for the first thing wrong in either.
pub fn site_settings(repo: &Repo, paths: &Paths) -> Result<Loaded, SettingsError> {
    let top = repo.main_work_dir();
    let file = top
        .map(|top| read(&top.join(FILE_NAME), Links::Refuse))
        .transpose()?;
    in_force(repo, file.flatten(), paths)
}

/// The user's settings under those of the repository's file; of one that is not trusted, only what needs no trust has
/// any effect outside of a task.
fn in_force(repo: &Repo, file: Option<Vec<u8>>, paths: &Paths) -> Result<Loaded, SettingsError> {
    let mut loaded = load(paths, file.as_deref())?;
    let home = std::env::home_dir().unwrap_or_default();
    for config in [&mut loaded.config, &mut loaded.own] {
        if let Some(root) = &mut config.worktree.root {
            *root = config::in_home(root, &home);
        }
    }
    ask_for_places(repo, &mut loaded)?;
    if !loaded.asks.is_empty() {
        let request = request(repo, file.unwrap_or_default(), &loaded);
        let never = loaded.config.trust == Trust::Never;
        if never || trust_store(paths).check(&request)? != Verdict::Trusted {
            loaded.withhold();
        }
    }
    Ok(loaded)
}

/// Adds what of the repository's own choice reaches beyond its surroundings and its branches.
fn ask_for_places(repo: &Repo, loaded: &mut Loaded) -> Result<(), SettingsError> {
    let (config, own) = (&loaded.config, &loaded.own);
    let root = config.worktree.root.clone().filter(|root| {
        let named = own.worktree.root.as_deref();
        named != Some(root.as_path()) && !place::is_own_ground(repo, root, named)
    });
    let prefix = config.branch.prefix.clone();
    let takes_over = prefix != own.branch.prefix && is_taken(repo, prefix.as_str())?;
    if let Some(root) = root {
        loaded.ask("worktree.root", &root.display());
    }
    if takes_over {
        loaded.ask("branch.prefix", &prefix);
    }
    Ok(())
}

/// Whether there are branches below `prefix`, here or on a remote, that are not named as those of clones are.
fn is_taken(repo: &Repo, prefix: &str) -> Result<bool, git2::Error> {
    let is_a_clones = |rest: &str| {
        let parts: Vec<_> = rest.split('/').collect();
        matches!(parts.as_slice(), [zone, clone]
            if ZoneId::try_from((*zone).to_owned()).is_ok() && clone.parse::<CloneName>().is_ok())
    };
    for branch in repo.git().branches(None)? {
        let (branch, kind) = branch?;
        let name = String::from_utf8_lossy(branch.name_bytes()?).into_owned();
        // Case is no difference where the file system sees none.
        let name = name.to_ascii_lowercase();
        let at = format!("{}/", prefix.to_ascii_lowercase());
        let rest = match kind {
            git2::BranchType::Local => name.strip_prefix(&at),
            git2::BranchType::Remote => name.split_once('/').and_then(|(_, name)| name.strip_prefix(&at)),
        };
        if rest.is_some_and(|rest| !is_a_clones(rest)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The user's file alone.
///
/// # Errors
/// [`SettingsError`] for the first thing wrong in it.
pub fn user_settings(paths: &Paths) -> Result<Loaded, SettingsError> {
    load(paths, None)
}

fn load(paths: &Paths, repo: Option<&[u8]>) -> Result<Loaded, SettingsError> {
    let (system, user) = (
        read(&paths.system, Links::Follow)?,
        read(&paths.config, Links::Follow)?,
    );
    let source = |path, bytes| config::Source { path, bytes };
    Ok(Config::layered(config::Layers {
        system: system
            .as_deref()
            .map(|bytes| source(paths.system.as_path(), bytes)),
        user: user.as_deref().map(|bytes| source(paths.config.as_path(), bytes)),
        repo: repo.map(|bytes| source(FILE_NAME.as_ref(), bytes)),
    })?)
}

/// What has to be agreed to before `loaded` may count.
///
/// # Errors
/// [`SettingsError`] if the repository's file cannot be read.
pub fn trust_request(repo: &Repo, place: &Place, loaded: &Loaded) -> Result<Request, SettingsError> {
    Ok(request(repo, repo_file(repo, place)?.unwrap_or_default(), loaded))
}

fn request(repo: &Repo, config: Vec<u8>, loaded: &Loaded) -> Request {
    let scripts = repo.work_dir().map(|top| scripts_of(top, &loaded.asks));
    Request {
        repository: repo.common_dir().to_owned(),
        config,
        commands: loaded.asks.clone(),
        scripts: scripts.unwrap_or_default(),
    }
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
    if loaded.config.trust == Trust::Never {
        return Err(TrustError::Never.into());
    }
    Ok(trust_store(paths).check(&request)?.require()?)
}

/// Where this user's agreements are kept.
pub fn trust_store(paths: &Paths) -> TrustStore {
    TrustStore::at(paths.khlone_home.join("trust"))
}

/// The bytes of the `khlone.yml` that counts.
fn repo_file(repo: &Repo, place: &Place) -> Result<Option<Vec<u8>>, SettingsError> {
    if let Some(top) = repo.work_dir().filter(|_| place.inside.is_none()) {
        return read(&top.join(FILE_NAME), Links::Refuse);
    }
    let Some(tip) = repo.ref_target(&branch_ref(&place.branch))? else {
        return Ok(None);
    };
    let tree = repo.git().find_commit(tip)?.tree()?;
    match tree.get_name(FILE_NAME) {
        Some(entry) if entry.kind() == Some(ObjectType::Blob) && entry.filemode() != LINK => {
            Ok(Some(repo.git().find_blob(entry.id())?.content().to_vec()))
        }
        Some(_) => Err(SettingsError::NotAFile(place.branch.clone())),
        None => Ok(None),
    }
}

/// One byte more than a config file may have: whether it has more is all that is left to know.
fn read(path: &Path, links: Links) -> Result<Option<Vec<u8>>, SettingsError> {
    match file::read_start(path, links, config::MAX_FILE as u64 + 1) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if file::is_link(&error) => Err(SettingsError::Link(path.to_owned())),
        Err(source) => Err(SettingsError::Io {
            what: path.display().to_string(),
            source,
        }),
    }
}
