//! How a task's commits came into its zone's branch.
//!
//! A record of what was done, not of what holds: the branch may have been moved back since, by `undo` or by hand. Whether
//! the zone has the work is told by its branch (`delivery::merged`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A landing, as the documents of its tasks have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Landed {
    /// The zone's branch, without `refs/heads/`.
    pub branch: String,
    /// How.
    pub how: LandedBy,
    /// Where the zone's branch was.
    pub old: String,
    /// Where it went.
    pub new: String,
    /// The last of the clone's commits that landed, as the clone has it.
    pub tip: String,
    /// Commits that were made anew for it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Rewritten>,
    /// The user's hooks that it had, in git's order. Where it was killed, the last of them may not have run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<LandingHook>,
    /// Who signed the commits that were made for it, where the user signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// Who landed it: `Ann <ann@example.com>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Seconds since the epoch.
    pub at: i64,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A commit, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rewritten {
    /// The clone's.
    pub old: String,
    /// The zone's.
    pub new: String,
}

/// A hook of the user's, as it was when work landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LandingHook {
    /// git's name for it.
    pub name: String,
    /// The git blob id of its file; none for a command of git's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// It was there and did not run, as with `--no-verify`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// What signed, by git's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Signer {
    /// `gpg.format`: `openpgp`, `ssh` or `x509`.
    pub scheme: String,
    /// The program that was run.
    pub program: String,
    /// `user.signingKey`; without it the program chooses by the committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How commits came into a zone's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LandedBy {
    /// The branch moved to them.
    FastForward,
    /// By a merge commit.
    Merge,
    /// As one new commit.
    Squash,
    /// Made anew on the branch's tip.
    Rebase,
    /// A way of a later git-khlone.
    #[serde(other)]
    Other,
}
