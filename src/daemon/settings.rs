//! The limits in force: the user's configuration and the `khlone.yml` of the main checkout, read anew when one of
//! them changes. A file that cannot be read leaves the limits as they were, and the log says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{plan, providers::Rates};
use crate::{
    config::{Config, FILE_NAME, Paths, Source},
    zone::retention::Keep,
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
    user: PathBuf,
    repo: Option<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Settings {
    /// The settings of a site whose main checkout is `work_dir`; a bare repository has only the user's.
    pub(crate) fn new(paths: &Paths, work_dir: Option<&Path>) -> Self {
        let repo = work_dir.map(|dir| dir.join(FILE_NAME));
        Self {
            user: paths.config.clone(),
            repo,
            seen: Vec::new(),
        }
    }

    /// The limits, if they may be others than last time.
    pub(crate) fn reload(&mut self) -> Option<InForce> {
        let files = [Some(&self.user), self.repo.as_ref()];
        let stamp = |path: &PathBuf| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        let seen: Vec<_> = files.iter().map(|file| file.and_then(stamp)).collect();
        if self.seen == seen {
            return None;
        }
        self.seen = seen;
        let user = read(&self.user);
        let repo = self.repo.as_deref().and_then(read);
        let user = user.as_deref().map(|bytes| Source {
            path: &self.user,
            bytes,
        });
        let repo = repo.as_deref().map(|bytes| Source {
            path: FILE_NAME.as_ref(),
            bytes,
        });
        match Config::load(user, repo) {
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
                running: usize_of(limits.running()),
                attempts: limits.attempts.get(),
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

fn read(path: &Path) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot be read");
            None
        }
    }
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
            data: dir.path().join("data"),
            config_home: dir.path().to_owned(),
            data_home: dir.path().to_owned(),
        };
        let mut settings = Settings::new(&paths, Some(dir.path()));
        let first = settings.reload().unwrap().limits;
        assert_eq!(first, Limits::of(&Config::default()));
        assert_eq!(settings.reload(), None);
        fs::write(dir.path().join(FILE_NAME), "limits: {running: 7, watchers: 2}").unwrap();
        let second = settings.reload().unwrap().limits;
        assert_eq!((second.plan.running, second.watchers), (7, 2));
        fs::write(dir.path().join(FILE_NAME), "limits: {runing: 9}").unwrap();
        assert_eq!(settings.reload(), None);
    }
}
