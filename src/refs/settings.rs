//! git's settings as they count here.
//!
//! A verb obeys what its caller gave it (`git -c`, `GIT_CONFIG_GLOBAL` and the like), by git itself, since the library knows
//! of none of that. What works for the whole repository, daemon and runners, was given nothing and goes by files.

use bstr::ByteSlice;
use git2::{Config, ConfigLevel, Error};

use super::Repo;
use crate::process::{Cmd, given_files, temp};

impl Repo {
    /// git's settings, as they are now.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn config(&self) -> Result<Config, Error> {
        if given_files().is_none() {
            return self.of_files();
        }
        let other = |error: &dyn std::fmt::Display| Error::from_str(&error.to_string());
        let listed = Cmd::git(self.git_dir()).dir(self.git_dir());
        let listed = listed.args(["config", "--list", "--includes", "-z"]).output();
        let listed = listed.map_err(|error| other(&error))?;
        let folder = temp::dir().map_err(|error| other(&error))?;
        let mut config = Config::new()?;
        config.add_file(&folder.path().join("config"), ConfigLevel::App, true)?;
        for entry in listed.split_str(b"\0").filter(|entry| !entry.is_empty()) {
            // A name alone means yes.
            let (name, value) = entry.split_once_str(b"\n").unwrap_or((entry, b"true"));
            config.set_str(&name.to_str_lossy(), &value.to_str_lossy())?;
        }
        config.snapshot()
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn of_files(&self) -> Result<Config, Error> {
        self.git().config()?.snapshot()
    }

    /// The user's name and address as files have them: whom the commits for clones name, whatever one command was given.
    pub fn user(&self) -> Option<(String, String)> {
        let config = self.of_files().ok()?;
        let value = |key: &str| {
            config
                .get_string(key)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        Some((value("user.name")?, value("user.email")?))
    }

    /// What counts for this command alone, by name: settings, and the variables that name files of them.
    pub fn given_settings(&self) -> Vec<String> {
        let Some(files) = given_files() else {
            return Vec::new();
        };
        let git = Cmd::new("git").env("GIT_DIR", self.git_dir()).dir(self.git_dir());
        let listed = git.args(["config", "--list", "--show-scope", "--name-only", "-z"]);
        let listed = listed.output().unwrap_or_default();
        let mut fields = listed.split_str(b"\0");
        let mut names: Vec<String> = files.into_iter().map(str::to_owned).collect();
        while let (Some(scope), Some(name)) = (fields.next(), fields.next()) {
            let name = name.to_str_lossy();
            if scope == b"command" && name != "safe.directory" && !names.iter().any(|known| *known == name) {
                names.push(name.into_owned());
            }
        }
        names
    }
}
