//! Where the rules of a repository come from besides its work tree, read once a snapshot.

use std::path::{Path, PathBuf};

use git2::Oid;

use super::stat::StatKey;
use crate::refs::{Kind, Repo};

/// Where the rules of a repository come from besides its work tree.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// `info/exclude`.
    pub(super) exclude: Vec<u8>,
    /// `core.excludesFile`.
    pub(super) user_exclude: Vec<u8>,
    /// `info/attributes` and `core.attributesFile`.
    pub(super) attributes: Vec<Vec<u8>>,
    /// `core.autocrlf` is on.
    pub(super) autocrlf: bool,
    /// `core.ignoreCase` is on.
    pub(super) ignore_case: bool,
}

impl Sources {
    /// Reads them for a repository. What cannot be read is taken as empty, as git does.
    pub(super) fn read(repo: &Repo) -> Self {
        let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
        let info = repo.common_dir().join("info");
        let config = repo.config().ok();
        let config = config.as_ref();
        let path = |key: &str, default: &str| {
            config
                .and_then(|config| config.get_path(key).ok())
                .or_else(|| user_config(default))
                .map(read)
                .unwrap_or_default()
        };
        let text = |key: &str| {
            config
                .and_then(|config| config.get_string(key).ok())
                .unwrap_or_default()
        };
        Self {
            exclude: read(info.join("exclude")),
            user_exclude: path("core.excludesFile", "ignore"),
            attributes: vec![
                path("core.attributesFile", "attributes"),
                read(info.join("attributes")),
            ],
            autocrlf: matches!(
                text("core.autocrlf").to_lowercase().as_str(),
                "true" | "input" | "yes" | "on" | "1"
            ),
            ignore_case: config.is_some_and(|config| config.get_bool("core.ignoreCase").unwrap_or(false)),
        }
    }
}

impl Sources {
    /// A hash of all this and of the identity of the index: where it is the same, the same names are ignored in
    /// the same tree. None where there is no index to identify.
    pub(super) fn digest(&self, index: &Path) -> Option<Oid> {
        let index = StatKey::of(&rustix::fs::stat(index).ok()?);
        let mut bytes = format!("{index:?} {} {}", self.autocrlf, self.ignore_case).into_bytes();
        for file in [&self.exclude, &self.user_exclude]
            .into_iter()
            .chain(&self.attributes)
        {
            bytes.extend_from_slice(format!("\n{}\n", file.len()).as_bytes());
            bytes.extend_from_slice(file);
        }
        Kind::Blob.hash(&bytes).ok()
    }
}

fn user_config(name: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let base = std::env::var_os("XDG_CONFIG_HOME").filter(|it| !it.is_empty());
    Some(base.map(PathBuf::from).or_else(home)?.join("git").join(name))
}
