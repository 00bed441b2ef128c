//! What a child gets of the `GIT_*` variables, which it else goes without.
//!
//! | variables | |
//! |---|---|
//! | settings of one command: `git -c`, `GIT_CONFIG_GLOBAL` and the like ([`SETTINGS`]) | whatever a verb itself starts has them, once [`obey_settings`] was called; what lives on after it ([`Cmd::outliving`]: the daemon, and by it runners and brains) has not: it works by what files say |
//! | who makes commits, the pager | where a caller asks for them |
//! | repositories that git trusts by such a setting ([`super::trust()`]) | always |
//! | all others | never: they would send git to another repository |

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    sync::OnceLock,
};

use super::{Cmd, trust};

/// The variables by which one command is given settings; those that end with `_` are counted.
const SETTINGS: [&str; 7] = [
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    COUNT,
    "GIT_CONFIG_KEY_",
    "GIT_CONFIG_VALUE_",
    "GIT_CONFIG_PARAMETERS",
];
const COUNT: &str = "GIT_CONFIG_COUNT";
/// Those of them that name a file.
const FILES: [&str; 2] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"];

type Variable = (OsString, OsString);

static GIVEN: OnceLock<Vec<Variable>> = OnceLock::new();

/// Has whatever is started from here on obey the settings that this command was given, as git itself does. For a verb, not
/// for what works for the whole repository.
pub fn obey_settings() {
    GIVEN.get_or_init(|| in_environment().collect());
}

/// If this command was given any, the variables of them that name files.
pub fn given_files() -> Option<Vec<&'static str>> {
    let given = GIVEN.get().filter(|given| !given.is_empty())?;
    let is_given = |file: &&str| given.iter().any(|(name, _)| name == *file);
    Some(FILES.into_iter().filter(is_given).collect())
}

/// The settings in the environment of this process. A relative path is as of where it was started.
fn in_environment() -> impl Iterator<Item = Variable> {
    let is_setting = |name: &OsStr| {
        let name = name.to_string_lossy();
        SETTINGS
            .iter()
            .any(|known| name == *known || known.ends_with('_') && name.starts_with(known))
    };
    let given = std::env::vars_os().filter(move |(name, _)| is_setting(name));
    given.map(|(name, value)| {
        let is_file = !value.is_empty() && FILES.iter().any(|file| name == *file);
        let whole = is_file
            .then(|| std::path::absolute(Path::new(&value)).ok())
            .flatten();
        (name, whole.map_or(value, Into::into))
    })
}

/// `given`, and after it the repositories that are to be trusted.
fn with_trusted(given: &[Variable]) -> Vec<Variable> {
    let mut all = given.to_vec();
    let count = all.iter().find(|(name, _)| name == COUNT);
    let count = count.map_or(Some(0), |(_, count)| count.to_str()?.parse::<usize>().ok());
    let (Some(first), trusted) = (count, trust::trusted()) else {
        // git refuses such a count.
        return all;
    };
    if trusted.is_empty() {
        return all;
    }
    all.retain(|(name, _)| name != COUNT);
    all.push((COUNT.into(), (first + trusted.len()).to_string().into()));
    for (n, path) in (first..).zip(trusted) {
        all.push((format!("GIT_CONFIG_KEY_{n}").into(), "safe.directory".into()));
        all.push((format!("GIT_CONFIG_VALUE_{n}").into(), path.into()));
    }
    all
}

/// What every child has.
pub(super) fn settings() -> Vec<Variable> {
    with_trusted(GIVEN.get().map_or(&[], Vec::as_slice))
}

impl Cmd {
    /// Takes away again what was given for this command alone. For what lives on after it.
    pub fn outliving(mut self) -> Self {
        for (name, _) in settings() {
            self.inner.env_remove(name);
        }
        self.inner.envs(with_trusted(&[]));
        self
    }

    /// Obeys the settings in the environment of this process, whatever works in it.
    pub fn as_told(mut self) -> Self {
        let told: Vec<_> = in_environment().collect();
        self.inner.envs(with_trusted(&told));
        self
    }

    /// Keeps who makes commits, where the environment of this process says so, as git itself does.
    pub fn as_user(mut self) -> Self {
        for role in ["AUTHOR", "COMMITTER"] {
            for field in ["NAME", "EMAIL", "DATE"] {
                let name = format!("GIT_{role}_{field}");
                if let Some(value) = std::env::var_os(&name) {
                    self.inner.env(name, value);
                }
            }
        }
        self
    }

    /// Keeps the user's pager, as git itself does.
    pub fn as_pager(mut self) -> Self {
        for name in ["GIT_PAGER", "GIT_PAGER_IN_USE"] {
            if let Some(value) = std::env::var_os(name) {
                self.inner.env(name, value);
            }
        }
        self
    }
}
