//! The command line: one file a verb, each an args struct and one short function: parse, one call, render.

mod act;
mod attended;
mod audit;
mod boot;
mod cancel;
mod complete;
mod completions;
mod config;
mod confine;
mod cx;
mod daemon;
mod diff;
mod dismiss;
mod dispatch;
mod doctor;
mod error;
mod examples;
mod fsck;
mod gc;
mod help;
mod install;
mod interrupt;
mod land;
mod leash;
mod list;
mod log;
mod man;
mod path;
mod prompt;
mod redact;
mod reply;
mod resume;
mod retry;
mod rollback;
mod runner;
mod schemas;
mod show;
mod sites;
mod status;
mod target;
mod trust;
mod uncommitted;
mod undo;
mod uninstall;
mod update;
mod wait;
mod watch;
mod zone;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

pub use man::{Page, pages};
pub use schemas::schemas;

use cx::Cx;
use error::{CliError, CmdError};

use crate::render::{Out, fit};

/// Dispatch coding agents from the shell: each works in a worktree and on a branch of its own
///
/// `git khlone act "implement auth"` returns at once; a clone works in the background on a branch of its own.
#[derive(Parser, Debug)]
#[command(
    name = "git-khlone",
    bin_name = "git khlone",
    version,
    disable_help_subcommand = true
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 brain, 6 cancelled, \
                          7 timeout, 70 a bug of ours, 130 interrupted";

/// Options that every verb takes.
#[derive(Args, Debug)]
struct Global {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Let a clone change its own worktree, in the background
    Act(act::ActArgs),
    /// Let a clone answer a question; it may change nothing
    Ask(act::AskArgs),
    /// Wait for tasks to end
    Await(wait::AwaitArgs),
    /// Watch what clones do, as they do it
    Watch(watch::WatchArgs),
    /// Show whose the tasks here are, and take over those of a repository that was moved
    Sites(sites::SitesArgs),
    /// Show what needs you and what is under way
    Status(status::StatusArgs),
    /// List tasks, crew, zones, sites or brains
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show a task
    Show(show::ShowArgs),
    /// Show what a task or a clone changed
    Diff(diff::DiffArgs),
    /// Show what happened in a task
    Log(log::LogArgs),
    /// Print all that is recorded of a task, as one JSON document
    Audit(audit::AuditArgs),
    /// Print the path of a clone's worktree
    Path(path::PathArgs),
    /// Rebase a clone's branch onto its zone
    Update(update::UpdateArgs),
    /// Bring a clone's work into its zone's branch
    #[command(visible_alias = "merge")]
    Land(land::LandArgs),
    /// Make, remove, repair or prune zones
    Zone(zone::ZoneArgs),
    /// Bring back what a verb took away
    Undo(undo::UndoArgs),
    /// Answer a task: its clone goes on in the same session
    Reply(reply::ReplyArgs),
    /// Take tasks off the list of what needs you
    Dismiss(dismiss::DismissArgs),
    /// Cancel a task
    Cancel(cancel::CancelArgs),
    /// Go on with a task that died, failed or was cancelled
    Resume(resume::ResumeArgs),
    /// Try a task anew that died, failed or was cancelled
    Retry(retry::RetryArgs),
    /// Take back what a task did
    Rollback(rollback::RollbackArgs),
    /// Delete old tasks and repack
    Gc(gc::GcArgs),
    /// Prove the ledger whole, and name what is not
    Fsck(fsck::FsckArgs),
    /// Take a secret out of a task, for good
    Redact(redact::RedactArgs),
    /// Check this machine and repository
    Doctor(doctor::DoctorArgs),
    /// Trust this repository's khlone.yml
    Trust(trust::TrustArgs),
    /// Show the effective settings
    Config(config::ConfigArgs),
    /// Print or install the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Print or install the manual
    Man(man::ManArgs),
    /// Show how a verb is used
    Help(help::HelpArgs),
    /// Print what could come next on a command line (for completions)
    #[command(hide = true, name = "__complete")]
    Complete(complete::CompleteArgs),
    /// Remove git-khlone from this repository; plain git is left
    Uninstall(uninstall::UninstallArgs),
    /// Start, stop or look at the daemon of this repository
    Daemon(daemon::DaemonArgs),
    /// Become a program that the kernel restricts from within (for the runner)
    #[command(hide = true)]
    Confine(confine::ConfineArgs),
    /// Run one attempt of a task (for the daemon)
    #[command(hide = true)]
    Runner(runner::RunnerArgs),
}

/// The command line as clap sees it: man pages and completions are made from it.
pub fn command() -> clap::Command {
    help::grouped(Cli::command())
}

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(args) = confine::ConfineArgs::given(std::env::args_os()) {
        return confine::run(&args).unwrap_or_else(|error| error.report(Out::new(false)));
    }
    if let Some(args) = leash::LeashArgs::given(std::env::args_os()) {
        return leash::run(&args).unwrap_or_else(|error| error.report(Out::new(false)));
    }
    crate::process::leash::enable();
    crate::process::raise_limit();
    crate::refs::bound_open_packs();
    fit();
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; anything else is a usage error.
            if error.kind() == ErrorKind::DisplayHelp {
                crate::process::obey_settings();
                let text = error.render().ansi().to_string();
                drop(help::show(Out::new(false), Path::new("."), &text));
                return ExitCode::SUCCESS;
            }
            if !error.use_stderr() {
                drop(error.print());
                return ExitCode::SUCCESS;
            }
            if let Some(address) = error::misaddressed(&error) {
                return address.report(Out::new(wants_json(std::env::args_os())));
            }
            let args: Vec<_> = std::env::args_os().collect();
            let out = Out::new(wants_json(args.iter().cloned()));
            return CmdError::from(CliError::misused(&error, &command(), &args)).report(out);
        }
    };
    let out = Out::new(cli.global.json);
    match dispatch(cli, out) {
        Ok(code) => code,
        Err(error) => error.report(out),
    }
}

/// Whether a command line that cannot be read asks for JSON.
fn wants_json(mut args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    args.by_ref()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

/// Where a verb's answer is a text for another program.
fn text_only(out: Out, verb: &str) -> Result<Out, CliError> {
    if out.is_json() {
        let hint = format!("git khlone {verb} --help");
        return Err(CliError::usage(format!("{verb} has no JSON form"), hint));
    }
    Ok(out)
}

fn dispatch(cli: Cli, out: Out) -> Result<ExitCode, CmdError> {
    let dir = cli.global.dir.unwrap_or_else(|| PathBuf::from("."));
    let Some(verb) = cli.verb else {
        crate::process::obey_settings();
        return status::bare(&dir, out);
    };
    let cx = || Cx::open(&dir, out);
    let look = || Cx::look(&dir, out);
    if !matches!(verb, Verb::Daemon(_) | Verb::Confine(_) | Verb::Runner(_)) {
        crate::process::obey_settings();
    }
    match verb {
        Verb::Act(args) => act::act(cx()?, args),
        Verb::Ask(args) => act::ask(cx()?, args),
        Verb::Await(args) => wait::run(&cx()?, &args),
        Verb::Watch(args) => watch::run(&cx()?.at(args.address())?, &args),
        Verb::Status(args) => status::run(&dir, out, &args),
        Verb::List(args) => list::run(&dir, out, &args),
        Verb::Sites(args) => sites::run(&cx()?, &args),
        Verb::Show(args) => show::run(&look()?, &args),
        Verb::Diff(args) => diff::run(&look()?.at(args.zone.as_ref())?, &args),
        Verb::Log(args) => log::run(&look()?, &args),
        Verb::Audit(args) => audit::run(&look()?, &args),
        Verb::Path(args) => path::run(&look()?.at(args.zone.as_ref())?, &args),
        Verb::Update(args) => update::run(&cx()?.at(args.zone.as_ref())?, &args),
        Verb::Land(args) => land::run(&cx()?.at(args.zone.as_ref())?, &args),
        Verb::Zone(args) => zone::run(cx()?, &args),
        Verb::Undo(args) => undo::run(&cx()?, &args),
        Verb::Reply(args) => reply::run(&cx()?, args),
        Verb::Dismiss(args) => dismiss::run(&cx()?, &args),
        Verb::Cancel(args) => cancel::run(&cx()?, &args),
        Verb::Resume(args) => resume::run(&cx()?, &args),
        Verb::Retry(args) => retry::run(&cx()?, &args),
        Verb::Rollback(args) => rollback::run(&cx()?, &args),
        Verb::Gc(args) => gc::run(&cx()?, &args),
        Verb::Fsck(args) => fsck::run(&look()?, &args),
        Verb::Redact(args) => redact::run(&cx()?, &args),
        Verb::Doctor(args) => doctor::run(&dir, out, &command(), &args),
        Verb::Trust(args) => trust::run(&cx()?, &args),
        Verb::Config(args) => config::run(&dir, out, &args),
        Verb::Completions(args) => completions::run(text_only(out, "completions")?, &args),
        Verb::Help(args) => help::run(text_only(out, "help")?, &dir, command(), &args),
        Verb::Man(args) => man::run(text_only(out, "man")?, &command(), &args),
        Verb::Complete(args) => complete::run(out, command(), &args),
        Verb::Uninstall(args) => uninstall::run(&cx()?, args),
        Verb::Daemon(args) => daemon::run(&dir, out, &args),
        Verb::Confine(args) => confine::run(&args),
        Verb::Runner(args) => runner::run(&args),
    }
}
