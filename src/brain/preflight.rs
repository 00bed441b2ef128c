//! Is a brain installed, does it run, is somebody signed in?
//!
//! The quick check looks at files and the environment only and takes about a millisecond, so a dispatch can
//! afford it. The full one also asks the CLI for its version, in bounded time, and remembers the answer in
//! `KHLONE_HOME/cache/brains.json` under the program's path, size and time, so that it is asked once an upgrade.
//! What cannot be told is `unknown`, and nothing is refused for that.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    BrainError, all,
    contract::Brain,
    model::{SignedIn, Vars},
};
use crate::process::{Cmd, file::replace};

/// How long a CLI may take to tell its version; the slowest needs three seconds on a cold disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// How far a brain is from being able to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Installed and signed in.
    Ready,
    /// Installed; whether somebody is signed in cannot be told.
    Unknown,
    /// Not installed.
    Missing,
    /// Installed, and nobody is signed in.
    SignedOut,
    /// Installed, and does not run.
    Broken,
}

/// What is known of a brain on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Readiness {
    /// The brain's name.
    pub name: Cow<'static, str>,
    /// How far it is from being able to work.
    pub state: State,
    /// Its version, once asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Looks at brains with the user's eyes.
pub struct Preflight<'a> {
    /// The user's environment.
    pub vars: Vars<'a>,
    /// `KHLONE_HOME/cache`.
    pub cache: &'a Path,
    /// The program that the configuration gives a brain (`brains.<name>.path`).
    pub program: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// What a program said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Path, size and time of the program that said it.
    key: String,
    /// Its version; `None` if it does not run.
    version: Option<String>,
}

impl Preflight<'_> {
    /// What can be told without starting anything.
    pub fn quick(&self, brain: &dyn Brain) -> Readiness {
        self.check(brain, |key, _| {
            self.known().remove(brain.name()).filter(|known| known.key == key)
        })
    }

    /// All that can be told; starts the program if it is not known yet.
    pub fn full(&self, brain: &dyn Brain) -> Readiness {
        self.check(brain, |key, path| {
            let mut all = self.known();
            let known = all.get(brain.name()).filter(|known| known.key == key).cloned();
            Some(known.unwrap_or_else(|| {
                let known = ask(brain, key, path);
                all.insert(brain.name().to_owned(), known.clone());
                self.remember(&all);
                known
            }))
        })
    }

    /// Every brain, fully checked.
    pub fn list(&self) -> Vec<Readiness> {
        let checks = all().map(|brain| self.full(brain));
        checks.collect()
    }

    /// The brain for whoever named none: the first that is ready, else the first that may be. The built-in one
    /// runs only when it is named.
    pub fn default_brain(&self) -> Option<&'static dyn Brain> {
        let outside = || all().filter(|brain| brain.account().program.is_some());
        let is = |state| move |brain: &&'static dyn Brain| self.quick(*brain).state == state;
        outside()
            .find(is(State::Ready))
            .or_else(|| outside().find(is(State::Unknown)))
    }

    /// Why there is no default: one that is installed has a reason of its own.
    pub fn why_none(&self) -> BrainError {
        let outside = || all().filter(|brain| brain.account().program.is_some());
        let reasons: Vec<_> = outside().filter_map(|brain| self.require(brain).err()).collect();
        let is_there = |error: &BrainError| !matches!(error, BrainError::Missing { .. });
        reasons.into_iter().find(is_there).unwrap_or(BrainError::None)
    }

    /// Refuses a brain that is known to be unable to work.
    ///
    /// # Errors
    /// [`BrainError::Missing`], [`BrainError::SignedOut`] or [`BrainError::Broken`].
    pub fn require(&self, brain: &dyn Brain) -> Result<Readiness, BrainError> {
        let ready = self.quick(brain);
        let (name, account) = (brain.name(), brain.account());
        match ready.state {
            State::Ready | State::Unknown => Ok(ready),
            State::Missing => Err(BrainError::Missing {
                name,
                install: account.install,
            }),
            State::SignedOut => Err(BrainError::SignedOut {
                name,
                login: account.login,
            }),
            State::Broken => Err(BrainError::Broken {
                name,
                path: ready.path.unwrap_or_default(),
            }),
        }
    }

    fn check(&self, brain: &dyn Brain, known: impl FnOnce(&str, &Path) -> Option<Known>) -> Readiness {
        let mut ready = Readiness {
            name: brain.name().into(),
            state: State::Ready,
            version: None,
            path: None,
            hint: None,
        };
        let account = brain.account();
        let Some(program) = account.program else {
            ready.version = Some(env!("CARGO_PKG_VERSION").to_owned());
            return ready;
        };
        let Some(path) = self.find(brain.name(), program) else {
            ready.state = State::Missing;
            ready.hint = Some(account.install.to_owned());
            return ready;
        };
        let known = key(&path).map(|key| known(&key, &path));
        ready.path = Some(path);
        ready.state = match (&known, brain.signed_in(self.vars)) {
            (None | Some(Some(Known { version: None, .. })), _) => State::Broken,
            (_, SignedIn::No) => State::SignedOut,
            (_, SignedIn::Unknown) => State::Unknown,
            (_, SignedIn::Yes) => State::Ready,
        };
        ready.version = known.flatten().and_then(|known| known.version);
        ready.hint = match ready.state {
            State::Ready | State::Unknown => None,
            State::Missing | State::Broken => Some(account.install.to_owned()),
            State::SignedOut => Some(account.login.to_owned()),
        };
        ready
    }

    /// The program, by the configuration or on `PATH`. One that is there but cannot be run is found too, if no
    /// other is.
    fn find(&self, name: &str, program: &str) -> Option<PathBuf> {
        if let Some(path) = (self.program)(name) {
            return path.is_file().then_some(path);
        }
        let path = (self.vars)("PATH")?;
        let places = std::env::split_paths(&path).map(|dir| dir.join(program));
        let files: Vec<_> = places.filter(|path| path.is_file()).collect();
        let best = files.iter().find(|path| key(path).is_some());
        best.or(files.first()).cloned()
    }

    fn known(&self) -> BTreeMap<String, Known> {
        let text = std::fs::read(self.cache.join("brains.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Losing it costs a second later on, so a failure is no matter.
    fn remember(&self, all: &BTreeMap<String, Known>) {
        let save = || -> std::io::Result<()> {
            std::fs::create_dir_all(self.cache)?;
            replace(&self.cache.join("brains.json"), &serde_json::to_vec(all)?)
        };
        if let Err(error) = save() {
            tracing::debug!(%error, "brains.json not written");
        }
    }
}

/// What tells one installed program from another; `None` if it may not be run.
fn key(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let meta = path.metadata().ok()?;
    let may_run = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
    may_run.then(|| {
        format!(
            "{}:{}:{}.{}",
            path.display(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec()
        )
    })
}

/// Asks a program for its version.
fn ask(brain: &dyn Brain, key: &str, path: &Path) -> Known {
    let answer = Cmd::new(path)
        .args(brain.account().version)
        .patience(PATIENCE)
        .capture(4096)
        .finish();
    let version = answer.ok().filter(|said| said.status.success()).map(|said| {
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let word = text
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        word.unwrap_or(text.trim()).chars().take(40).collect()
    });
    Known {
        key: key.to_owned(),
        version,
    }
}

/// Whether one of these variables holds something.
pub(super) fn has_any(vars: Vars<'_>, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| vars(name).is_some_and(|value| !value.is_empty()))
}

/// Whether a file holds more than an empty document.
pub(super) fn is_filled(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 2)
}

/// Whether a text file has one of these words.
pub(super) fn says(path: &Path, words: &[&str]) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    words.iter().any(|word| text.contains(word))
}
