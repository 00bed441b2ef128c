//! Why nothing landed.

use std::{io, path::PathBuf, time::Duration};

use bstr::BString;
use git2::Oid;

use super::{Landing, Style};

use crate::{
    delivery::{
        advance::AdvanceError,
        merge::{Conflict, MergeError},
    },
    process::ProcessError,
    refs::LedgerError,
    task::{TaskId, explain, of_clone},
    worktree::carry::{CarryError, listed, quoted},
};

/// A landing that did not happen; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// A branch is not there.
    #[error("there is no branch {0}")]
    NoBranch(String),
    /// The commit is no longer part of the clone's branch.
    #[error("commit {commit:.10} is not on {branch} any more")]
    Rewritten {
        /// The commit.
        commit: Oid,
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
    },
    /// The two changed the same lines.
    #[error("{branch} conflicts with {zone} in {names}; nothing was changed", names = listed(&.conflict.names()))]
    Conflict {
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
        /// How.
        conflict: Box<Conflict>,
    },
    /// A locked worktree that is not there has the zone's branch.
    #[error("{zone} is checked out in {path}, which is locked and not there now", path = .path.display())]
    Away {
        /// The zone's branch.
        zone: String,
        /// The worktree.
        path: PathBuf,
    },
    /// The main checkout has the zone's branch and cannot be found.
    #[error("{zone} is checked out in the main work tree of {common}, and nothing there says where that is", common = .common.display())]
    Unplaced {
        /// The zone's branch.
        zone: String,
        /// The git folder.
        common: PathBuf,
    },
    /// It changes what the user's git runs.
    #[error("{branch} changes hooks that your git runs: {}", listed(.files))]
    ChangesHooks {
        /// The clone's branch.
        branch: String,
        /// The files.
        files: Vec<BString>,
        /// The command that landed it.
        again: String,
    },
    /// A hook of the user's rejects it.
    #[error("the hook {name} rejects it; nothing was changed{}{said}", if .said.is_empty() { "" } else { "\n" })]
    Hook {
        /// Which.
        name: &'static str,
        /// What it said.
        said: String,
    },
    /// A hook of the user's did not end.
    #[error("the hook {name} took longer than {} s (limits.hook) and was stopped; nothing was changed", .patience.as_secs())]
    HookTime {
        /// Which.
        name: &'static str,
        /// The limit.
        patience: Duration,
    },
    /// Nothing is left of the message.
    #[error("the hooks left an empty message; nothing was changed")]
    NoMessage,
    /// The user's signer does not sign.
    #[error("the commit cannot be signed, and commit.gpgSign wants it signed; nothing was changed\n{said}")]
    Sign {
        /// What git and the signer said.
        said: String,
    },
    /// The commits are to be signed by whoever made them.
    #[error("{commits} commits of {branch} are not signed, and land.sign is `refuse`")]
    Unsigned {
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
        /// How many.
        commits: usize,
    },
    /// They went apart, and the user takes only fast-forwards.
    #[error("{branch} and {zone} went apart, and merge.ff is `only`")]
    Apart {
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
    },
    /// `git merge` would do what no landing does.
    #[error("{setting} has `{option}`, which a landing in {zone} does not do")]
    MergeOption {
        /// The setting.
        setting: String,
        /// What it has.
        option: String,
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
    },
    /// What comes in must be signed.
    #[error(
        "{commit:.10} of {branch} has no good signature, and `git merge` in {zone} wants one (merge.verifySignatures)"
    )]
    Unverified {
        /// The commit.
        commit: Oid,
        /// The clone's branch.
        branch: String,
        /// The zone's branch.
        zone: String,
        /// What would sign it.
        next: &'static str,
    },
    /// git does not make the commit.
    #[error("git does not make the commit: {said}")]
    Commit {
        /// What it said.
        said: String,
    },
    /// A checkout is not clean, or a branch moved.
    #[error(transparent)]
    Move(#[from] AdvanceError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The site's folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

explain! {
    LandError {
        transparent { Move, Ledger }
        NotFound { NoBranch => "git khlone list zones" }
        Refused {
            Rewritten { branch, zone, .. } => of_clone("land", clone_of(branch), zone),
            Conflict { branch, zone, .. } | MergeOption { branch, zone, .. } =>
                format!("git switch {zone} && git merge {branch}"),
            Unverified { next, .. } => *next,
            Away { path, .. } => format!("git worktree unlock {}", quoted(path)),
            Unplaced { zone, common } => format!(
                "git khlone status    # in the main work tree, once; where that is known by --work-tree alone, merge with it: \
                 git --git-dir={dir} --work-tree=DIR merge khlone/{zone}/CLONE; if there is none, rm {dir}/index",
                dir = quoted(common)
            ),
            ChangesHooks { again, .. } =>
                format!("{again} --hooks run    # lands them all the same; the hooks of before run"),
            Hook { name, .. } if name.starts_with("pre-") || *name == "commit-msg" =>
                "add --hooks skip to land without it, as with git's --no-verify",
            Sign => "git config --show-origin --get-regexp 'gpg|sign'",
            Apart { branch, zone } => of_clone("land", clone_of(branch), zone) + " --rebase",
            Unsigned { branch, zone, .. } => of_clone("land", clone_of(branch), zone) + " --squash",
            Hook, NoMessage,
        }
        Timeout { HookTime => "git khlone config --path    # limits: {hook: 30m} in that file" }
        Failed { Commit, Io }
    }
}

/// The command that lands it, as it was given.
pub(super) fn again(landing: &Landing<'_>) -> String {
    let target = landing.what.split([' ', ':']).next().unwrap_or_default();
    let style = match landing.style {
        Style::Auto => "",
        Style::NoFf => " --no-ff",
        Style::Squash => " --squash",
        Style::Rebase => " --rebase",
    };
    match target.parse::<TaskId>() {
        // A task's id is enough.
        Ok(id) => format!("git khlone land {id}{style}"),
        Err(_) => of_clone("land", target, landing.zone) + style,
    }
}

impl LandError {
    pub(super) fn conflict(landing: &Landing<'_>, conflict: Conflict) -> Self {
        Self::Conflict {
            branch: landing.branch.to_owned(),
            zone: landing.zone.to_owned(),
            conflict: Box::new(conflict),
        }
    }
}

/// `foreman.1` of `khlone/main/foreman.1`.
fn clone_of(branch: &str) -> &str {
    branch.rsplit('/').next().unwrap_or(branch)
}

impl From<ProcessError> for LandError {
    fn from(error: ProcessError) -> Self {
        MergeError::from(error).into()
    }
}

impl From<git2::Error> for LandError {
    fn from(error: git2::Error) -> Self {
        Self::Move(error.into())
    }
}

impl From<MergeError> for LandError {
    fn from(error: MergeError) -> Self {
        Self::Move(error.into())
    }
}

impl From<CarryError> for LandError {
    fn from(error: CarryError) -> Self {
        Self::Move(error.into())
    }
}
