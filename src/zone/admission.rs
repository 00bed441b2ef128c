//! What is known to refuse a task before its brain is paid: asked the same for the command line and for RPC.

use std::{
    fs::DirBuilder,
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::{Place, SettingsError, require_trust};
use crate::{
    config::{Config, Delegation, Loaded, Paths, Sandbox},
    guard::{
        gitdir::{GitdirError, fits},
        sandbox::tier::{NoSandbox, Probe, Tier},
    },
    refs::Repo,
    task::{Protection, explain},
    worktree::{
        carry::quoted,
        effects::path_text,
        place::{PlaceError, Rules, refuse_exposed},
    },
};

/// Set for every process of a task.
const IN_TASK: &str = "KHLONE_TASK";

/// A task that may not be queued here.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The work tree holds the user's home (dotfiles): that is covered in a sandbox, and looking for what changed would
    /// read all of it.
    #[error("the work tree of this repository, {top}, holds your home folder", top = .top.display())]
    Home {
        /// The work tree.
        top: PathBuf,
        /// Its repository.
        common: PathBuf,
        /// The home.
        home: PathBuf,
    },
    /// The settings ask for what nobody has agreed to.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The order comes from a task.
    #[error("a task may not dispatch tasks ({IN_TASK} is set)")]
    Delegation,
    /// git keeps its worktrees elsewhere: by paths of which some go through the link and some do not.
    #[error("{link} is a symbolic link, to {target}", link = .link.display(), target = .target.display())]
    Worktrees {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// What git-khlone keeps for the user has no place.
    #[error("{path} cannot be written: {source}", path = .path.display())]
    KhloneHome {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Other users could lead the worktree elsewhere.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The settings need a sandbox.
    #[error(transparent)]
    Sandbox(#[from] NoSandbox),
    /// The repository does not fit into one.
    #[error(transparent)]
    Gitdir(#[from] GitdirError),
}

explain! {
    AdmissionError {
        transparent { Place, Settings, Sandbox, Gitdir }
        Refused {
            Home { common, home, .. } => format!(
                "git clone {0} {1} && cd {1}    # and work there",
                quoted(common),
                quoted(&home.join("dotfiles"))
            ),
            Worktrees { link, target } => format!("rm {0} && mv {1} {0}", quoted(link), quoted(target)),
            KhloneHome => "export KHLONE_HOME=$(mktemp -d)    # or a folder of yours that lasts",
            Delegation => "git khlone config --path    # delegation: allow in that file, your own",
        }
    }
}

/// Leave to queue tasks, with the protection that they will have: decided here, once.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// Where.
    pub(super) place: &'a Place,
    /// The user's folders.
    pub(super) paths: &'a Paths,
    /// The settings that its tasks run under.
    pub config: Config,
    /// Goes into the task.
    pub protection: Protection,
    /// Why it runs without a sandbox, if it does.
    pub unconfined: Option<String>,
}

/// Tasks may be queued; gives how they will be kept.
///
/// # Errors
/// [`AdmissionError`].
pub fn admit<'a>(
    repo: &Repo,
    place: &'a Place,
    (loaded, paths): (Loaded, &'a Paths),
    by: Caller,
) -> Result<Admitted<'a>, AdmissionError> {
    refuse_home(repo, paths)?;
    refuse_linked_worktrees(repo)?;
    require_khlone_home(paths)?;
    require_trust(repo, place, (&loaded, paths))?;
    if by.in_task && loaded.config.delegation != Delegation::Allow {
        return Err(AdmissionError::Delegation);
    }
    let rules = Rules {
        root: loaded.config.worktree.root.as_deref(),
        data_home: &paths.data_home,
    };
    refuse_exposed(repo, &rules)?;
    let (protection, unconfined) = protect(&loaded.config, paths)?;
    if unconfined.is_none() {
        fits(repo)?;
    }
    Ok(Admitted {
        place,
        paths,
        config: loaded.config,
        protection,
        unconfined,
    })
}

/// Who orders a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    in_task: bool,
}

impl Caller {
    /// This process.
    pub fn this() -> Self {
        Self {
            in_task: std::env::var_os(IN_TASK).is_some(),
        }
    }

    /// The process `pid`, by the environment that it was started with. One that cannot be read is no task's.
    pub fn of(pid: Option<i32>) -> Self {
        let vars = pid.and_then(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok());
        let vars = vars.unwrap_or_default();
        let is_set = |var: &[u8]| {
            var.strip_prefix(IN_TASK.as_bytes())
                .is_some_and(|rest| rest.starts_with(b"="))
        };
        Self {
            in_task: vars.split(|byte| *byte == 0).any(is_set),
        }
    }
}

/// The folders that every task needs for the user's own state can be written, made if need be: in a container a user
/// may have a home that is root's, or none.
///
/// # Errors
/// [`AdmissionError::KhloneHome`], for the first that cannot.
pub fn require_khlone_home(paths: &Paths) -> Result<(), AdmissionError> {
    let home = &paths.khlone_home;
    for path in [home.clone(), home.join("cache"), home.join("limits")] {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let written = made.and_then(|()| Ok(access(&path, Access::WRITE_OK | Access::EXEC_OK)?));
        written.map_err(|source| AdmissionError::KhloneHome { path, source })?;
    }
    Ok(())
}

/// Refuses a repository whose work tree holds the user's home. Before a zone is made there, too.
///
/// # Errors
/// [`AdmissionError::Home`].
pub fn refuse_home(repo: &Repo, paths: &Paths) -> Result<(), AdmissionError> {
    let home = std::env::home_dir().unwrap_or_else(|| paths.khlone_home.clone());
    let home = home.canonicalize().unwrap_or_default();
    let tops = [repo.main_work_dir(), repo.work_dir().map(Path::to_owned)];
    let mut tops = tops
        .into_iter()
        .flatten()
        .filter_map(|top| top.canonicalize().ok());
    match tops.find(|top| home.starts_with(top)) {
        None => Ok(()),
        Some(top) => Err(AdmissionError::Home {
            top,
            common: repo.common_dir().to_owned(),
            home,
        }),
    }
}

fn refuse_linked_worktrees(repo: &Repo) -> Result<(), AdmissionError> {
    let link = repo.common_dir().join("worktrees");
    match std::fs::read_link(&link) {
        Ok(target) => Err(AdmissionError::Worktrees {
            target: repo.common_dir().join(target),
            link,
        }),
        Err(_) => Ok(()),
    }
}

/// How a task will be kept, and why without a sandbox, if so.
fn protect(config: &Config, paths: &Paths) -> Result<(Protection, Option<String>), NoSandbox> {
    let probe = Probe::run(&paths.khlone_home.join("cache"));
    let bwrap = probe.choose(config.sandbox, &config.network)?;
    let unconfined = match (bwrap, config.sandbox) {
        (Some(_), _) => None,
        (None, Sandbox::Off) => Some("sandbox is off in your configuration".to_owned()),
        (None, _) => Some(probe.reason()),
    };
    let tier = if bwrap.is_some() { Tier::T2 } else { Tier::T0 };
    let protection = Protection {
        tier: tier.as_str().to_owned(),
        bwrap: bwrap.map(|path| path_text(path.as_os_str().as_bytes())),
    };
    Ok((protection, unconfined))
}
