//! What protection this machine can give, found out once and remembered until something that decides it changes.
//!
//! The probe runs a real command in the full shape that brains run in, so that a tier is never promised on the
//! strength of a version number. Only success is remembered: a failure is looked at anew each time, since what
//! blocks namespaces (a profile, a sysctl, a container's rules) can change without leaving a trace.
//!
//! There is no sandbox only where bubblewrap is absent or namespaces are blocked. A trial that was killed, took too
//! long, or lacked space, a folder or a process says nothing about the machine: what wants a sandbox is refused then, or
//! waits, and never runs without one.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use bstr::ByteSlice;

use super::{Confinement, GitView};
use crate::{
    config::{Network, Sandbox},
    process::{exit_word, is_shortage, temp, was_killed},
    task::{Protection, explain},
    worktree::effects::path_bytes,
};

/// How long a trial may take: the first after a boot, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a brain is kept in its worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// bubblewrap, a pid namespace and a private git folder.
    T2,
    /// Nothing is prevented; everything is watched.
    T0,
}

impl Tier {
    /// The word for it, as in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::T2 => "T2",
            Self::T0 => "T0",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the machine can give, and why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The bubblewrap that works here; without one there is only T0.
    pub bwrap: Option<PathBuf>,
    /// The trial came to no verdict: without a sandbox now, and perhaps with one in a moment.
    pub is_passing: bool,
    /// Why there is no T2, or what weakens it.
    pub reasons: Vec<String>,
}

/// Protection that was required and cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum NoSandbox {
    /// This machine has none.
    #[error("{wanted} needs the sandbox, which does not work here: {reason}")]
    Required {
        /// Why it does not work.
        reason: String,
        /// The setting that needs it.
        wanted: &'static str,
    },
    /// It did not work just now, which says nothing of the next moment.
    #[error("the sandbox does not work now: {0}")]
    Now(String),
}

explain! {
    NoSandbox {
        Refused {
            Required => "git khlone doctor",
            Now => "git khlone doctor    # or the same again later",
        }
    }
}

impl Probe {
    /// Looks at this machine; `cache` is a folder of ours that brains never see.
    pub fn run(cache: &Path) -> Self {
        Self::of(find_bwrap(), cache)
    }

    /// The same for a task: the bubblewrap that it was dispatched with comes before the one in `PATH`, which may be
    /// another's `PATH`.
    pub fn again(told: Option<&Protection>, cache: &Path) -> Self {
        let told = told.and_then(|told| told.bwrap.as_deref());
        let told = told.map(|file| path_bytes(file).to_path_lossy().into_owned());
        let told = told.filter(|file| is_program(file));
        Self::of(told.or_else(find_bwrap), cache)
    }

    fn of(bwrap: Option<PathBuf>, cache: &Path) -> Self {
        let mut reasons = Vec::new();
        if rustix::process::geteuid().is_root() {
            reasons.push("running as root: a brain reads whatever root may read".to_owned());
        }
        let found = |bwrap, is_passing, reasons| Self {
            bwrap,
            is_passing,
            reasons,
        };
        let Some(bwrap) = bwrap else {
            reasons.insert(0, "bubblewrap (bwrap) is not installed".to_owned());
            return found(None, false, reasons);
        };
        let stamp = stamp(&bwrap);
        let remembered = cache.join("sandbox-works");
        if stamp.is_some() && std::fs::read_to_string(&remembered).ok() == stamp {
            return found(Some(bwrap), false, reasons);
        }
        match trial(&bwrap) {
            Ok(()) => {
                if let Some(stamp) = stamp {
                    let kept =
                        std::fs::create_dir_all(cache).and_then(|()| std::fs::write(&remembered, stamp));
                    if let Err(error) = kept {
                        tracing::debug!(%error, "the probe is not remembered");
                    }
                }
                found(Some(bwrap), false, reasons)
            }
            Err(failure) => {
                let is_passing = matches!(failure, Failure::Passing(_));
                let (Failure::Blocked(reason) | Failure::Passing(reason)) = failure;
                reasons.insert(0, reason);
                found(None, is_passing, reasons)
            }
        }
    }

    /// The best tier.
    pub fn tier(&self) -> Tier {
        if self.bwrap.is_some() { Tier::T2 } else { Tier::T0 }
    }

    /// The bubblewrap to use as configured; `None` is T0. Without a sandbox nobody can be kept from the network.
    ///
    /// # Errors
    /// [`NoSandbox`] where it is required, or `network: none` is, and it does not work or is off; and where nobody can
    /// tell whether it works.
    pub fn choose(&self, wanted: Sandbox, network: &Network) -> Result<Option<&Path>, NoSandbox> {
        let no_network = *network != Network::Open;
        let refused = |reason: Option<String>| NoSandbox::Required {
            reason: reason.unwrap_or_default(),
            wanted: match network {
                Network::Open => "`sandbox: require`",
                Network::None => "`network: none`",
                Network::Allow(_) => "`network: allow`",
            },
        };
        match (wanted, self.bwrap.as_deref()) {
            (Sandbox::Off, _) if no_network => Err(refused(Some("it is off".to_owned()))),
            (Sandbox::Off, _) => Ok(None),
            (Sandbox::Auto | Sandbox::Require, Some(bwrap)) => Ok(Some(bwrap)),
            (Sandbox::Auto | Sandbox::Require, None) if self.is_passing => Err(NoSandbox::Now(self.reason())),
            (Sandbox::Auto, None) if !no_network => Ok(None),
            (Sandbox::Auto | Sandbox::Require, None) => Err(refused(Some(self.reason()))),
        }
    }

    /// The bubblewrap for a task that was `told` its protection: at least that. What ran without a sandbox by its order
    /// gets one where there is one by now.
    ///
    /// # Errors
    /// [`NoSandbox`]: as [`Probe::choose`] where nothing was told, and where less than that could be given.
    pub fn keep(
        &self,
        told: Option<&Protection>,
        (wanted, network): (Sandbox, &Network),
    ) -> Result<Option<&Path>, NoSandbox> {
        match (told, self.bwrap.as_deref()) {
            (Some(told), None) if told.tier != Tier::T0.as_str() => Err(NoSandbox::Now(self.reason())),
            (Some(told), None) if told.tier == Tier::T0.as_str() && *network == Network::Open => Ok(None),
            _ => self.choose(wanted, network),
        }
    }

    /// Why there is no sandbox.
    pub fn reason(&self) -> String {
        self.reasons.first().cloned().unwrap_or_default()
    }
}

fn find_bwrap() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("bwrap"));
    found.find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_absolute() && file.is_file()
}

/// All that decides whether the sandbox works and can be read without trying.
fn stamp(bwrap: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let file = bwrap.metadata().ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let switches = [
        "user/max_user_namespaces",
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
    ]
    .map(|name| std::fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default());
    Some(format!(
        "1 {} {} {}.{} {} {} {}",
        env!("CARGO_PKG_VERSION"),
        bwrap.display(),
        file.mtime(),
        file.mtime_nsec(),
        rustix::process::geteuid().as_raw(),
        boot.trim(),
        switches.map(|switch| switch.trim().to_owned()).join(","),
    ))
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// The machine lets nobody have a sandbox.
    Blocked(String),
    /// It may go better the next time.
    Passing(String),
}

/// Runs a real command in the shape that brains run in and lets it look around.
fn trial(bwrap: &Path) -> Result<(), Failure> {
    let no_room = |error: std::io::Error| Failure::Passing(format!("no room for a trial: {error}"));
    let room = temp::dir().map_err(no_room)?;
    let folder = |name: &str| {
        let path = room.path().join(name);
        std::fs::create_dir_all(&path).map(|()| path).map_err(no_room)
    };
    let (work_dir, private, common, home) = (
        folder("tree")?,
        folder("git/khlone/p")?,
        folder("git")?,
        folder("home")?,
    );
    let dot_git = room.path().join("dot-git");
    for file in [&dot_git, &work_dir.join(".git")] {
        std::fs::write(file, "gitdir: /\n").map_err(no_room)?;
    }
    let env = std::env::var_os("PATH").map(|path| ("PATH".into(), path));
    let confinement = Confinement {
        bwrap: Some(bwrap.to_owned()),
        work_dir,
        folder: None,
        writes: true,
        git: Some(GitView {
            private,
            dot_git,
            common: common.clone(),
        }),
        home,
        tmp: None,
        writable: Vec::new(),
        read_only: Vec::new(),
        hidden: Vec::new(),
        env: env.into_iter().collect(),
        network: super::Network::Open,
        profile: None,
        own_program: None,
    };
    // Writes where it may, cannot where it may not, and sees only itself.
    let script = "touch here && ! touch .git 2>/dev/null && ! test -w /proc/sys/kernel/core_pattern \
         && ! test -w / && test -c /dev/null && test $$ = 2";
    let argv = ["sh", "-c", script].map(Into::into);
    let finished = confinement.run(&argv, PATIENCE);
    let finished = finished.map_err(|error| Failure::Passing(error.to_string()))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(judge(
        finished.status,
        &String::from_utf8_lossy(&finished.stderr),
        has_switched_off(),
    ))
}

/// What a trial's end says of the machine. `switched_off`: the kernel grants no namespaces of some kind.
fn judge(status: ExitStatus, said: &str, switched_off: bool) -> Failure {
    let line = said.trim().lines().last().unwrap_or_default();
    if was_killed(status) {
        return Failure::Passing(format!("a trial was killed ({})", exit_word(status)));
    }
    if line.is_empty() {
        return Failure::Passing("the sandbox let a trial write where it must not".to_owned());
    }
    let blocked = [
        "namespace",
        "uid map",
        "Operation not permitted",
        "Permission denied",
    ];
    // Too many namespaces are a shortage, and none at all are not.
    let is_short = is_shortage(line) || line.contains("ENOSPC");
    let is_blocked = line.starts_with("bwrap: ") && blocked.iter().any(|word| line.contains(word));
    if !is_blocked || is_short && !switched_off {
        return Failure::Passing(line.to_owned());
    }
    let cause = if Path::new("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists() {
        "AppArmor restricts user namespaces here"
    } else {
        "user namespaces are blocked here, as in many containers"
    };
    Failure::Blocked(format!("{cause} ({line})"))
}

/// Whether a limit of the kernel's is no namespaces at all.
fn has_switched_off() -> bool {
    ["user", "pid", "mnt", "ipc", "uts", "net"].iter().any(|kind| {
        let limit = std::fs::read_to_string(format!("/proc/sys/user/max_{kind}_namespaces"));
        limit.is_ok_and(|limit| limit.trim() == "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_given_or_refused() {
        let none = Probe {
            bwrap: None,
            is_passing: false,
            reasons: vec!["no bwrap".into()],
        };
        let some = Probe {
            bwrap: Some("/usr/bin/bwrap".into()),
            is_passing: false,
            reasons: Vec::new(),
        };
        for (policy, no_network, without, with) in [
            (Sandbox::Auto, false, Ok(false), Ok(true)),
            (Sandbox::Auto, true, Err(()), Ok(true)),
            (Sandbox::Require, false, Err(()), Ok(true)),
            (Sandbox::Require, true, Err(()), Ok(true)),
            (Sandbox::Off, false, Ok(false), Ok(false)),
            (Sandbox::Off, true, Err(()), Err(())),
        ] {
            let network = if no_network { Network::None } else { Network::Open };
            for (probe, wanted) in [(&none, without), (&some, with)] {
                let chosen = probe.choose(policy, &network);
                assert_eq!(
                    chosen.map(|bwrap| bwrap.is_some()).map_err(drop),
                    wanted,
                    "{policy:?} {no_network}"
                );
            }
        }
        let refused = none
            .choose(Sandbox::Auto, &Network::None)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("network: none") && refused.contains("no bwrap"),
            "{refused}"
        );
    }

    #[test]
    fn what_was_told_at_dispatch_is_kept_or_waited_for() {
        let told = |tier: Tier| Protection {
            tier: tier.as_str().to_owned(),
            bwrap: None,
        };
        let (t0, t2) = (told(Tier::T0), told(Tier::T2));
        let probe = |bwrap: Option<&str>, is_passing| Probe {
            bwrap: bwrap.map(Into::into),
            is_passing,
            reasons: vec!["gone".into()],
        };
        let (works, absent, unknown) = (probe(Some("/b"), false), probe(None, false), probe(None, true));
        let auto = (Sandbox::Auto, &Network::Open);
        for (probe, told, wanted) in [
            (&works, Some(&t2), Some(true)),
            (&absent, Some(&t2), None),
            (&unknown, Some(&t2), None),
            (&works, Some(&t0), Some(true)),
            (&absent, Some(&t0), Some(false)),
            (&unknown, Some(&t0), Some(false)),
            (&works, None, Some(true)),
            (&absent, None, Some(false)),
            (&unknown, None, None),
        ] {
            match (probe.keep(told, auto), wanted) {
                (Ok(bwrap), Some(wanted)) => assert_eq!(bwrap.is_some(), wanted, "{probe:?} {told:?}"),
                (Err(NoSandbox::Now(reason)), None) => assert_eq!(reason, "gone"),
                (kept, _) => panic!("{probe:?} {told:?}: {kept:?}"),
            }
        }
        let cut_off = (Sandbox::Auto, &Network::None);
        assert!(absent.keep(Some(&t0), cut_off).is_err());
        let off = (Sandbox::Off, &Network::Open);
        assert_eq!(works.keep(Some(&t0), off).unwrap(), None);
    }

    #[test]
    fn only_blocked_namespaces_are_a_verdict_on_the_machine() {
        use std::os::unix::process::ExitStatusExt;
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let blocked = |status, said, off| matches!(judge(status, said, off), Failure::Blocked(_));
        for said in [
            "bwrap: setting up uid map: Permission denied",
            "bwrap: No permissions to create a new namespace, likely because …",
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
            "warning\nbwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
        ] {
            assert!(blocked(exit(1), said, false), "{said}");
        }
        let exceeded = "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)";
        assert!(blocked(exit(1), exceeded, true), "none are granted");
        for said in [
            exceeded,
            "",
            "bwrap: Can't mkdir /newroot: No space left on device",
            "bwrap: Creating new namespace failed: Resource temporarily unavailable",
            "bwrap: Can't find source path /tmp/.x: No such file or directory",
            "touch: cannot touch 'here': Permission denied",
            "bwrap: error while loading shared libraries: libcap.so.2: cannot open shared object file",
        ] {
            assert!(!blocked(exit(1), said, false), "{said}");
        }
        for status in [ExitStatus::from_raw(9), exit(137)] {
            assert!(!blocked(
                status,
                "bwrap: setting up uid map: Permission denied",
                false
            ));
        }
    }

    #[test]
    fn only_success_is_remembered() {
        let cache = tempfile::tempdir().unwrap();
        let first = Probe::run(cache.path());
        assert_eq!(cache.path().join("sandbox-works").exists(), first.bwrap.is_some());
        assert_eq!(Probe::run(cache.path()), first);
    }
}
