//! What a verb works with: the repository and site around the place where it runs, and the configuration there.

use std::path::{Path, PathBuf};

use super::{
    attended::DaemonUse,
    error::{CliError, CmdError, printed},
};
use crate::{
    config::{Config, Loaded, Paths},
    daemon::{self, DaemonError},
    process::machine_id,
    query::Ground,
    refs::{Ledger, Repo, RepoError, Site, sweep_announced},
    render::{Out, Pager, View},
    task::ZoneAddress,
    worktree::place::Rules,
    zone::{Place, ResolveError, here, settings, sites, zone_named},
};

/// The surroundings of a command.
pub(crate) struct Cx {
    pub(super) repo: Repo,
    pub(super) site: Site,
    pub(super) paths: Paths,
    pub(super) out: Out,
    daemon: DaemonUse,
    /// The folder of the work tree in which the command runs, relative to its top.
    pub(super) folder: Option<String>,
}

impl Cx {
    /// Finds the repository around `dir`.
    pub(super) fn open(dir: &Path, out: Out) -> Result<Self, CmdError> {
        let repo = repo_at(dir)?;
        let folder = folder(&repo, dir);
        Ok(Self {
            folder,
            ..Self::of(repo, out)?
        })
    }

    /// The same for a verb that only reads: the repository may be one in which nothing can be written.
    pub(super) fn look(dir: &Path, out: Out) -> Result<Self, CmdError> {
        let repo = repo_at(dir)?;
        let site = match Site::open(&repo, &machine_id()) {
            Err(error) if error.is_read_only() => Site::reading(&repo, &machine_id()),
            site => {
                clear_left_locks(&repo);
                site?
            }
        };
        let paths = Paths::from_env(|name| std::env::var_os(name))?;
        Ok(Self {
            daemon: DaemonUse::of(site.common_dir(), out)?,
            repo,
            site,
            paths,
            out,
            folder: None,
        })
    }

    fn of(repo: Repo, out: Out) -> Result<Self, CmdError> {
        let site = Site::open(&repo, &machine_id())?;
        clear_left_locks(&repo);
        let paths = Paths::from_env(|name| std::env::var_os(name))?;
        Ok(Self {
            daemon: DaemonUse::of(site.common_dir(), out)?,
            repo,
            site,
            paths,
            out,
            folder: None,
        })
    }

    /// The surroundings in the site that an address names: those here, unless it names another.
    pub(super) fn at(self, zone: Option<&ZoneAddress>) -> Result<Self, CmdError> {
        let Some(name) = zone.and_then(|zone| zone.site.as_deref()) else {
            return Ok(self);
        };
        let folder = self.registry();
        let io = |source| CliError::Io {
            what: folder.display().to_string(),
            source,
        };
        let found = sites::named(sites::list(&folder).map_err(io)?, name);
        match found.as_slice() {
            [one] => Self::of(Repo::discover(&one.path)?, self.out),
            [] => Err(ResolveError::NoSite(name.to_owned()).into()),
            many => {
                let paths = many
                    .iter()
                    .map(|known| known.path.display().to_string())
                    .collect();
                Err(ResolveError::Sites {
                    name: name.to_owned(),
                    paths,
                }
                .into())
            }
        }
    }

    /// Prints a long answer of `verb`, through the user's pager on a terminal.
    pub(super) fn paged(&self, verb: &str, view: &impl View) -> Result<(), CliError> {
        let dir = self.repo.work_dir().unwrap_or_else(|| self.repo.common_dir());
        printed(self.out.paged(view, Pager { dir, verb }))
    }

    /// Where the daemon of this site is found, and started.
    pub(super) fn daemon(&self) -> Result<daemon::Place, DaemonError> {
        self.daemon.place()
    }

    /// Tells whether what runs is stopped with this command.
    pub(super) fn stops(&self) -> impl Fn() -> bool + Send + use<> {
        self.daemon.stops()
    }

    /// Whether no process may stay when the command is over.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.daemon.leaves_nothing()
    }

    /// The tasks and zones here.
    pub(super) fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.repo, &self.site)
    }

    /// The zone that `--zone` names, else the one where the command runs.
    pub(super) fn place(&self, zone: Option<&ZoneAddress>) -> Result<Place, CmdError> {
        Ok(match zone {
            Some(address) => zone_named(&self.repo, &address.branch)?,
            None => here(&self.ledger())?,
        })
    }

    /// The site as a source of answers, for one question or a few that belong together.
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground::new(&self.repo, &self.site, &self.paths)
    }

    /// Refuses to read or move the checkout here where git would take another work tree or index.
    pub(super) fn refuse_other_checkout(&self) -> Result<(), RepoError> {
        self.repo.refuse_other_checkout(|name| std::env::var_os(name))
    }

    /// Where worktrees may stand, by `config`.
    pub(super) fn rules<'a>(&'a self, config: &'a Config) -> Rules<'a> {
        Rules {
            root: config.worktree.root.as_deref(),
            data_home: &self.paths.data_home,
        }
    }

    /// Where the sites of this machine are remembered.
    pub(super) fn registry(&self) -> PathBuf {
        self.paths.khlone_home.join("sites")
    }

    /// The configuration that counts at `place`.
    pub(super) fn config(&self, place: &Place) -> Result<Loaded, CmdError> {
        Ok(settings(&self.repo, place, &self.paths)?)
    }
}

/// Clears what a git of ours that died with its command has left in the user's checkout: it keeps their own git out.
fn clear_left_locks(repo: &Repo) {
    if let Err(error) = sweep_announced(repo.common_dir()) {
        tracing::warn!(%error, "locks that the dead left stay");
    }
}

/// The repository that a command in `dir` means.
pub(super) fn repo_at(dir: &Path) -> Result<Repo, RepoError> {
    Repo::meant(dir, |name| std::env::var_os(name))
}

fn folder(repo: &Repo, dir: &Path) -> Option<String> {
    let top = repo.work_dir()?.canonicalize().ok()?;
    let dir = dir.canonicalize().ok()?;
    let below = dir.strip_prefix(top).ok()?.to_str()?;
    (!below.is_empty()).then(|| below.to_owned())
}

/// The user's home.
pub(super) fn home(paths: &Paths) -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| paths.khlone_home.clone())
}
