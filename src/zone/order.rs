//! An order: from what a caller says to a queued task, under the settings that count there.
//!
//! The command line and the daemon's `enqueue` both come through here. The caller makes the task's id, so that an
//! order whose answer was lost can be given again.

use std::{collections::BTreeMap, path::PathBuf};

use bstr::ByteSlice;

use super::{
    CrewError, Dispatch, DispatchError, Dispatched, Hero, Limits, Pick, Place, Rank, dispatch, trial::Trial,
};
use crate::{
    brain::{self, Brain, Preflight},
    config::{self, Config, Paths},
    refs::{Ledger, LedgerError, Oid, RepoError},
    task::{BrainName, Mode, NameError, Protection, RoleName, Task, TaskId, TaskPrefix, Who, explain},
    worktree::effects::path_bytes,
};

/// The role of the hero when nobody configured one.
const FOREMAN: &str = "foreman";

/// What a caller wants.
#[derive(Debug)]
pub struct Order<'a> {
    /// The task's id.
    pub id: TaskId,
    /// What it may do.
    pub mode: Mode,
    /// The whole prompt.
    pub prompt: String,
    /// Who does it; the hero if nobody is named.
    pub who: Option<&'a Who>,
    /// The brain's model.
    pub model: Option<String>,
    /// Where in the queue it stands.
    pub rank: Rank,
    /// Tasks that must be done before.
    pub after: &'a [TaskPrefix],
    /// The task whose question it answers.
    pub reply_to: Option<TaskId>,
    /// The tree of uncommitted files to start from.
    pub with_changes: Option<Oid>,
    /// The folder that the brain starts in, relative to the top.
    pub folder: Option<String>,
    /// A new session of the brain.
    pub new_session: bool,
}

impl<'a> Order<'a> {
    /// The answer to a task, by the clone that has asked: as the same sort of task, before those that wait.
    pub fn reply(asked: &Task, who: &'a Who, id: TaskId, prompt: String) -> Self {
        Self {
            id,
            mode: asked.mode,
            prompt,
            who: Some(who),
            model: asked.model.clone(),
            rank: Rank::First,
            after: &[],
            reply_to: Some(asked.id.clone()),
            with_changes: None,
            folder: asked.folder.clone(),
            new_session: false,
        }
    }
}

/// The clone that did a task.
pub fn clone_of(task: &Task) -> Who {
    Who {
        role: Some(task.clone.role.clone()),
        number: Some(task.clone.number),
        ..Who::default()
    }
}

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
        Usage { Cycle => "git khlone list tasks    # --after takes one that does not wait for this" }
        Bug { Name, Settings }
    }
}

/// Queues a task, enrolling its clone if need be.
///
/// # Errors
/// [`OrderError`]; no task exists then.
pub fn order(
    ledger: &Ledger<'_>,
    place: &Place,
    (config, paths): (&Config, &Paths),
    protection: Protection,
    order: Order<'_>,
) -> Result<Dispatched, OrderError> {
    let foreman: RoleName = FOREMAN.parse()?;
    let vars = |name: &str| std::env::var_os(name);
    let program = |name: &str| program(config, name);
    let cache = paths.khlone_home.join("cache");
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
    let request = Dispatch {
        place,
        pick: Pick {
            who: order.who,
            hero: hero.as_ref(),
            default_role: &foreman,
            roles: &roles,
            brains: &brains?,
            branches: &branches,
            branch: &place.branch,
            most: config.limits.clones.get() as usize,
            busy: BTreeMap::new(),
        },
        after: before(ledger, &order)?,
        mode: order.mode,
        prompt: order.prompt,
        model: order.model,
        skill: None,
        rank: order.rank,
        reply_to: order.reply_to,
        with_changes: order.with_changes,
        folder: order.folder,
        new_session: order.new_session,
        id: order.id,
        protection,
        settings: config,
        // How the user is told of things is no affair of the ledger's.
        config: serde_json::to_value(Config {
            notify: None,
            ..config.clone()
        })?,
    };
    let limits = Limits {
        queue: config.limits.queue.get() as usize,
        branch_prefix: config.branch.prefix.as_str(),
    };
    let home = std::env::home_dir().unwrap_or_default();
    let bwrap = request.protection.bwrap.as_deref().map(path_bytes);
    let bwrap = bwrap.map(|path| path.to_path_lossy().into_owned());
    let readable: Vec<_> = config
        .readable
        .iter()
        .map(|path| config::in_home(path, &home))
        .collect();
    let ready = |name: &BrainName| {
        let brain = brain::find(name)?;
        let ready = preflight.require(brain)?;
        if let (Some(program), Some(bwrap)) = (&ready.path, &bwrap) {
            let trial = Trial {
                bwrap,
                home: &home,
                readable: &readable,
                cache: &cache,
                config: &paths.config,
            };
            trial.require(brain, program)?;
        }
        Ok(())
    };
    let dispatched = dispatch(ledger, request, limits, ready);
    Ok(dispatched.map_err(|error| match error {
        DispatchError::Crew(CrewError::NoBrain) => preflight.why_none().into(),
        other => other,
    })?)
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
