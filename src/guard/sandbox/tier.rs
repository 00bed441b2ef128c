//! What protection this machine can give, found out once and remembered until something that decides it changes.
//!
//! The probe runs a real command in the full shape that brains run in, so that a tier is never promised on the
//! strength of a version number. Only success is remembered: a failure is looked at anew each time, since what
//! blocks namespaces (a profile, a sysctl, a container's rules) can change without leaving a trace.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Confinement, GitView};
use crate::{
    config::{Network, Sandbox},
    task::{Class, Explain},
};

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
    /// Why there is no T2, or what weakens it.
    pub reasons: Vec<String>,
}

/// Protection that was required and cannot be given.
#[derive(Debug, thiserror::Error)]
#[error("{wanted} needs the sandbox, which does not work here: {reason}")]
pub struct NoSandbox {
    /// Why it does not work.
    pub reason: String,
    /// The setting that needs it.
    pub wanted: &'static str,
}

impl Explain for NoSandbox {
    fn class(&self) -> Class {
        Class::Refused
    }

    fn hint(&self) -> Option<String> {
        Some("git khlone doctor".to_owned())
    }
}

impl Probe {
    /// Looks at this machine; `cache` is a folder of ours that brains never see.
    pub fn run(cache: &Path) -> Self {
        let mut reasons = Vec::new();
        if rustix::process::geteuid().is_root() {
            reasons.push("running as root: a brain reads whatever root may read".to_owned());
        }
        let Some(bwrap) = find_bwrap() else {
            reasons.insert(0, "bubblewrap (bwrap) is not installed".to_owned());
            return Self { bwrap: None, reasons };
        };
        let stamp = stamp(&bwrap);
        let remembered = cache.join("sandbox-works");
        if stamp.is_some() && std::fs::read_to_string(&remembered).ok() == stamp {
            return Self {
                bwrap: Some(bwrap),
                reasons,
            };
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
                Self {
                    bwrap: Some(bwrap),
                    reasons,
                }
            }
            Err(reason) => {
                reasons.insert(0, reason);
                Self { bwrap: None, reasons }
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
    /// [`NoSandbox`] where it is required, or `network: none` is, and it does not work or is off.
    pub fn choose(&self, wanted: Sandbox, network: &Network) -> Result<Option<&Path>, NoSandbox> {
        let no_network = *network != Network::Open;
        let refused = |reason: Option<String>| NoSandbox {
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
            (Sandbox::Auto, None) if !no_network => Ok(None),
            (Sandbox::Auto | Sandbox::Require, None) => Err(refused(self.reasons.first().cloned())),
        }
    }
}

fn find_bwrap() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("bwrap"));
    found.find(|file| file.is_absolute() && file.is_file())
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

/// Runs a real command in the shape that brains run in and lets it look around.
fn trial(bwrap: &Path) -> Result<(), String> {
    let room = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let folder = |name: &str| {
        let path = room.path().join(name);
        std::fs::create_dir_all(&path)
            .map(|()| path)
            .map_err(|error| error.to_string())
    };
    let (work_dir, private, common, home) = (
        folder("tree")?,
        folder("git/khlone/p")?,
        folder("git")?,
        folder("home")?,
    );
    let dot_git = room.path().join("dot-git");
    for file in [&dot_git, &work_dir.join(".git")] {
        std::fs::write(file, "gitdir: /\n").map_err(|error| error.to_string())?;
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
    let finished = confinement.run(&argv, Duration::from_secs(10));
    let finished = finished.map_err(|error| error.to_string())?;
    if finished.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
    Err(why(if said.is_empty() {
        "the sandbox let a trial write where it must not"
    } else {
        &said
    }))
}

/// What bubblewrap says, with the usual cause added.
fn why(said: &str) -> String {
    let line = said.lines().last().unwrap_or_default();
    let blocked = [
        "namespace",
        "uid map",
        "Operation not permitted",
        "Permission denied",
    ];
    if !blocked.iter().any(|word| line.contains(word)) {
        return line.to_owned();
    }
    let cause = if Path::new("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists() {
        "AppArmor restricts user namespaces here"
    } else {
        "user namespaces are blocked here, as in many containers"
    };
    format!("{cause} ({line})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_given_or_refused() {
        let none = Probe {
            bwrap: None,
            reasons: vec!["no bwrap".into()],
        };
        let some = Probe {
            bwrap: Some("/usr/bin/bwrap".into()),
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
    fn only_success_is_remembered() {
        let cache = tempfile::tempdir().unwrap();
        let first = Probe::run(cache.path());
        assert_eq!(cache.path().join("sandbox-works").exists(), first.bwrap.is_some());
        assert_eq!(Probe::run(cache.path()), first);
    }
}
