//! `git khlone act` and `git khlone ask`: queue a task and give the shell back.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;

use super::{
    cx::{self, Cx},
    error::{CliError, CmdError, printed},
    prompt::PromptArgs,
    wait,
};
use crate::{
    brain,
    config::{Config, Delegation},
    daemon,
    refs::Repo,
    render::view::DispatchedView,
    task::{FORMAT, Mode, TaskId, TaskPrefix, Who, ZoneAddress},
    zone::{self, Dispatch, DispatchError, Dispatched, Limits, Pick, Place, ResolveError},
};

/// Options that `act` and `ask` share.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct DispatchArgs {
    #[command(flatten)]
    prompt: PromptArgs,
    /// Who does it: [role][.n][@brain][++]
    #[arg(short = 'w', long, value_name = "WHO")]
    who: Option<Who>,
    /// In which zone, else the branch that is checked out
    #[arg(short = 'z', long, value_name = "BRANCH")]
    zone: Option<ZoneAddress>,
    /// Make the zone's branch if there is none
    #[arg(short = 'c', long)]
    create: bool,
    /// What a new zone starts from, else HEAD
    #[arg(long, value_name = "REF", requires = "create")]
    base: Option<String>,
    /// The brain's model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Run before the tasks that wait
    #[arg(long)]
    prioritize: bool,
    /// Run only once this task is done
    #[arg(long, value_name = "TASK")]
    after: Vec<TaskPrefix>,
    /// Begin a new session of the brain
    #[arg(long)]
    new_session: bool,
    /// Wait for the task to end
    #[arg(long = "await")]
    wait: bool,
}

/// Let a clone change its own worktree
#[derive(Args, Debug)]
pub(super) struct ActArgs {
    #[command(flatten)]
    dispatch: DispatchArgs,
}

/// Let a clone answer a question
#[derive(Args, Debug)]
pub(super) struct AskArgs {
    #[command(flatten)]
    dispatch: DispatchArgs,
}

/// Queues an act.
pub(super) fn act(cx: &mut Cx, args: ActArgs) -> Result<ExitCode, CmdError> {
    queue(cx, args.dispatch, Mode::Act)
}

/// Queues an ask.
pub(super) fn ask(cx: &mut Cx, args: AskArgs) -> Result<ExitCode, CmdError> {
    queue(cx, args.dispatch, Mode::Ask)
}

fn queue(cx: &mut Cx, args: DispatchArgs, mode: Mode) -> Result<ExitCode, CmdError> {
    let place = place(cx, &args)?;
    let config = cx.config(&place)?.config;
    refuse_delegation(&config)?;
    let wait_for_it = args.wait;
    let dispatched = dispatch(cx, args, mode, &place, &config)?;
    let task = &dispatched.stored.task;
    let quiet_answer = wait_for_it && mode == Mode::Ask;
    if !quiet_answer {
        printed(cx.out.answer(&DispatchedView {
            format: FORMAT,
            task: task.id.clone(),
            clone: task.clone.clone(),
            branch: task.branch.clone(),
            enrolled: dispatched.enrolled,
            behind: dispatched.behind.clone(),
        }))?;
    }
    cx.out.done(&queued_where(&dispatched));
    if let Err(error) = daemon::Place::new(cx.site.common_dir()).and_then(|place| daemon::wake(&place)) {
        cx.out.note(&format!(
            "warning: the task is queued, but no daemon runs it yet: {error}"
        ));
        cx.out.note("  next: git khlone daemon start");
    }
    if wait_for_it {
        wait::for_one(cx, &task.id)
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

fn queued_where(dispatched: &Dispatched) -> String {
    let task = &dispatched.stored.task;
    let (clone, zone) = (&task.clone, &task.branch);
    let new = if dispatched.enrolled {
        format!(" (new, on {})", task.brain)
    } else {
        String::new()
    };
    match dispatched.behind.as_slice() {
        [] => format!("{clone} in {zone}{new}"),
        [_] => format!("{clone} in {zone}, queued behind 1"),
        behind => {
            format!(
                "{clone} in {zone}, queued behind {}; --who {}++ enrols another",
                behind.len(),
                clone.role
            )
        }
    }
}

fn dispatch(
    cx: &Cx,
    args: DispatchArgs,
    mode: Mode,
    place: &Place,
    config: &Config,
) -> Result<Dispatched, CmdError> {
    let ledger = cx.ledger();
    let after: Result<Vec<_>, _> = args.after.iter().map(|prefix| ledger.resolve(prefix)).collect();
    let foreman = cx::foreman()?;
    let hero = cx::hero(config, None)?;
    let mut roles: BTreeMap<_, _> = config
        .roles
        .iter()
        .map(|(name, role)| (name.clone(), role.brain.clone()))
        .collect();
    roles.entry(foreman.clone()).or_default();
    let brains: Result<Vec<_>, _> = brain::all().map(|brain| brain.name().parse()).collect();
    let branches = branches(&cx.repo)?;
    let request = Dispatch {
        place,
        pick: Pick {
            who: args.who.as_ref(),
            hero: hero.as_ref(),
            default_role: &foreman,
            roles: &roles,
            brains: &brains?,
            branches: &branches,
            most: config.limits.clones.get() as usize,
        },
        mode,
        prompt: args.prompt.read()?,
        model: args.model,
        skill: None,
        prioritize: args.prioritize,
        after: after?,
        with_changes: None,
        new_session: args.new_session,
        id: new_id()?,
        config: serde_json::to_value(config).map_err(|error| CliError::Io {
            what: "khlone.yml".to_owned(),
            source: error.into(),
        })?,
    };
    let limits = Limits {
        queue: config.limits.queue.get() as usize,
        branch_prefix: config.branch.prefix.as_str(),
    };
    Ok(zone::dispatch(&ledger, request, limits, |_brain| {
        Ok::<_, DispatchError>(())
    })?)
}

fn place(cx: &Cx, args: &DispatchArgs) -> Result<Place, CmdError> {
    match cx.place(args.zone.as_ref()) {
        Err(_) if args.create && args.zone.is_some() => {}
        other => return other,
    }
    let address = args
        .zone
        .as_ref()
        .ok_or_else(|| CliError::usage("--create needs --zone", "--zone BRANCH"))?;
    let base = args.base.as_deref().unwrap_or("HEAD");
    let commit = cx
        .repo
        .git()
        .revparse_single(base)
        .and_then(|object| object.peel_to_commit());
    let commit = commit.map_err(|_| CliError::nothing(format!("`{base}` names no commit"), "--base REF"))?;
    cx.repo
        .git()
        .branch(&address.branch, &commit, false)
        .map_err(CliError::from)?;
    Ok(crate::zone::zone_named(&cx.repo, address)?)
}

fn refuse_delegation(config: &Config) -> Result<(), CliError> {
    if config.delegation == Delegation::Allow || std::env::var_os("KHLONE_TASK").is_none() {
        return Ok(());
    }
    Err(CliError::refused(
        "a task may not dispatch tasks (KHLONE_TASK is set)",
        "set delegation: allow in your own config.yml",
    ))
}

fn branches(repo: &Repo) -> Result<Vec<String>, ResolveError> {
    let found = repo
        .git()
        .branches(Some(git2::BranchType::Local))
        .map_err(crate::refs::RepoError::from)?;
    Ok(found
        .filter_map(|found| found.ok()?.0.name().ok().flatten().map(ToString::to_string))
        .collect())
}

fn new_id() -> Result<TaskId, CliError> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| CliError::Io {
        what: "random numbers".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(TaskId::from_entropy(u64::from_le_bytes(bytes)))
}
