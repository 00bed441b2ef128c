//! What an attempt changed: the difference of two receipts, as a document.

use serde::{Deserialize, Serialize};

/// `attempts/<n>/effects.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Effects {
    /// Version of the document.
    pub format: u32,
    /// Files of the clone's work tree that differ, by path.
    #[serde(default)]
    pub files: Vec<FileChange>,
    /// Ignored files that differ, the first of them: worth knowing, but no change of the work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<FileChange>,
    /// Those of the files that are in no commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftFile>,
    /// Commits that are new on the clone's branch, newest first.
    #[serde(default)]
    pub commits: Vec<String>,
    /// The clone's branch, when it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchMove>,
    /// Refs that the brain made or moved besides its branch.
    #[serde(default)]
    pub refs: Vec<RefChange>,
    /// So many more of them, not named.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_refs: u64,
    /// Files of the repository's configuration (config, hooks, info) that differ.
    #[serde(default)]
    pub config: Vec<String>,
    /// What was written outside the clone's own worktree and could be the brain's doing.
    #[serde(default)]
    pub foreign: Vec<String>,
    /// Files that a dead attempt may have left half-written.
    #[serde(default)]
    pub in_doubt: Vec<String>,
    /// Commits that a dead attempt made after its last checkpoint, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_commits: Vec<String>,
    /// Tools that may have been running when an attempt died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<String>,
    /// What changed meanwhile and cannot be the brain's doing.
    #[serde(default)]
    pub external: Vec<String>,
    /// Those of `external` that do not concern the clone: other refs, the HEADs of other worktrees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Effects {
    /// Changes every text that names what a brain may have named: files, refs, and the words made of them.
    pub fn reword(&mut self, mut reword: impl FnMut(&mut String)) {
        for file in self.files.iter_mut().chain(&mut self.ignored) {
            reword(&mut file.path);
            file.from.iter_mut().for_each(&mut reword);
        }
        self.left.iter_mut().for_each(|file| reword(&mut file.path));
        self.refs.iter_mut().for_each(|change| reword(&mut change.name));
        for list in [
            &mut self.config,
            &mut self.foreign,
            &mut self.in_doubt,
            &mut self.running,
            &mut self.external,
            &mut self.beside,
        ] {
            list.iter_mut().for_each(&mut reword);
        }
    }

    /// Takes in what changed while no brain ran.
    pub fn note_external(&mut self, meanwhile: Self) {
        for (list, words) in [
            (&mut self.external, meanwhile.external),
            (&mut self.beside, meanwhile.beside),
        ] {
            for word in words {
                if !list.contains(&word) {
                    list.push(word);
                }
            }
        }
    }

    /// Whether somebody else changed what the clone works with. A user who goes on working elsewhere does not.
    pub fn concern_the_clone(&self) -> bool {
        let concerns = |word: &String| !self.beside.contains(word);
        !self.foreign.is_empty() || self.external.iter().any(concerns)
    }
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileChange {
    /// Path from the top of the work tree; bytes that are no UTF-8 are written `\xNN`, a backslash `\\`.
    pub path: String,
    /// In what way.
    pub change: Change,
    /// The old path of a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Shorter than before and a prefix of what it was, or zero bytes: perhaps cut off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// One file that is in no commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeftFile {
    /// Its path, as [`FileChange`] has it; one that ends with a slash stands for all below it.
    pub path: String,
    /// Why.
    pub why: String,
}

/// The ways in which a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// New.
    Added,
    /// Other content.
    Modified,
    /// Gone.
    Deleted,
    /// Same content elsewhere.
    Renamed,
    /// Executable or not.
    Mode,
    /// File, link, folder, other.
    Type,
}

/// A branch that moved; absent sides did not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BranchMove {
    /// Commit before.
    pub before: Option<String>,
    /// Commit after.
    pub after: Option<String>,
}

/// A ref that differs; absent sides did not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RefChange {
    /// The full name.
    pub name: String,
    /// Object before.
    pub before: Option<String>,
    /// Object after.
    pub after: Option<String>,
}
