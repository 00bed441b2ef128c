//! Where files of git-khlone live besides the repository, computed from an environment that the caller shows us.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::task::explain;

/// The machine's config file.
const SYSTEM: &str = "/etc/khlone/config.yml";

/// No home to keep anything in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("neither KHLONE_HOME nor HOME names a folder")]
pub struct HomeError;

explain!(HomeError: Usage, "export HOME=/home/you");

/// The folders of this user. Nothing is made here; losing all of it loses no acknowledged task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `KHLONE_HOME`, else `~/.khlone`: site registry, rate limits, trust, tool caches.
    pub khlone_home: PathBuf,
    /// The user's own config file.
    pub config: PathBuf,
    /// The machine's, which holds for all its users.
    pub system: PathBuf,
    /// `XDG_DATA_HOME/khlone`: worktrees of repositories whose parent folder is not writable.
    pub data: PathBuf,
    /// `XDG_CONFIG_HOME`.
    pub config_home: PathBuf,
    /// `XDG_DATA_HOME`.
    pub data_home: PathBuf,
}

impl Paths {
    /// The folders that `var` (an environment look-up) leads to. As the XDG rules ask, a relative path in a
    /// variable counts as unset.
    ///
    /// # Errors
    /// [`HomeError`] where neither `KHLONE_HOME` nor `HOME` is an absolute path.
    pub fn from_env(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, HomeError> {
        let folder = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME");
        let khlone_home = folder("KHLONE_HOME").or_else(|| Some(home.as_ref()?.join(".khlone")));
        let khlone_home = khlone_home.ok_or(HomeError)?;
        // Without a home, everything stays below the one folder that we were given.
        let under = |xdg: &str, usual: &str, own: &str| {
            let base = folder(xdg).or_else(|| Some(home.as_ref()?.join(usual)));
            base.unwrap_or_else(|| khlone_home.join(own))
        };
        let config_home = under("XDG_CONFIG_HOME", ".config", "config");
        let data_home = under("XDG_DATA_HOME", ".local/share", "data");
        Ok(Self {
            config: config_home.join("khlone/config.yml"),
            // What a user can set is no floor; tests, which are never released, need one of their own.
            system: folder("KHLONE_SYSTEM_CONFIG")
                .filter(|_| cfg!(debug_assertions))
                .unwrap_or_else(|| SYSTEM.into()),
            data: data_home.join("khlone"),
            config_home,
            data_home,
            khlone_home,
        })
    }
}

/// A path of a config file, where `~/` is the user's home.
pub fn in_home(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)]) -> Result<Paths, HomeError> {
        Paths::from_env(|name| Some(vars.iter().find(|(key, _)| *key == name)?.1.into()))
    }

    #[test]
    fn the_usual_places_and_the_chosen_ones() {
        let usual = paths(&[("HOME", "/h")]).unwrap();
        assert_eq!(usual.khlone_home, PathBuf::from("/h/.khlone"));
        assert_eq!(usual.config, PathBuf::from("/h/.config/khlone/config.yml"));
        assert_eq!(usual.data, PathBuf::from("/h/.local/share/khlone"));
        let chosen = paths(&[
            ("HOME", "/h"),
            ("KHLONE_HOME", "/k"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_DATA_HOME", "rel"),
        ]);
        let chosen = chosen.unwrap();
        assert_eq!(chosen.khlone_home, PathBuf::from("/k"));
        assert_eq!(chosen.config, PathBuf::from("/c/khlone/config.yml"));
        assert_eq!(chosen.data, PathBuf::from("/h/.local/share/khlone"));
    }

    #[test]
    fn no_home_is_an_error_unless_ours_is_named() {
        assert_eq!(paths(&[]), Err(HomeError));
        assert_eq!(paths(&[("HOME", "rel")]), Err(HomeError));
        assert_eq!(
            paths(&[("KHLONE_HOME", "/k")]).unwrap().data,
            PathBuf::from("/k/data/khlone")
        );
    }
}
