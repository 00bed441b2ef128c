//! `git khlone act` and `git khlone ask`: queue a task and give the shell back.

use std::{path::Path, process::ExitCode, sync::mpsc, time::Duration};

use clap::Args;

use super::{
    cx::{Cx, home},
    error::{CliError, CmdError, printed},
    prompt::PromptArgs,
    wait, watch,
};
use crate::{
    config::{Config, Delegation, Sandbox},
    daemon,
    guard::{
        gitdir::fits,
        sandbox::tier::{NoSandbox, Probe},
        secrets::redact::Redactor,
    },
    process::Cmd,
    refs::{Oid, Pack, Repo, branch_ref},
    render::view::{DispatchedView, StrangerLine},
    runner,
    task::{FORMAT, Mode, Status, TaskId, TaskPrefix, Who, ZoneAddress},
    worktree::{
        carry::quoted,
        snapshot::{self, Source, snapshot},
    },
    zone::{
        self, Dispatched, Order, Place, Rank, open::open, owners::waiting_elsewhere, require_trust, sites,
    },
};

/// How long the look at the user's checkout may take.
const LOOK: Duration = Duration::from_secs(2);
/// And where its index is larger than this (bytes, some ten thousand files): no longer than the dispatch itself takes,
/// whose time must not depend on the repository's size.
const LARGE: u64 = 1 << 20;
const GLANCE: Duration = Duration::from_millis(8);

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
        help = "Who does it: [role][.n][@brain][++]"
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
    refuse_home(cx)?;
    let place = place(cx, &args)?;
    let loaded = cx.config(&place)?;
    require_trust(&cx.repo, &place, (&loaded, &cx.paths))?;
    let config = loaded.config;
    refuse_delegation(&config)?;
    let unconfined = unconfined(cx, &config)?;
    if unconfined.is_none() {
        fits(&cx.repo)?;
    }
    let uncommitted = (!args.with_changes && place.inside.is_none())
        .then(|| Uncommitted::look(&cx.repo))
        .flatten();
    let (wait_for_it, watch_it) = (args.wait, args.watch);
    let dispatched = dispatch(cx, args, mode, &place, &config)?;
    let task = &dispatched.stored.task;
    let quiet_answer = (wait_for_it || watch_it) && mode == Mode::Ask;
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
    if let Err(error) = sites::remember(&cx.registry(), &cx.repo, &cx.site) {
        tracing::warn!(%error, "the site is not in the registry");
    }
    cx.out.done(&queued_where(&dispatched));
    tell_of_others(cx, &dispatched)?;
    tell_of_strangers(cx, &dispatched)?;
    if uncommitted.is_some_and(Uncommitted::found) {
        cx.out.note(
            "note: your checkout has uncommitted changes, which the clone does not see (--with-changes)",
        );
    }
    if let Some(reason) = unconfined {
        cx.out.note(&format!(
            "note: runs without a sandbox (T0): {reason}; git khlone doctor"
        ));
    }
    if let Err(error) = daemon::Place::new(cx.site.common_dir()).and_then(|place| daemon::wake(&place)) {
        cx.out.note(&format!(
            "warning: the task is queued, but no daemon runs it yet: {error}"
        ));
        cx.out.note("  next: git khlone daemon start");
    }
    if watch_it {
        watch::dispatched(cx, &dispatched.stored)
    } else if wait_for_it {
        wait::for_one(cx, &task.id)
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

/// What becomes of the task under way that this one disrupts, and of this one if what it waits for was not done.
fn tell_of_others(cx: &Cx, dispatched: &Dispatched) -> Result<(), CmdError> {
    let ledger = cx.ledger();
    let task = &dispatched.stored.task;
    for id in runner::disrupted_by(&ledger, task, "cli")? {
        cx.out
            .note(&format!("note: {id} is stopped for it; git khlone resume {id}"));
    }
    for id in &task.after {
        let before = ledger.task(id)?.task;
        if before.status.is_over() && before.status != Status::Done {
            cx.out
                .note(&format!("note: {id} was not done, so this one is skipped"));
        }
    }
    Ok(())
}

/// Tasks that nobody runs here stand before this one, or the whole repository stood elsewhere when they came.
fn tell_of_strangers(cx: &Cx, dispatched: &Dispatched) -> Result<(), CmdError> {
    let ledger = cx.ledger();
    let has_moved = !cx.site.formers().is_empty();
    if !has_moved && dispatched.behind.is_empty() {
        return Ok(());
    }
    let mut heads = ledger.open_heads()?;
    // The first of a queue tells for the rest, which is long at times.
    heads.retain(|head| has_moved || dispatched.behind.first() == Some(&head.id));
    for line in waiting_elsewhere(&ledger, &heads).iter().map(StrangerLine::of) {
        cx.out.note(&format!("note: {}; {}", line.what(), line.next));
    }
    Ok(())
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
    let changes = args.with_changes.then(|| own_changes(cx)).transpose()?;
    let prompt = args.prompt.read()?;
    warn_of_secrets(cx, &prompt);
    let rank = match args.when {
        When::Disrupt => Rank::Disrupt,
        When::Enqueue if args.prioritize => Rank::First,
        When::Enqueue => Rank::Arrival,
    };
    let order = Order {
        id: new_id()?,
        mode,
        prompt,
        who: args.who.as_ref(),
        model: args.model,
        rank,
        after: &args.after,
        reply_to: None,
        with_changes: changes.as_ref().map(|(tree, _)| *tree),
        new_session: args.new_session,
    };
    Ok(zone::order(&cx.ledger(), place, (config, &cx.paths), order)?)
}

/// The prompt is kept as it was written, since a brain needs it so.
fn warn_of_secrets(cx: &Cx, prompt: &str) {
    let (_, found) = Redactor::default().redact(prompt);
    if !found.is_empty() {
        let names: Vec<_> = found.into_keys().collect();
        cx.out.note(&format!(
            "note: the prompt holds a secret ({}) and is kept as it is; git khlone redact takes it out again",
            names.join(", ")
        ));
    }
}

/// The files of the user's checkout as they stand, durable as long as the pack's lock is held.
fn own_changes(cx: &Cx) -> Result<(Oid, Pack), CmdError> {
    let Some(work_dir) = cx.repo.work_dir() else {
        return Err(CliError::usage(
            "a bare repository has no changes to start from",
            "leave --with-changes out",
        )
        .into());
    };
    let head = cx
        .repo
        .git()
        .head()
        .and_then(|head| head.peel_to_commit())
        .map_err(CliError::from)?;
    let io = |source| CliError::Io {
        what: "the snapshot of your changes".to_owned(),
        source,
    };
    let mut pack = Pack::begin(&cx.site).map_err(io)?;
    let index = cx.repo.git_dir().join("index");
    let source = Source {
        work_dir,
        index: &index,
        repo: &cx.repo,
        pinned: Some(head.id()),
    };
    let taken = snapshot(&source, &snapshot::Limits::default(), None, &mut pack)?;
    pack.publish().map_err(io)?;
    Ok((taken.tree, pack))
}

/// Why the task will run without a sandbox, if it will.
fn unconfined(cx: &Cx, config: &Config) -> Result<Option<String>, NoSandbox> {
    let probe = Probe::run(&cx.paths.khlone_home.join("cache"));
    if probe.choose(config.sandbox, &config.network)?.is_some() {
        return Ok(None);
    }
    Ok(Some(if config.sandbox == Sandbox::Off {
        "sandbox is off in your configuration".to_owned()
    } else {
        probe.reasons.first().cloned().unwrap_or_default()
    }))
}

/// A look at the user's checkout, meanwhile: its time depends on the repository's size, the command's must not.
struct Uncommitted(mpsc::Receiver<bool>);

impl Uncommitted {
    fn look(repo: &Repo) -> Option<Self> {
        let checkout = repo.work_dir()?.to_owned();
        let (git_dir, (sender, receiver)) = (repo.git_dir().to_owned(), mpsc::channel());
        let is_large = std::fs::metadata(git_dir.join("index")).is_ok_and(|index| index.len() > LARGE);
        std::thread::spawn(move || {
            let git = Cmd::git(&git_dir)
                .env("GIT_WORK_TREE", &checkout)
                .patience(if is_large { GLANCE } else { LOOK })
                .dir(&checkout);
            // Not `diff-index`: by that, a file whose times alone have changed differs.
            let status = [
                "status",
                "--porcelain",
                "--untracked-files=no",
                "--ignore-submodules=dirty",
            ];
            let done = git.args(status).finish();
            let _nobody_waits =
                sender.send(done.is_ok_and(|done| done.status.success() && !done.stdout.is_empty()));
        });
        Some(Self(receiver))
    }

    fn found(self) -> bool {
        self.0.recv_timeout(Duration::from_millis(20)).unwrap_or(false)
    }
}

/// The zone of the task; with `--create`, made at the one gate where zones are made.
fn place(cx: &Cx, args: &DispatchArgs) -> Result<Place, CmdError> {
    if args.create {
        let Some(address) = &args.zone else {
            let hint = "git khlone act --zone BRANCH --create";
            return Err(CliError::usage("--create needs --zone", hint).into());
        };
        let there = cx.repo.ref_target(&branch_ref(&address.branch));
        if there.map_err(CliError::from)?.is_none() {
            open(&cx.ledger(), &address.branch, args.base.as_deref())?;
        }
    }
    cx.place(args.zone.as_ref())
}

/// A home that is a work tree (dotfiles) is covered in a sandbox, and looking for what changed would read all of it.
fn refuse_home(cx: &Cx) -> Result<(), CliError> {
    let home = home(&cx.paths).canonicalize().unwrap_or_default();
    let tops = [cx.repo.main_work_dir(), cx.repo.work_dir().map(Path::to_owned)];
    let tops = tops
        .into_iter()
        .flatten()
        .filter_map(|top| top.canonicalize().ok());
    let around = tops.into_iter().find(|top| home.starts_with(top));
    let Some(top) = around else { return Ok(()) };
    Err(CliError::refused(
        format!(
            "the work tree of this repository, {}, holds your home folder",
            top.display()
        ),
        format!(
            "git clone {0} {1} && cd {1}    and work there",
            quoted(cx.repo.common_dir()),
            quoted(&home.join("dotfiles"))
        ),
    ))
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

fn new_id() -> Result<TaskId, CliError> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| CliError::Io {
        what: "random numbers".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(TaskId::from_entropy(u64::from_le_bytes(bytes)))
}
