//! What the user's git asks of a landing, and where its progress goes.

use std::{fmt, time::Duration};

use super::LandError;
use crate::{
    config::{Config, LandSign},
    process::Cmd,
    refs::Repo,
    worktree::checkout::Checkout,
};

/// How hooks are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HookUse {
    /// They run, and a landing that changes them is refused.
    #[default]
    Guard,
    /// They run, and may be changed.
    Run,
    /// Those that can reject do not run, as with git's `--no-verify`; a landing that changes hooks is refused.
    Skip,
}

/// What a landing is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of commits that are not signed; nothing where the user does not sign.
    pub signs: Option<LandSign>,
    /// How hooks are used.
    pub hooks: HookUse,
    /// How long each hook may take.
    pub patience: Duration,
}

impl Policy {
    /// What `config` and the settings of git say, as they are in the checkout of `zone`, else in the main one.
    ///
    /// # Errors
    /// If git fails.
    pub fn of(repo: &Repo, zone: &str, config: &Config, hooks: HookUse) -> Result<Self, LandError> {
        let holder = super::holders::holders(repo, zone)?.into_iter().next();
        let home = holder.or_else(|| Checkout::main(repo));
        let git_dir = home.as_ref().map_or(repo.common_dir(), |home| &home.git_dir);
        let git = Cmd::git(git_dir).dir(git_dir);
        let done = git
            .args(["config", "--type=bool", "--get", "commit.gpgSign"])
            .finish()?;
        Ok(Self {
            signs: done.stdout.starts_with(b"true").then_some(config.land.sign),
            hooks,
            patience: config.limits.hook.duration(),
        })
    }
}

/// Where the progress of a landing goes.
pub struct Voice<'a> {
    /// What a hook says, in lines.
    pub said: &'a dyn Fn(&str),
    /// A signer is about to run, and may ask for a passphrase.
    pub signs: &'a dyn Fn(),
}

impl fmt::Debug for Voice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice").finish_non_exhaustive()
    }
}

impl Voice<'_> {
    /// Nowhere.
    pub fn none() -> Self {
        Self {
            said: &|_| {},
            signs: &|| {},
        }
    }
}
