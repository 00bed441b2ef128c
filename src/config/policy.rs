//! The settings that are one word of a few.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a brain may do inside its worktree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Permissions {
    /// Everything inside our sandbox; where there is none, edits and what `allow` names.
    #[default]
    Auto,
    /// Edits and what `allow` names.
    Edits,
    /// Everything, sandbox or not.
    All,
}

/// Whether brains run in a sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Where there can be one; else foreign writes are detected and reported.
    #[default]
    Auto,
    /// Always; where there can be none, nothing runs.
    Require,
    /// Never.
    Off,
}

impl Sandbox {
    /// The word for it, as in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Off => "off",
        }
    }
}

/// Whether what a repository asks for can be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// By `git khlone trust`.
    #[default]
    Ask,
    /// Never: what needs trust is refused.
    Never,
}

impl Trust {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde asks for"
    )]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to changes that a brain leaves uncommitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AutoCommit {
    /// They are committed on the clone's branch.
    #[default]
    Auto,
    /// They stay in the worktree.
    Never,
}

/// Whether a task whose attempt died goes on by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// Where nobody else changed anything meanwhile.
    #[default]
    Auto,
    /// Once a person has said so.
    Ask,
    /// It fails; a person may still resume it.
    Never,
}

impl Permissions {
    /// Whether this allows more than `other`.
    pub fn is_looser_than(self, other: Self) -> bool {
        let rank = |word| match word {
            Self::Edits => 0,
            Self::Auto => 1,
            Self::All => 2,
        };
        rank(self) > rank(other)
    }

    /// The word for it, as in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edits => "edits",
            Self::Auto => "auto",
            Self::All => "all",
        }
    }
}

impl Resume {
    /// Whether this does more without a person than `other`.
    pub fn is_looser_than(self, other: Self) -> bool {
        let rank = |word| match word {
            Self::Never => 0,
            Self::Ask => 1,
            Self::Auto => 2,
        };
        rank(self) > rank(other)
    }

    /// The word for it, as in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Ask => "ask",
            Self::Auto => "auto",
        }
    }
}

/// Who stands in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// You, as git knows you.
    You,
    /// git-khlone, at no address.
    Khlone,
}

/// What lands where `commit.gpgSign` is on, and commits to land are not signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LandSign {
    /// The same commits made anew, each signed.
    #[default]
    Rewrite,
    /// A signed merge commit above them.
    Merge,
    /// Nothing but what is signed already, or squashed.
    Refuse,
}

impl LandSign {
    /// Whether this lets through what `other` does not.
    pub fn is_looser_than(self, other: Self) -> bool {
        let rank = |word| match word {
            Self::Refuse => 0,
            Self::Rewrite => 1,
            Self::Merge => 2,
        };
        rank(self) > rank(other)
    }

    /// The word for it, as in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Merge => "merge",
            Self::Refuse => "refuse",
        }
    }
}

/// Whether a brain may dispatch tasks itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delegation {
    /// Verbs that dispatch are refused inside a task.
    #[default]
    Refuse,
    /// They work there as anywhere.
    Allow,
}
