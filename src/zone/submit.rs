//! From an order to a queued task, under the settings that count there.
//!
//! The command line and the daemon's `enqueue` both come through here, and neither without having been admitted. The
//! caller makes the task's id, so that an order whose answer was lost can be given again.

use std::{collections::BTreeMap, path::PathBuf};

use bstr::ByteSlice;

use super::{
    Admitted, CrewError, DispatchError, Dispatched, Hero, Order, Pick,
    dispatch::{Request, dispatch},
    trial::Trial,
};
use crate::{
    brain::{self, Brain, Preflight},
    config::{self, Config},
    refs::{Ledger, LedgerError, RepoError},
    task::{BrainName, NameError, RoleName, Status, Task, TaskId, explain},
    worktree::effects::path_bytes,
};

/// The role of the hero when nobody configured one.
const FOREMAN: &str = "foreman";

/// An order that was not taken; nothing is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The clone, its queue or its brain refuses.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// A task that it waits for is not there.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A task that waits for itself.
    #[error("{0} cannot wait for itself")]
    Cycle(TaskId),
    /// The task that is to be answered goes on.
    #[error("{id} is {status}, and can be answered once it is over")]
    Open {
        /// The task.
        id: TaskId,
        /// Its state.
        status: Status,
        /// Waits for a person.
        held: bool,
    },
    /// The repository cannot be read.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A name of ours is none, which is a bug.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The settings cannot be written down, which is a bug.
    #[error("the settings cannot be written down: {0}")]
    Settings(#[from] serde_json::Error),
}

explain! {
    OrderError {
        transparent { Dispatch, Ledger, Repo }
        Refused {
            Open { id, held: true, .. } => format!("git khlone resume {id}"),
            Open { id, .. } => format!("git khlone await {id}"),
        }
        Usage { Cycle => "git khlone list tasks    # --after takes one that does not wait for this" }
        Bug { Name, Settings }
    }
}

impl Admitted<'_> {
    /// Queues a task, enrolling its clone if need be. There is no other way to one, so each was admitted.
    ///
    /// # Errors
    /// [`OrderError`]; no task exists then.
    pub fn submit(&self, ledger: &Ledger<'_>, order: &Order<'_>) -> Result<Dispatched, OrderError> {
        let config = &self.config;
        let foreman: RoleName = FOREMAN.parse()?;
        let vars = |name: &str| std::env::var_os(name);
        let program = |name: &str| program(config, name);
        let cache = self.paths.khlone_home.join("cache");
        let preflight = Preflight {
            vars: &vars,
            cache: &cache,
            program: &program,
        };
        let hero = hero(config, || preflight.default_brain().map(Brain::name))?;
        let own = config
            .roles
            .iter()
            .map(|(name, role)| (name.clone(), role.brain.clone()));
        let mut roles: BTreeMap<_, _> = own.collect();
        roles.entry(foreman.clone()).or_default();
        let brains: Result<Vec<_>, _> = brain::all().map(|brain| brain.name().parse()).collect();
        let branches = ledger.repo().branches()?;
        let request = Request {
            order,
            admitted: self,
            pick: Pick {
                who: order.who,
                hero: hero.as_ref(),
                default_role: &foreman,
                roles: &roles,
                brains: &brains?,
                branches: &branches,
                branch: &self.place.branch,
                most: config.limits.clones.get() as usize,
                busy: BTreeMap::new(),
            },
            after: before(ledger, order)?,
            // How the user is told of things is no affair of the ledger's.
            config: serde_json::to_value(Config {
                notify: None,
                ..config.clone()
            })?,
        };
        let dispatched = dispatch(ledger, request, |name| self.ready(&preflight, name));
        Ok(dispatched.map_err(|error| match error {
            DispatchError::Crew(CrewError::NoBrain) => preflight.why_none().into(),
            other => other,
        })?)
    }

    /// Whether a brain can begin here, in its sandbox if it has one.
    fn ready(&self, preflight: &Preflight<'_>, name: &BrainName) -> Result<(), DispatchError> {
        let brain = brain::find(name)?;
        let ready = preflight.require(brain)?;
        let bwrap = self.protection.bwrap.as_deref().map(path_bytes);
        let Some((program, bwrap)) = ready.path.as_ref().zip(bwrap) else {
            return Ok(());
        };
        let home = std::env::home_dir().unwrap_or_default();
        let readable: Vec<_> = self
            .config
            .readable
            .iter()
            .map(|path| config::in_home(path, &home))
            .collect();
        let trial = Trial {
            bwrap: &bwrap.to_path_lossy(),
            home: &home,
            readable: &readable,
            cache: preflight.cache,
            config: &self.paths.config,
        };
        Ok(trial.require(brain, program)?)
    }
}

/// Refuses to answer a task that is not over.
///
/// # Errors
/// [`OrderError::Open`].
pub fn refuse_open(asked: &Task) -> Result<(), OrderError> {
    if asked.status.is_over() {
        return Ok(());
    }
    Err(OrderError::Open {
        id: asked.id.clone(),
        status: asked.status,
        held: asked.hold.is_some(),
    })
}

/// The tasks that an order waits for. They are there before it is, so that no circle can come about.
fn before(ledger: &Ledger<'_>, order: &Order<'_>) -> Result<Vec<TaskId>, OrderError> {
    let mut ids = Vec::new();
    for prefix in order.after {
        if order.id.as_str().starts_with(&prefix.to_string()) {
            return Err(OrderError::Cycle(order.id.clone()));
        }
        ids.push(ledger.resolve(prefix)?);
    }
    Ok(ids)
}

/// The program that the configuration gives a brain.
pub fn program(config: &Config, brain: &str) -> Option<PathBuf> {
    let name: BrainName = brain.parse().ok()?;
    config.brains.get(&name)?.path.clone()
}

/// Who gets a task that names nobody: `hero` of the configuration, else a foreman on the brain that `default`
/// finds; nobody if it finds none.
fn hero(config: &Config, default: impl FnOnce() -> Option<&'static str>) -> Result<Option<Hero>, NameError> {
    let who = config.hero.as_ref().map(config::Hero::who);
    let role = match who.and_then(|who| who.role.clone()) {
        Some(role) => role,
        None => FOREMAN.parse()?,
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
