//! Where package managers keep what they fetch for the clones of one site, so that builds with new dependencies
//! work inside and the user's own caches are never written by a brain.
//!
//! The caches are shared by the site's clones and can be written by them. The tools' settings are copies of the
//! user's, as far as they are known to hold no secret, rewritten before each task and not writable inside.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::tool_settings;
use crate::guard::beneath::Beneath;

/// Variables, each with the place in the cache folder that it names.
pub(super) const VARIABLES: [(&str, &str); 17] = [
    ("BUN_INSTALL_CACHE_DIR", "bun"),
    ("CARGO_HOME", "cargo"),
    ("COMPOSER_CACHE_DIR", "composer"),
    ("DENO_DIR", "deno"),
    ("GEM_SPEC_CACHE", "gem"),
    ("GOCACHE", "go/build"),
    ("GOMODCACHE", "go/mod"),
    ("GRADLE_USER_HOME", "gradle"),
    ("NPM_CONFIG_USERCONFIG", "npm/npmrc"),
    ("NUGET_PACKAGES", "nuget"),
    ("PIP_CACHE_DIR", "pip/cache"),
    ("PIP_CONFIG_FILE", "pip/pip.conf"),
    ("UV_CACHE_DIR", "uv"),
    ("XDG_CACHE_HOME", "xdg"),
    ("YARN_CACHE_FOLDER", "yarn"),
    ("npm_config_cache", "npm/cache"),
    ("npm_config_store_dir", "pnpm"),
];

/// Settings of a tool.
struct Settings {
    /// Their place in the cache folder.
    place: &'static str,
    /// Where the user may have them.
    candidates: &'static [&'static str],
    /// What of them a brain may read.
    readable: fn(&str) -> String,
}

const SETTINGS: [Settings; 3] = [
    Settings {
        place: "cargo/config.toml",
        candidates: &[".cargo/config.toml", ".cargo/config"],
        readable: tool_settings::cargo,
    },
    Settings {
        place: "npm/npmrc",
        candidates: &[".npmrc"],
        readable: tool_settings::npm,
    },
    Settings {
        place: "pip/pip.conf",
        candidates: &[".config/pip/pip.conf", ".pip/pip.conf"],
        readable: tool_settings::pip,
    },
];

/// The largest settings file that is copied.
const SETTINGS_CAP: u64 = 256 << 10;

/// Makes the caches in `folder` and gives the files in it that must be mounted read-only.
///
/// # Errors
/// When the disk does not let us; the error names the folder.
pub fn prepare(folder: &Path, home: &Path) -> io::Result<Vec<PathBuf>> {
    made(folder, home).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}

fn made(folder: &Path, home: &Path) -> io::Result<Vec<PathBuf>> {
    let caches = Beneath::create(folder)?;
    for (_, place) in VARIABLES {
        if !SETTINGS.iter().any(|settings| settings.place == place) {
            drop(caches.make_folder(place)?);
        }
    }
    let mut read_only = Vec::new();
    for settings in SETTINGS {
        let found = settings.candidates.iter().map(|candidate| home.join(candidate));
        let text = found.into_iter().find_map(|file| {
            let small = file
                .metadata()
                .is_ok_and(|data| data.is_file() && data.len() <= SETTINGS_CAP);
            small.then(|| std::fs::read_to_string(file).ok()).flatten()
        });
        let readable = (settings.readable)(&text.unwrap_or_default());
        caches.write(settings.place, readable.as_bytes())?;
        read_only.push(folder.join(settings.place));
    }
    Ok(read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::NamedTempFile::new().unwrap();
        let folder = home.path().join("cache");
        let error = prepare(&folder, home.path()).unwrap_err();
        assert!(error.to_string().starts_with(folder.to_str().unwrap()), "{error}");
    }

    #[test]
    fn settings_come_without_secrets() {
        let home = tempfile::tempdir().unwrap();
        let caches = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".cargo")).unwrap();
        std::fs::write(
            home.path().join(".npmrc"),
            "registry=https://u:p@r.example/npm/\n//r.example/:_authToken=tok\nfund=false\n",
        )
        .unwrap();
        std::fs::write(
            home.path().join(".cargo/config.toml"),
            "[registries.x]\nindex = \"sparse+https://me:pw@r.example/i/\"\ntoken = \"tok\"\n",
        )
        .unwrap();
        let read_only = prepare(caches.path(), home.path()).unwrap();
        assert_eq!(read_only.len(), 3);
        let read = |place: &str| std::fs::read_to_string(caches.path().join(place)).unwrap();
        assert_eq!(read("npm/npmrc"), "registry=https://r.example/npm/\nfund=false\n");
        assert_eq!(
            read("cargo/config.toml"),
            "[registries.x]\nindex = \"sparse+https://r.example/i/\"\n"
        );
        assert!(caches.path().join("go/mod").is_dir());
    }
}
