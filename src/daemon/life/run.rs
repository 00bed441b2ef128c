//! The daemon's own life: from the lock to the last look before it leaves.
//!
//! Leaving is the delicate part. A caller writes the ledger first and connects after; so the daemon first takes
//! its socket away, then looks at the ledger once more: whoever reached it is seen, whoever did not finds nobody
//! and starts the next one.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{self, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    panic,
    path::Path,
    process,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::LocalSet,
};

use super::{lock::DaemonLock, log::Log, upkeep::Upkeep};
use crate::{
    config::{Config, Paths},
    daemon::{
        DaemonError, Place, RpcError,
        client::start::{READY, START},
        schedule::{
            engine::Engine,
            keeper::Keeper,
            ledger_store::LedgerStore,
            machine::Machine,
            notices::Notices,
            providers::Rates,
            ref_watch::RefWatch,
            runners::{Launcher, Runners},
            settings::Limits,
        },
        server::{
            self,
            reading::{Answers, Reading},
        },
        shared::{Shared, Table},
    },
    refs::now,
    task::Class,
};

/// How a daemon is to run.
#[derive(Debug)]
pub struct RunOptions {
    /// Whether its starter handed it the lock as stdin and waits on its stdout.
    pub handed: bool,
    /// How long it stays without work, where that is not the default.
    pub idle: Option<Duration>,
    /// Whether it leaves with the last command that uses it, and ends before what it has started.
    pub attended: bool,
    /// What answers questions about the site.
    pub answers: Answers,
    /// Whether its log goes to stderr instead of its file: for people who watch it.
    pub foreground: bool,
}

/// Is the daemon of the site at `place`, until it is told to stop or has been idle for long enough.
///
/// # Errors
/// [`DaemonError::Running`] if there is one, else what keeps it from coming up.
pub fn run(place: &Place, options: &RunOptions) -> Result<(), DaemonError> {
    if options.handed {
        // Refused for the leader of a group, who has been started from a terminal on purpose.
        let _in_a_session_of_its_own = rustix::process::setsid();
    }
    let lock = Rc::new(take_lock(place, options.handed)?);
    open_log(place, options)?;
    end_with_any_thread();
    // libgit2 keeps all that it has parsed, up to 256 MB, for as long as a repository is open: here that is all day, and
    // each object is looked at once.
    git2::opts::enable_caching(false);
    let paths = Paths::from_env(|name| std::env::var_os(name)).map_err(|error| RpcError::of(&error))?;
    let machine = Machine::new(&paths.khlone_home);
    if let Err(error) = &machine {
        tracing::warn!(%error, "limits are not shared with other sites");
    }
    let common = place.common().to_owned();
    let notices = Notices::start(place, paths.config.clone());
    let keeper = Keeper::start(move || {
        let store = LedgerStore::open(&common, &paths).map_err(|error| DaemonError::Rpc(error.into()))?;
        Ok(Box::new(store) as _)
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| DaemonError::io(place.common(), source))?;
    let done = LocalSet::new().block_on(
        &runtime,
        live(
            place,
            options,
            (keeper, notices),
            (machine.ok(), Rc::clone(&lock)),
        ),
    );
    if let Err(error) = &done {
        tracing::error!(%error, "the daemon breaks off");
    }
    // Runners are left to themselves; the lock goes last.
    runtime.shutdown_background();
    drop(lock);
    done
}

fn take_lock(place: &Place, handed: bool) -> Result<DaemonLock, DaemonError> {
    let path = place.lock_path();
    let lock = if handed {
        DaemonLock::from_stdin(&path)
    } else {
        DaemonLock::try_take(&path)
    };
    let running = || {
        place
            .record()
            .ok()
            .flatten()
            .map_or(0, |record| record.process.pid)
    };
    lock.map_err(|source| DaemonError::io(&path, source))?
        .ok_or_else(|| DaemonError::Running { pid: running() })
}

fn open_log(place: &Place, options: &RunOptions) -> Result<(), DaemonError> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KHLONE_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false);
    // A subscriber that is there already is the caller's wish.
    if options.foreground {
        drop(builder.with_writer(io::stderr).try_init());
        return Ok(());
    }
    let path = place.log_path();
    let log = Log::new(&path).map_err(|source| DaemonError::io(&path, source))?;
    log.take_stderr()
        .map_err(|source| DaemonError::io(&path, source))?;
    drop(builder.with_writer(log).try_init());
    Ok(())
}

async fn live(
    place: &Place,
    options: &RunOptions,
    (keeper, notices): (Keeper, Notices),
    (machine, lock): (Option<Machine>, Rc<DaemonLock>),
) -> Result<(), DaemonError> {
    let socket = place.socket_path()?;
    let mut listener = bind(&socket)?;
    let record = place.write_record(socket.clone())?;
    tracing::info!(pid = record.process.pid, version = %record.version, "listening");
    if options.handed {
        say_ready();
    }
    let shared = Rc::new(Shared {
        record,
        keeper,
        table: watch::Sender::new(Arc::new(Table::default())),
        seen: watch::Sender::new(None),
        reading: Reading::new(options.answers, place.common()),
        wake: Notify::new(),
        stopping: watch::Sender::new(false),
        connections: Cell::new(0),
        attendants: options.attended.then(Cell::default),
        active: Cell::new(tokio::time::Instant::now()),
        requests: Cell::new(0),
        attempts: place.attempts(),
        limits: Cell::new(Limits::of(&Config::default())),
        watchers: RefCell::default(),
        started: tokio::time::Instant::now(),
        troubles: RefCell::default(),
    });
    stop_on_signals(&shared)?;
    if options.attended {
        stop_unless_attended(&shared);
    }
    let program =
        std::env::current_exe().map_err(|source| DaemonError::io("/proc/self/exe".as_ref(), source))?;
    let (runners, ended) = Runners::new(Launcher {
        program,
        common: place.common().to_owned(),
        machine: machine.clone(),
    });
    let mut engine = Engine {
        shared: Rc::clone(&shared),
        runners,
        ended,
        refs: RefWatch::new(place.common()),
        machine,
        idle: options.idle,
        notices,
        crowded: false,
        place: place.clone(),
        lock: Some(lock),
        exits: Vec::new(),
        upkeep: Upkeep::new(place.common()),
        beaten: None,
        retained: None,
        retaining: 0,
        rates: Rates::new(),
        clock: now,
    };
    loop {
        tokio::select! {
            () = engine.run() => {}
            () = server::serve(&listener, &shared) => {}
        }
        if place.is_gone() {
            // The log went with it, and so did record and lock: where it stands now, the next command starts a daemon.
            settle(&shared).await;
            engine.notices.close();
            let _gone_already = fs::remove_file(&socket);
            return Ok(());
        }
        if engine.is_ousted() {
            tracing::warn!("the lock or the socket was taken away; the next daemon has the site");
            settle(&shared).await;
            engine.notices.close();
            // Socket and record are the other one's.
            return Ok(());
        }
        let _gone_already = fs::remove_file(&socket);
        if shared.is_stopping() || !engine.last_look().await {
            break;
        }
        shared.touch();
        listener = bind(&socket)?;
    }
    drop(listener);
    if options.attended {
        engine.end_attempts().await;
    }
    settle(&shared).await;
    engine.notices.close();
    // Without a record nobody takes the daemon for one that died.
    let _gone_already = fs::remove_file(place.record_path());
    tracing::info!("left");
    Ok(())
}

/// Has a panic of any thread but the first end the process: one without its ledger, say, would answer callers and do
/// nothing, and the next one, which is started with the next act, knows all that this one does. The first thread
/// unwinds to its end anyway; of its panics, those of a single connection are that connection's.
fn end_with_any_thread() {
    let tell = panic::take_hook();
    let first = thread::current().id();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if thread::current().id() != first {
            tracing::error!("a thread of the daemon is dead, and with it the daemon");
            process::exit(i32::from(Class::Bug.exit_code()));
        }
    }));
}

/// Lets connections hear that this is the end.
async fn settle(shared: &Shared) {
    shared.stop();
    for _ in 0..50 {
        if shared.connections.get() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Binds the socket, in a folder that is its user's alone. Only under the lock: what stands at the path is a dead
/// daemon's.
fn bind(path: &Path) -> Result<UnixListener, DaemonError> {
    let io = |source| DaemonError::io(path, source);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let listener = StdListener::bind(path).map_err(io)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    UnixListener::from_std(listener).map_err(io)
}

/// Tells the starter, and lets go of its pipe.
fn say_ready() {
    let mut stdout = io::stdout();
    // The starter may have died meanwhile; the daemon is needed all the same.
    drop(stdout.write_all(READY).and_then(|()| stdout.flush()));
    if let Ok(null) = fs::OpenOptions::new().write(true).open("/dev/null") {
        let _kept_open = rustix::stdio::dup2_stdout(null);
    }
}

/// Its starter may have died before it said that it uses it.
fn stop_unless_attended(shared: &Rc<Shared>) {
    let shared = Rc::clone(shared);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(START).await;
        if !shared.is_attended() {
            tracing::info!("nobody uses it, leaving");
            shared.stop();
        }
    });
}

fn stop_on_signals(shared: &Rc<Shared>) -> Result<(), DaemonError> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(|source| DaemonError::io("signals".as_ref(), source))?;
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move {
            signals.recv().await;
            tracing::info!("told to stop; attempts go on under their runners");
            shared.stop();
        });
    }
    Ok(())
}
