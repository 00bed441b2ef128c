//! `git khlone act` and `git khlone ask`: queue a task and give the shell back.

use std::process::ExitCode;

use clap::Args;

use super::{
    cx::Cx,
    dispatch::{Ready, Then, new_id},
    error::{CliError, CmdError},
    prompt::PromptArgs,
};
use crate::{
    task::{Mode, TaskPrefix, Who, ZoneAddress},
    zone::{Order, Place, Rank, changes::own_changes, open::open_missing, refuse_home},
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
    /// Who does it
    #[arg(
        short = 'w',
        long,
        value_name = "WHO",
        help = "Who does it: [role][.n|.any][@brain][++]; any is a free clone, else a new one"
    )]
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
    /// Wait for the task under way, or stop it and take its place; what was stopped can be resumed
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "enqueue|disrupt",
        hide_possible_values = true
    )]
    when: When,
    /// Run only once this task is done; if it is not, this one is skipped
    #[arg(long, value_name = "TASK")]
    after: Vec<TaskPrefix>,
    /// Start from the uncommitted files of this checkout, too
    #[arg(long)]
    with_changes: bool,
    /// Begin a new session of the brain
    #[arg(long)]
    new_session: bool,
    /// Wait for the task to end
    #[arg(long = "await", conflicts_with = "watch")]
    wait: bool,
    /// Watch it to its end: what it does goes to stderr
    #[arg(long)]
    watch: bool,
}

/// What happens to the clone's task under way.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default)]
enum When {
    /// It ends first.
    #[default]
    Enqueue,
    /// It is stopped.
    Disrupt,
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
pub(super) fn act(cx: Cx, args: ActArgs) -> Result<ExitCode, CmdError> {
    queue(cx, args.dispatch, Mode::Act)
}

/// Queues an ask.
pub(super) fn ask(cx: Cx, args: AskArgs) -> Result<ExitCode, CmdError> {
    queue(cx, args.dispatch, Mode::Ask)
}

fn queue(cx: Cx, args: DispatchArgs, mode: Mode) -> Result<ExitCode, CmdError> {
    let cx = &cx.at(args.zone.as_ref())?;
    refuse_home(&cx.repo, &cx.paths)?;
    let place = place(cx, &args)?;
    let ready = Ready::at(cx, &place, !args.with_changes)?;
    let then = match (args.wait, args.watch) {
        (true, _) => Then::Await,
        (_, true) => Then::Watch,
        _ => Then::Leave,
    };
    if args.with_changes {
        cx.refuse_other_checkout()?;
    }
    let changes = args
        .with_changes
        .then(|| own_changes(&cx.repo, &cx.site))
        .transpose()?;
    let disrupts = matches!(args.when, When::Disrupt);
    let order = Order {
        id: new_id()?,
        mode,
        prompt: args.prompt.read()?,
        who: args.who.as_ref(),
        model: args.model,
        rank: Rank::of(disrupts, args.prioritize),
        after: &args.after,
        reply_to: None,
        with_changes: changes.as_ref().map(|(tree, _)| *tree),
        folder: cx.folder.clone(),
        new_session: args.new_session,
    };
    ready.send(cx, &order, then)
}

/// The zone of the task; with `--create`, made at the one gate where zones are made.
fn place(cx: &Cx, args: &DispatchArgs) -> Result<Place, CmdError> {
    if args.create {
        let Some(address) = &args.zone else {
            let hint = "git khlone act --create --zone feature \"what is to be done\"";
            return Err(CliError::usage("--create needs --zone", hint).into());
        };
        open_missing(&cx.ledger(), &address.branch, args.base.as_deref())?;
    }
    cx.place(args.zone.as_ref())
}
