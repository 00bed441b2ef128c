//! `git khlone daemon`: start, stop, look at, be and talk to the daemon of this site.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use super::{
    attended::{DaemonUse, VARIABLE, leaves_nothing},
    boot,
    cx::repo_at,
    error::{CliError, CmdError, printed},
};
use crate::{
    daemon::{self, Place, RunOptions, Woken},
    process::machine_id,
    query,
    refs::Site,
    render::{
        DaemonView, Out,
        view::{LogLines, StartedView, StoppedView},
    },
};

/// Start, stop or look at the daemon of this repository
#[derive(Args, Debug)]
pub(super) struct DaemonArgs {
    #[command(subcommand)]
    verb: DaemonVerb,
}

#[derive(Subcommand, Debug)]
enum DaemonVerb {
    /// Start the daemon, if there is none
    Start {
        /// In every repository of this machine that has open tasks
        #[arg(long)]
        all: bool,
    },
    /// Stop the daemon; attempts under way go on by themselves
    Stop,
    /// Show what the daemon does
    Status,
    /// Show the end of the daemon's log
    Logs {
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 50, value_name = "LINES")]
        lines: usize,
    },
    /// Go on with open tasks when you log in, by a unit of your systemd
    ///
    /// After the machine was started anew nothing runs by itself: a task goes on with the next command in its
    /// repository that needs a daemon. The unit runs `git khlone daemon start --all` when your session begins, and with
    /// `loginctl enable-linger` when the machine does.
    Install,
    /// Remove that unit
    Uninstall,
    /// Be the daemon, in the foreground
    Run(RunArgs),
    /// Talk JSON-RPC to the daemon over stdin and stdout, as over ssh
    Rpc,
}

/// Be the daemon
#[derive(Args, Debug)]
struct RunArgs {
    /// The repository's common git folder, else the one around the current folder
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// Take the site's lock over from stdin and tell stdout when ready
    #[arg(long, hide = true, requires = "site")]
    handed: bool,
    /// Leave with the last command that uses it, and end first what it has started
    #[arg(long, hide = true, requires = "handed")]
    attended: bool,
    /// Leave after so many seconds without work
    #[arg(long, env = "KHLONE_IDLE", value_name = "SECONDS")]
    idle: Option<f64>,
}

/// Does what is asked of the daemon of the repository around `dir`.
pub(super) fn run(dir: &Path, out: Out, args: &DaemonArgs) -> Result<ExitCode, CmdError> {
    match &args.verb {
        DaemonVerb::Start { .. } if leaves_nothing()? => {
            return Err(CliError::refused(
                format!("no daemon may stay here ({VARIABLE}=never)"),
                format!("env -u {VARIABLE} git khlone daemon start"),
            )
            .into());
        }
        DaemonVerb::Start { all: true } => boot::start_all(out)?,
        DaemonVerb::Start { all: false } => start(&place(dir)?, out)?,
        DaemonVerb::Install => boot::install(out)?,
        DaemonVerb::Uninstall => boot::uninstall(out)?,
        DaemonVerb::Stop => {
            let stopped = daemon::stop(&place(dir)?)?;
            printed(out.answer(&StoppedView { stopped }))?;
            out.done(if stopped {
                "daemon stopped"
            } else {
                "no daemon was running"
            });
        }
        DaemonVerb::Status => printed(out.answer(&DaemonView(daemon::status(&place(dir)?)?)))?,
        DaemonVerb::Logs { lines } => {
            let path = place(dir)?.log_path();
            let text = daemon::tail(&path, *lines);
            let text = text.map_err(|source| CliError::Io {
                what: path.display().to_string(),
                source,
            })?;
            let lines = text.lines().map(str::to_owned).collect();
            printed(out.answer(&LogLines { lines }))?;
        }
        DaemonVerb::Run(args) => be(dir, args)?,
        DaemonVerb::Rpc => {
            let daemon = DaemonUse::of(place(dir)?.common(), out)?;
            daemon::bridge(&daemon.place()?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start(place: &Place, out: Out) -> Result<(), CmdError> {
    let woken = daemon::wake(place)?;
    let (Woken::Running { pid } | Woken::Started { pid }) = woken;
    let already_running = matches!(woken, Woken::Running { .. });
    printed(out.answer(&StartedView { pid, already_running }))?;
    match woken {
        Woken::Running { pid } => out.done(&format!("a daemon runs already, pid {pid}")),
        Woken::Started { pid } => out.done(&format!("daemon started, pid {pid}")),
    }
    Ok(())
}

fn be(dir: &Path, args: &RunArgs) -> Result<(), CmdError> {
    let place = match &args.site {
        Some(site) => Place::new(site)?,
        None => place(dir)?,
    };
    let idle = args.idle.map(std::time::Duration::try_from_secs_f64).transpose();
    let idle = idle.map_err(|error| CliError::usage(format!("--idle: {error}"), "--idle 1800"))?;
    let options = RunOptions {
        handed: args.handed,
        attended: args.attended,
        idle,
        answers: query::serve,
        foreground: !args.handed,
    };
    Ok(daemon::run(&place, &options)?)
}

fn place(dir: &Path) -> Result<Place, CmdError> {
    let repo = repo_at(dir)?;
    // Opening the site makes its folder and checks whose it is.
    let site = Site::open(&repo, &machine_id())?;
    Ok(Place::new(site.common_dir())?)
}
