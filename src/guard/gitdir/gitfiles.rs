//! The files of a private git folder that are ours to say: settings, excludes, attributes.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{HostGit, gitconfig::Settings};

/// Files by their path in a git folder.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Settings, excludes and attributes, as the host has them, for the private git folder at `git_dir`.
pub(super) fn settings(git_dir: &Path, host: HostGit<'_>, settings: &Settings) -> Files {
    let mut sources = vec![
        ("info/exclude", host.common.join("info/exclude")),
        ("info/attributes", host.common.join("info/attributes")),
        ("info/sparse-checkout", host.admin.join("info/sparse-checkout")),
        ("shallow", host.common.join("shallow")),
    ];
    for (place, key, usual) in [
        ("info/user-exclude", "core.excludesfile", "ignore"),
        ("info/user-attributes", "core.attributesfile", "attributes"),
    ] {
        sources.push((place, user_file(host.home, settings.get(key), usual)));
    }
    let text = settings.private(&git_dir.join("info"));
    let mut files = Files::from([("config".to_owned(), text)]);
    for (place, source) in sources {
        match std::fs::read(source) {
            Ok(bytes) => drop(files.insert(place.to_owned(), bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::debug!(%error, place, "not taken into the private git folder"),
        }
    }
    files
}

/// A file of the user's that git reads: as configured, else in its usual place.
fn user_file(home: &Path, configured: Option<&str>, usual: &str) -> PathBuf {
    match configured {
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(path),
        },
        None => std::env::var_os("XDG_CONFIG_HOME")
            .filter(|folder| !folder.is_empty())
            .map_or_else(|| home.join(".config"), PathBuf::from)
            .join("git")
            .join(usual),
    }
}

/// The files that a split index needs besides itself.
pub(super) fn shared_indexes(admin: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(admin).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("sharedindex."))
        .collect()
}
