//! What a verb works with: the repository and site around the place where it runs, and the configuration there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::error::{CliError, CmdError};
use crate::{
    config::{self, Config, Paths},
    process::machine_id,
    refs::{Ledger, Repo, Site, branch_ref},
    render::Out,
    task::{BrainName, RoleName, ZoneAddress},
    zone::{Hero, Place, ResolveError, here, sites, zone_named},
};

/// The role of the hero when nobody configured one.
pub(super) const FOREMAN: &str = "foreman";

/// The surroundings of a command.
pub(crate) struct Cx {
    pub(super) repo: Repo,
    pub(super) site: Site,
    pub(super) paths: Paths,
    pub(super) out: Out,
}

impl Cx {
    /// Finds the repository around `dir`.
    pub(super) fn open(dir: &Path, out: Out) -> Result<Self, CmdError> {
        let repo = Repo::discover(dir)?;
        let site = Site::open(&repo, &machine_id())?;
        let paths = Paths::from_env(|name| std::env::var_os(name))?;
        Ok(Self {
            repo,
            site,
            paths,
            out,
        })
    }

    /// The surroundings in the site that an address names: those here, unless it names another.
    pub(super) fn at(self, zone: Option<&ZoneAddress>) -> Result<Self, CmdError> {
        let Some(name) = zone.and_then(|zone| zone.site.as_deref()) else {
            return Ok(self);
        };
        let folder = self.paths.khlone_home.join("sites");
        let io = |source| CliError::Io {
            what: folder.display().to_string(),
            source,
        };
        let found = sites::named(sites::list(&folder).map_err(io)?, name);
        match found.as_slice() {
            [one] => Self::open(&one.path, self.out),
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

    /// The user's configuration together with the `khlone.yml` of the invoking checkout; in a bare repository,
    /// that of the zone's branch. A clone's worktree is never read for it: there, its zone's branch counts.
    pub(super) fn config(&self, place: &Place) -> Result<config::Loaded, CmdError> {
        let user = read(&self.paths.config)?;
        let repo = self.repo_config(place)?;
        let user = user.as_deref().map(|bytes| config::Source {
            path: &self.paths.config,
            bytes,
        });
        let repo = repo.as_deref().map(|bytes| config::Source {
            path: config::FILE_NAME.as_ref(),
            bytes,
        });
        Ok(Config::load(user, repo)?)
    }

    /// The bytes of the `khlone.yml` that counts.
    pub(super) fn repo_config(&self, place: &Place) -> Result<Option<Vec<u8>>, CliError> {
        match self.repo.work_dir().filter(|_| place.inside.is_none()) {
            Some(top) => read(&top.join(config::FILE_NAME)),
            None => self.committed(&place.branch),
        }
    }

    fn committed(&self, branch: &str) -> Result<Option<Vec<u8>>, CliError> {
        let Some(tip) = self.repo.ref_target(&branch_ref(branch))? else {
            return Ok(None);
        };
        let tree = self.repo.git().find_commit(tip)?.tree()?;
        let Some(entry) = tree.get_name(config::FILE_NAME) else {
            return Ok(None);
        };
        Ok(Some(self.repo.git().find_blob(entry.id())?.content().to_vec()))
    }
}

/// The user's own configuration alone.
pub(super) fn user_config(paths: &Paths) -> Result<config::Loaded, CmdError> {
    let user = read(&paths.config)?;
    let user = user.as_deref().map(|bytes| config::Source {
        path: &paths.config,
        bytes,
    });
    Ok(Config::load(user, None)?)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Io {
            what: path.display().to_string(),
            source,
        }),
    }
}

/// The user's home.
pub(super) fn home(paths: &Paths) -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| paths.khlone_home.clone())
}

/// The role that a hero has by default.
pub(super) fn foreman() -> Result<RoleName, CmdError> {
    Ok(FOREMAN.parse()?)
}

/// The program that the configuration gives a brain.
pub(super) fn program(config: &Config, brain: &str) -> Option<PathBuf> {
    let name: BrainName = brain.parse().ok()?;
    config.brains.get(&name)?.path.clone()
}

/// Who gets a task that names nobody: `hero` of the configuration, else a foreman on the brain that `default`
/// finds; nobody if it finds none.
pub(super) fn hero(
    config: &Config,
    default: impl FnOnce() -> Option<&'static str>,
) -> Result<Option<Hero>, CmdError> {
    let who = config.hero.as_ref().map(config::Hero::who);
    let role = match who.and_then(|who| who.role.clone()) {
        Some(role) => role,
        None => foreman()?,
    };
    let of_role = config.roles.get(&role).and_then(|role| role.brain.clone());
    let brain = match who.and_then(|who| who.brain.clone()).or(of_role) {
        Some(brain) => Some(brain),
        None => default().map(str::parse).transpose()?,
    };
    Ok(brain.map(|brain| Hero {
        role,
        number: who.and_then(|who| who.number),
        brain,
    }))
}
