//! What the user's git asks of a landing, and where its progress goes.

use std::{fmt, time::Duration};

use super::{
    LandError, Landing, Style,
    options::{MergeOptions, Sign, Unfit, is_ours},
};
use crate::{
    config::{Config, LandSign},
    delivery::merge::{MergeError, committer},
    guard::gitdir::gitconfig::Settings,
    process::PATIENCE,
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

/// Whether a merge is a fast-forward where it can be: `merge.ff`, and `branch.<zone>.mergeOptions` over it.
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

/// What `git merge` does by its settings, and no other command of git's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergePolicy {
    /// What comes in must be signed.
    pub verifies: bool,
    /// By anybody's key (`gpg.minTrustLevel`).
    pub trusts_anybody: bool,
    /// A merge commit is signed, where nothing else is, too.
    pub signs: bool,
    /// By this key.
    pub key: Option<String>,
    /// Who signs off a merge commit.
    pub signs_off: Option<String>,
    /// How its message is cleaned, if not by `commit.cleanup`.
    pub cleanup: Option<String>,
    /// What the strategy is told (`-X`).
    pub strategy: Vec<String>,
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
    /// Whether such a one is a squash.
    pub squashes: bool,
    /// What `git merge` does besides.
    pub merge: MergePolicy,
    /// How hooks are used.
    pub hooks: HookUse,
    /// How long each hook may take.
    pub patience: Duration,
}

impl Policy {
    /// What `config` and the settings of git say of `landing`, as they are in the checkout of its zone, else in the main
    /// one.
    ///
    /// # Errors
    /// If git fails, knows no user to sign off, or would merge as no landing does.
    pub fn of(
        repo: &Repo,
        landing: &Landing<'_>,
        config: &Config,
        hooks: HookUse,
    ) -> Result<Self, LandError> {
        let holder = super::holders::holders(repo, landing.zone)?.into_iter().next();
        let home = holder.or_else(|| Checkout::main(repo));
        let git_dir = home.as_ref().map_or(repo.common_dir(), |home| &home.git_dir);
        let settings = Settings::read(git_dir)?;
        let me = || committer(repo).ok_or(MergeError::Nobody);
        let mut policy = Self {
            signs: settings.is_true("commit.gpgsign").then_some(config.land.sign),
            hooks,
            patience: config.limits.hook.duration(),
            ..Self::free()
        };
        if config.attribution.sign_off {
            policy.signs_off = Some(me()?);
        }
        // `git rebase` has none of the options of `git merge`.
        if landing.style != Style::Rebase {
            let options = policy.obey(&settings, landing)?;
            policy.merge.signs_off = options.signs_off.then(me).transpose()?;
        }
        Ok(policy)
    }

    /// Takes over what `git merge` would do in the zone.
    fn obey(&mut self, settings: &Settings, landing: &Landing<'_>) -> Result<MergeOptions, LandError> {
        let unfit = |setting: &str, option: String| LandError::MergeOption {
            setting: setting.to_owned(),
            option,
            branch: landing.branch.to_owned(),
            zone: landing.zone.to_owned(),
        };
        let name = format!("branch.{}.mergeOptions", landing.zone);
        let text = settings.get(&format!("branch.{}.mergeoptions", landing.zone));
        let options = MergeOptions::parse(text.unwrap_or_default());
        let options = options.map_err(|Unfit(option)| unfit(&name, option))?;
        let strategies = settings.get("pull.twohead").unwrap_or_default();
        if let Some(strategy) = strategies.split_whitespace().find(|name| !is_ours(name)) {
            return Err(unfit("pull.twohead", strategy.to_owned()));
        }
        let by_setting = fast_forward(settings.get("merge.ff").unwrap_or_default());
        self.fast_forward = options.fast_forward.unwrap_or(by_setting);
        self.squashes = options.squash;
        let is_squash = landing.style == Style::Squash || (landing.style == Style::Auto && options.squash);
        if options.skips_hooks && !is_squash && self.hooks == HookUse::Guard {
            self.hooks = HookUse::Skip;
        }
        let verifies = settings.is_true("merge.verifysignatures");
        self.merge.verifies = options.verifies.unwrap_or(verifies);
        self.merge.trusts_anybody = settings.get("gpg.mintrustlevel").is_some();
        match &options.sign {
            Some(Sign::No) => self.signs = None,
            Some(Sign::By(key)) => {
                self.merge.signs = true;
                self.merge.key.clone_from(key);
            }
            None => {}
        }
        self.merge.cleanup.clone_from(&options.cleanup);
        if settings.is_true("merge.renormalize") {
            self.merge.strategy.push("renormalize".to_owned());
        }
        self.merge.strategy.extend(options.strategy.iter().cloned());
        Ok(options)
    }

    /// A policy by which nothing is asked for.
    pub fn free() -> Self {
        Self {
            signs: None,
            signs_off: None,
            fast_forward: FastForward::Auto,
            squashes: false,
            merge: MergePolicy::default(),
            hooks: HookUse::Guard,
            patience: PATIENCE,
        }
    }
}

fn fast_forward(setting: &str) -> FastForward {
    match setting {
        "only" => FastForward::Only,
        "false" | "no" | "off" | "0" => FastForward::Never,
        _ => FastForward::Auto,
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
