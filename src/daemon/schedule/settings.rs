//! The limits in force: the user's configuration and the `khlone.yml` of the main checkout, read anew when one of
//! them changes. A file that cannot be read leaves the limits as they were, and the log says so.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{plan, providers::Rates};
use crate::{
    config::{Config, FILE_NAME, Paths},
    refs::Repo,
    upkeep::retention::Keep,
    zone::site_settings,
};

/// The limits that the daemon itself keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) plan: plan::Limits,
    /// Waiting watchers of one clone.
    pub(crate) watchers: usize,
    /// How long the daemon stays without work.
    pub(crate) idle: Duration,
    /// How much of what is finished is kept.
    pub(crate) keep: Keep,
}

/// All limits that count at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) limits: Limits,
    /// Those of providers.
    pub(crate) rates: Rates,
}

/// Where the limits are written, and what was there when they were read last.
#[derive(Debug)]
pub(crate) struct Settings {
    paths: Paths,
    repo: Option<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Settings {
    /// The settings of a site whose main checkout is `work_dir`; a bare repository has only the user's.
    pub(crate) fn new(paths: &Paths, work_dir: Option<&Path>) -> Self {
        let repo = work_dir.map(|dir| dir.join(FILE_NAME));
        Self {
            paths: paths.clone(),
            repo,
            seen: Vec::new(),
        }
    }

    /// The limits, if they may be others than last time.
    pub(crate) fn reload(&mut self, repo: &Repo) -> Option<InForce> {
        // The folder of what is trusted changes with what the repository's file may raise.
        let trust = self.paths.khlone_home.join("trust");
        let files = [
            Some(&self.paths.system),
            Some(&self.paths.config),
            self.repo.as_ref(),
            Some(&trust),
        ];
        let stamp = |path: &PathBuf| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        let seen: Vec<_> = files.iter().map(|file| file.and_then(stamp)).collect();
        if self.seen == seen {
            return None;
        }
        self.seen = seen;
        match site_settings(repo, &self.paths) {
            Ok(loaded) => Some(InForce {
                limits: Limits::of(&loaded.config),
                rates: loaded.config.providers,
            }),
            Err(error) => {
                tracing::warn!(%error, "the configuration is not used");
                None
            }
        }
    }
}

impl Limits {
    /// The limits that `config` sets.
    pub(crate) fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            plan: plan::Limits {
                running: usize_of(limits.running.get()),
            },
            watchers: usize_of(limits.watchers.get()),
            idle: limits.idle.duration(),
            keep: Keep::of(config),
        }
    }
}

fn usize_of(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_files_and_survive_broken_ones() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            khlone_home: dir.path().join("home"),
            config: dir.path().join("config.yml"),
            system: dir.path().join("system.yml"),
            data: dir.path().join("data"),
            config_home: dir.path().to_owned(),
            data_home: dir.path().to_owned(),
        };
        git2::Repository::init(dir.path()).unwrap();
        let repo = Repo::open(&dir.path().join(".git")).unwrap();
        let mut settings = Settings::new(&paths, Some(dir.path()));
        let first = settings.reload(&repo).unwrap().limits;
        assert_eq!(first, Limits::of(&Config::default()));
        assert_eq!(settings.reload(&repo), None);
        fs::write(&paths.config, "limits: {running: 8}").unwrap();
        fs::write(dir.path().join(FILE_NAME), "limits: {running: 7, watchers: 2}").unwrap();
        let second = settings.reload(&repo).unwrap().limits;
        assert_eq!((second.plan.running, second.watchers), (7, 2));
        fs::write(dir.path().join(FILE_NAME), "limits: {runing: 9}").unwrap();
        assert_eq!(settings.reload(&repo), None);
    }

    #[test]
    fn a_repository_raises_the_daemons_limits_only_where_it_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|name| (name == "HOME").then(|| dir.path().join("home").into())).unwrap();
        git2::Repository::init(dir.path()).unwrap();
        let repo = Repo::open(&dir.path().join(".git")).unwrap();
        let text = "limits: {running: 999, watchers: 9999, keep: 100000, keep_for: 9999d, idle: 999h}";
        fs::write(dir.path().join(FILE_NAME), text).unwrap();
        let mut settings = Settings::new(&paths, Some(dir.path()));
        assert_eq!(
            settings.reload(&repo).unwrap().limits,
            Limits::of(&Config::default())
        );
        let loaded = site_settings(&repo, &paths).unwrap();
        let request = crate::guard::trust::Request {
            repository: repo.common_dir().to_owned(),
            config: text.into(),
            commands: loaded.asks,
            scripts: Vec::new(),
        };
        crate::zone::trust_store(&paths).grant(&request, 1).unwrap();
        assert_eq!(settings.reload(&repo).unwrap().limits.plan.running, 999);
    }
}
