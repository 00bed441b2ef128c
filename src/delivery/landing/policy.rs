//! What the user's git asks of a landing, and where its progress goes.

use std::{fmt, time::Duration};

use bstr::ByteSlice;

use super::LandError;
use crate::{
    config::{Config, LandSign},
    delivery::merge::{MergeError, committer},
    process::{Cmd, PATIENCE},
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

/// Whether a merge is a fast-forward where it can be: `merge.ff`, and what `branch.<zone>.mergeOptions` says over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FastForward {
    /// Yes.
    #[default]
    Auto,
    /// Always a merge commit.
    Never,
    /// It must be one.
    Only,
}

/// What a landing is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of commits that are not signed; nothing where the user does not sign.
    pub signs: Option<LandSign>,
    /// Who signs off what lands: `Ann <ann@example.com>`.
    pub signs_off: Option<String>,
    /// Whether a landing without a style of its own is a fast-forward.
    pub fast_forward: FastForward,
    /// How hooks are used.
    pub hooks: HookUse,
    /// How long each hook may take.
    pub patience: Duration,
}

impl Policy {
    /// What `config` and the settings of git say, as they are in the checkout of `zone`, else in the main one.
    ///
    /// # Errors
    /// If git fails, or knows no user to sign off.
    pub fn of(repo: &Repo, zone: &str, config: &Config, hooks: HookUse) -> Result<Self, LandError> {
        let holder = super::holders::holders(repo, zone)?.into_iter().next();
        let home = holder.or_else(|| Checkout::main(repo));
        let git_dir = home.as_ref().map_or(repo.common_dir(), |home| &home.git_dir);
        let setting = |args: &[&str]| {
            let git = Cmd::git(git_dir).dir(git_dir).arg("config").args(args).finish()?;
            Ok::<_, LandError>(git.stdout.trim().to_str_lossy().into_owned())
        };
        let signs = setting(&["--type=bool", "--get", "commit.gpgSign"])? == "true";
        let ff = setting(&["--get", "merge.ff"])?;
        let options = setting(&["--get", &format!("branch.{zone}.mergeOptions")])?;
        let mut signs_off = None;
        if config.attribution.sign_off {
            signs_off = Some(committer(repo).ok_or(MergeError::Nobody)?);
        }
        Ok(Self {
            signs: signs.then_some(config.land.sign),
            signs_off,
            fast_forward: fast_forward(&ff, &options),
            hooks,
            patience: config.limits.hook.duration(),
        })
    }

    /// A policy by which nothing is asked for.
    pub fn free() -> Self {
        Self {
            signs: None,
            signs_off: None,
            fast_forward: FastForward::Auto,
            hooks: HookUse::Guard,
            patience: PATIENCE,
        }
    }
}

fn fast_forward(setting: &str, options: &str) -> FastForward {
    let by_setting = match setting {
        "only" => FastForward::Only,
        "false" | "no" | "off" | "0" => FastForward::Never,
        _ => FastForward::Auto,
    };
    options
        .split_whitespace()
        .fold(by_setting, |found, word| match word {
            "--ff" => FastForward::Auto,
            "--no-ff" => FastForward::Never,
            "--ff-only" => FastForward::Only,
            _ => found,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_about_fast_forwards_counts() {
        assert_eq!(fast_forward("", ""), FastForward::Auto);
        assert_eq!(fast_forward("only", "--log"), FastForward::Only);
        assert_eq!(fast_forward("only", "--no-ff"), FastForward::Never);
        assert_eq!(fast_forward("false", "--no-ff --ff"), FastForward::Auto);
    }
}
