//! The sandbox of one process tree: bubblewrap on tier T2, nothing but the same environment and folder on T0.
//!
//! Promised on T2: nothing outside `writable`, the work tree (of an act) and the private git folder can be written;
//! HOME, other homes, temp and run folders with their sockets are covered but for what is named; no process
//! outlives the sandbox's init, which dies with us; no capability is held, also not by root; with
//! [`Network::None`] there is a loopback of its own and nothing else.
//!
//! Without a network, and for an ask, the machine's unix sockets are covered as well ([`super::sandbox::sockets`]). With an open
//! network its abstract sockets are closed by the kernel where it can ([`super::sandbox::confine`]).
//!
//! Not promised: reading what every user of the machine can read; with an open network, what listens on loopback. Root without capabilities still owns root's files, so it reads what root may read.

pub mod caches;
pub mod confine;
pub mod environment;
mod homes;
mod mounts;
pub mod proxy;
pub mod relay;
pub mod running;
mod sockets;
pub mod survivors;
pub mod tier;
mod tool_settings;

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Seek},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::io::FdFlags;

use super::gitdir::alternates::object_folders;
use crate::{
    process::{self, Cmd, Finished, ProcessError},
    task::explain,
};
use mounts::Mounts;
use running::{Running, has_started};
use survivors::MARK;

/// What a process tree can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// What the machine reaches.
    Open,
    /// A loopback of its own.
    None,
    /// The same, with a port that leads to the proxy behind this socket.
    Proxy(PathBuf),
}

/// How a clone's git looks from inside.
#[derive(Debug, Clone)]
pub struct GitView {
    /// The private git folder.
    pub private: PathBuf,
    /// The file that stands in for the work tree's `.git` file and names the private git folder.
    pub dot_git: PathBuf,
    /// The repository's own git folder, of which only objects and submodules are shown.
    pub common: PathBuf,
}

/// All that a process tree may see and change.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// The bubblewrap to use; `None` is tier T0.
    pub bwrap: Option<PathBuf>,
    /// The clone's work tree.
    pub work_dir: PathBuf,
    /// The folder in it where the process starts, where it is one; else at its top.
    pub folder: Option<String>,
    /// Whether the work tree and the private git folder can be written: true for an act.
    pub writes: bool,
    /// The clone's git, where it has one of its own.
    pub git: Option<GitView>,
    /// The user's home, covered but for toolchains and what is named below.
    pub home: PathBuf,
    /// A folder to use as `/tmp`; without one it is in memory.
    pub tmp: Option<PathBuf>,
    /// Further paths that can be written: sessions and credentials of the brain, tool caches, what the user names.
    pub writable: Vec<PathBuf>,
    /// Paths that can be read although they lie in a covered place: settings, the brain's program.
    pub read_only: Vec<PathBuf>,
    /// Paths that are covered besides the usual ones: khlone's own folders, the folder of the socket.
    pub hidden: Vec<PathBuf>,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// What the process can reach.
    pub network: Network,
    /// What a login shell reads as the user's own profile. Several brains run their commands in one, and `/etc/profile`
    /// has just forgotten the `PATH` then.
    pub profile: Option<PathBuf>,
    /// This program, where it can be run: it closes the abstract sockets of an open network from within.
    pub own_program: Option<PathBuf>,
}

/// The standard streams of a start, and the lock that lives as long as what was started.
#[derive(Debug)]
pub struct Streams<'a> {
    /// Its stdin.
    pub stdin: Stdio,
    /// Its stdout.
    pub stdout: Stdio,
    /// Its stderr.
    pub stderr: Stdio,
    /// An open file that every process of the sandbox's lifetime keeps open: the attempt's lock.
    pub lock: Option<BorrowedFd<'a>>,
}

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A pipe or its flags failed.
    #[error("cannot prepare the sandbox: {0}")]
    Prepare(#[from] std::io::Error),
    /// The program could not be started.
    #[error(transparent)]
    Spawn(#[from] ProcessError),
}

explain!(SandboxError: Failed, "git khlone doctor");

/// Namespaces and rights. The user namespace is there for root too: real root with real capabilities could undo
/// every mount.
const SHAPE: [&str; 9] = [
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
];

/// How often a sandbox is set up before its failing is believed. It covers folders of other programs, which come and go
/// between the look at them and the mount.
const SETUPS: u32 = 5;

/// Calls `run` again while it tells that its sandbox could not be set up, so that nothing of it has run.
///
/// # Errors
/// As `run`.
pub fn set_up<T, E>(mut run: impl FnMut() -> Result<(T, bool), E>) -> Result<T, E> {
    for _ in 1..SETUPS {
        let (done, has_started) = run()?;
        if has_started {
            return Ok(done);
        }
    }
    run().map(|(done, _)| done)
}

/// Kernel switches in `/proc` that root's user id may turn without any capability. bubblewrap looks at the folder's
/// own mode and leaves `sys` open.
const SWITCHES: [&str; 10] = [
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "scsi",
    "mtrr",
    "dynamic_debug",
    "pressure",
];

impl Confinement {
    /// Runs `argv` confined to its end, for no longer than `patience`.
    ///
    /// # Errors
    /// [`ProcessError`] if it could not be started or overstays.
    pub fn run(&self, argv: &[OsString], patience: Duration) -> Result<Finished, ProcessError> {
        if self.bwrap.is_none() {
            return self.command_with(argv, &[]).patience(patience).finish();
        }
        let failed = |source| ProcessError::Spawn {
            program: "bwrap".to_owned(),
            source,
        };
        set_up(|| {
            let mut status = process::temp::file().map_err(failed)?;
            pass_on(&status, true).map_err(failed)?;
            let cmd = self.command_with(argv, &["--json-status-fd".into(), raw(&status)]);
            let done = cmd.patience(patience).finish()?;
            let mut told = Vec::new();
            let read = status.rewind().and_then(|()| status.read_to_end(&mut told));
            read.map_err(failed)?;
            let has_started = has_started((done.status, &done.stderr), &told);
            Ok((done, has_started))
        })
    }

    /// Starts `argv` confined. Whether the sandbox could be set up is known at the end, see [`Running::has_started`].
    ///
    /// The parent-death signal is bound to the calling thread: call this from a thread that lives as long as the
    /// sandbox shall.
    ///
    /// # Errors
    /// [`SandboxError`] if nothing was started.
    pub fn start(&self, argv: &[OsString], streams: Streams<'_>) -> Result<Running, SandboxError> {
        let mut extra = Vec::new();
        let mut info = None;
        if self.bwrap.is_some() {
            let (reader, writer) = std::io::pipe()?;
            pass_on(&writer, true)?;
            extra.extend(["--json-status-fd".into(), raw(&writer)]);
            if let Some(lock) = streams.lock {
                extra.extend(["--sync-fd".into(), raw(lock)]);
            }
            info = Some((reader, writer));
        }
        let cmd = self.command_with(argv, &extra);
        let program = cmd.argv().first().cloned().unwrap_or_default();
        let mut command = cmd.into_inner();
        command
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr);
        if let Some(lock) = streams.lock {
            pass_on(lock, true)?;
        }
        let spawned = process::spawn(&mut command);
        if let Some(lock) = streams.lock {
            pass_on(lock, false)?;
        }
        let child = spawned.map_err(|source| ProcessError::Spawn { program, source })?;
        Ok(Running::new(child, info.map(|(reader, _)| reader), self.mark()))
    }

    /// What tells the processes of a task on T0, where no namespace does.
    fn mark(&self) -> Option<(String, String)> {
        let mark = self.env.iter().find(|(name, _)| name == MARK);
        let value = mark.filter(|_| self.bwrap.is_none())?.1.to_str()?;
        Some((MARK.to_owned(), value.to_owned()))
    }

    /// The same view for a git command of ours: no network, nothing writable besides the work tree and the private
    /// git folder (if `writes`), and of the environment only what finds programs.
    pub(super) fn for_git(&self, writes: bool) -> Self {
        let needed = ["PATH", "HOME", "LANG"];
        let named = |name: &OsString| {
            let name = name.to_str().unwrap_or_default();
            needed.contains(&name) || homes::TOOLCHAIN_VARIABLES.contains(&name)
        };
        let mut env: Vec<_> = self.env.iter().filter(|(name, _)| named(name)).cloned().collect();
        for (name, value) in [
            ("LC_ALL", "C.UTF-8"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ] {
            env.push((name.into(), value.into()));
        }
        Self {
            writes,
            writable: Vec::new(),
            network: Network::None,
            folder: None,
            env,
            ..self.clone()
        }
    }

    fn command_with(&self, argv: &[OsString], extra: &[OsString]) -> Cmd {
        let Some(bwrap) = &self.bwrap else {
            let mut words = argv.iter();
            return Cmd::new(words.next().map_or(OsStr::new("true"), OsString::as_os_str))
                .args(words)
                .dir(self.start_dir())
                .only_env(self.env.iter().cloned());
        };
        let mut cmd = Cmd::new(bwrap).args(SHAPE).args(extra);
        if self.network != Network::Open {
            cmd = cmd.arg("--unshare-net");
        }
        cmd = cmd.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
        for switch in SWITCHES {
            let path = Path::new("/proc").join(switch);
            if path.exists() {
                cmd = cmd.arg("--ro-bind").arg(&path).arg(&path);
            }
        }
        cmd = cmd
            .args(self.mounts(argv).into_args())
            .arg("--chdir")
            .arg(self.start_dir())
            .arg("--");
        // A network of its own has abstract sockets of its own.
        if let Some(own) = &self.own_program {
            cmd = match self.network {
                Network::Open => cmd.arg(own).args(["confine", "--"]),
                Network::Proxy(_) => cmd.arg(own).args(["confine", "--relay", "--"]),
                Network::None => cmd,
            };
        }
        cmd.args(argv).only_env(self.env.iter().cloned())
    }

    /// Where the process starts: never outside of the work tree, wherever a link leads.
    fn start_dir(&self) -> PathBuf {
        let within = || {
            let top = self.work_dir.canonicalize().ok()?;
            let start = self.work_dir.join(self.folder.as_ref()?);
            let real = start.canonicalize().ok()?;
            (real.is_dir() && real.starts_with(top)).then_some(start)
        };
        within().unwrap_or_else(|| self.work_dir.clone())
    }

    /// The main checkout and the folder of the clones' worktrees.
    fn neighbours(&self) -> impl Iterator<Item = &Path> {
        let common = self.git.as_ref().map(|git| git.common.as_path());
        let main = common.filter(|common| common.file_name() == Some(OsStr::new(".git")));
        [main.and_then(Path::parent), self.work_dir.parent()]
            .into_iter()
            .flatten()
    }

    fn mounts(&self, argv: &[OsString]) -> Mounts {
        let mut mounts = Mounts::default();
        homes::cover(&mut mounts, &self.home);
        for place in ["/tmp", "/var/tmp"] {
            match &self.tmp {
                Some(tmp) => mounts.place(tmp, Path::new(place), true),
                None => mounts.hide(Path::new(place)),
            }
        }
        for path in &self.hidden {
            mounts.seal(path);
        }
        // Where they lie in a covered place, whoever writes there is told so; elsewhere all is read-only anyway.
        for path in self.neighbours() {
            if mounts.covers(path) && !mounts.has(path) {
                mounts.seal(path);
            }
        }
        homes::uncover(&mut mounts, &self.home, &self.env, argv.first());
        for path in self.read_only.iter().chain(&self.own_program) {
            mounts.read_only(path);
        }
        for path in &self.writable {
            mounts.writable(path);
        }
        for name in [".profile", ".zprofile"] {
            if let Some(profile) = &self.profile {
                mounts.place(profile, &self.home.join(name), false);
            }
        }
        mounts.place(&self.work_dir, &self.work_dir, self.writes);
        if let Some(git) = &self.git {
            // Of the repository only what git needs to read: its config may hold tokens.
            mounts.seal(&git.common);
            for shown in ["objects", "modules", "lfs"] {
                mounts.read_only(&git.common.join(shown));
            }
            // Wherever what it borrows is; one that cannot be read was refused before.
            for lender in object_folders(&git.common).unwrap_or_default() {
                mounts.read_only(&lender);
            }
            mounts.place(&git.private, &git.private, self.writes);
            mounts.place(&git.dot_git, &self.work_dir.join(".git"), false);
        }
        if let Network::Proxy(socket) = &self.network {
            mounts.place(socket, Path::new(relay::SOCKET), false);
        }
        // Whoever has an open network reaches what listens on loopback as well.
        if self.network != Network::Open || !self.writes {
            sockets::cover(&mut mounts, &self.needed(argv));
        }
        mounts
    }

    /// What must stay to be seen although no mount shows it: where the repository and its objects stand, and programs.
    fn needed(&self, argv: &[OsString]) -> Vec<PathBuf> {
        let mut needed = vec![self.work_dir.clone(), self.home.clone()];
        if let Some(git) = &self.git {
            needed.push(git.common.clone());
            needed.extend(object_folders(&git.common).unwrap_or_default());
        }
        needed.extend(self.neighbours().map(Path::to_owned));
        needed.extend(homes::programs(&self.env, argv.first()));
        let real = needed.iter().filter_map(|path| path.canonicalize().ok());
        real.filter(|path| path.components().count() > 1).collect()
    }
}

/// Lets a descriptor through to the next child, or not.
fn pass_on(fd: impl std::os::fd::AsFd, pass: bool) -> std::io::Result<()> {
    let flags = if pass { FdFlags::empty() } else { FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(fd, flags)?)
}

fn raw(fd: impl std::os::fd::AsFd) -> OsString {
    use std::os::fd::AsRawFd;
    fd.as_fd().as_raw_fd().to_string().into()
}
