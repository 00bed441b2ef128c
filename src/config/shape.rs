//! The shape of `khlone.yml` and of the user's config, and every default.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::words::{by_word, maybe_word};
use super::{
    AutoCommit, BranchPrefix, Delegation, EnvName, Hero, InTree, LandSign, Network, Notify, Party,
    Permissions, Resume, Sandbox, Size, Span, Trust,
};
use crate::task::{BrainName, RoleName};

/// Settings of git-khlone: `khlone.yml` at the top of a repository, or the user's own `config.yml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who gets the tasks that name nobody. Without it, role `foreman` on the default brain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hero: Option<Hero>,
    /// Roles by name.
    #[serde(deserialize_with = "by_word")]
    #[schemars(with = "BTreeMap<String, Role>")]
    pub roles: BTreeMap<RoleName, Role>,
    /// Settings of brains by name.
    #[serde(deserialize_with = "by_word")]
    #[schemars(with = "BTreeMap<String, Brain>")]
    pub brains: BTreeMap<BrainName, Brain>,
    /// What brains may do, unless `brains.<name>.permissions` says otherwise.
    pub permissions: Permissions,
    /// Whether brains run in a sandbox. The user's word counts over the repository's.
    pub sandbox: Sandbox,
    /// What brains reach of the network: what all files that say so let through. Most brains need their provider.
    pub network: Network,
    /// Whether what a repository asks for can be trusted by `git khlone trust`. Only in the user's config.
    #[serde(skip_serializing_if = "Trust::is_default")]
    pub trust: Trust,
    /// Further files and folders that brains in a sandbox may read; `~/` is your home. Only in the user's config.
    pub readable: Vec<PathBuf>,
    /// Further files and folders that brains in a sandbox may change. Only in the user's config.
    pub writable: Vec<PathBuf>,
    /// Variables that brains and setup commands get besides the usual ones.
    pub env: Vec<EnvName>,
    /// Whether a task whose attempt died goes on by itself.
    pub resume: Resume,
    /// Whether a brain may dispatch tasks itself.
    pub delegation: Delegation,
    /// How a brain's changes are committed.
    #[serde(deserialize_with = "commit_or_mode")]
    #[schemars(with = "CommitOrMode")]
    pub commit: Commit,
    /// Who stands in the commits of clones, and of what lands.
    pub attribution: Attribution,
    /// How a clone's work comes into its zone's branch.
    pub land: Land,
    /// How a clone's worktree is made.
    pub worktree: Worktree,
    /// How branches of clones are named.
    pub branch: Branch,
    /// How much of everything.
    pub limits: Limits,
    /// How you are told that a task needs you, or has ended. Only in the user's config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// How much each provider of models is asked at once, by its name (`anthropic`, `openai`, or the host of a base
    /// URL). Counts for all repositories of this machine. Only in the user's config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, ProviderLimits>,
    /// What is never taken for a secret. Only in the user's config.
    pub redact: Redact,
}

/// A role: what its clones run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// The brain of new clones.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe_word")]
    #[schemars(with = "Option<String>")]
    pub brain: Option<BrainName>,
    /// The brain's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Settings of one brain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Brain {
    /// The model, unless the role names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// What it may do outside a sandbox besides edits, in the brain's own words.
    pub allow: Vec<String>,
    /// Variables that it gets besides its usual ones.
    pub env: Vec<EnvName>,
    /// Its program, instead of the one on PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// How a brain's changes are committed. A bare `auto` or `never` stands for its `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// Whether changes that a brain leaves are committed.
    pub mode: AutoCommit,
    /// Larger files stay uncommitted and are named.
    pub max_file: Size,
    /// With more files than this, nothing is committed.
    pub max_files: NonZeroU32,
}

/// What the schema shows for `commit`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum CommitOrMode {
    Mode(AutoCommit),
    Commit(Commit),
}

fn commit_or_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Commit, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Commit;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("auto, never, or keys such as max_file")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<Commit, E> {
            let mode = AutoCommit::deserialize(de::value::StrDeserializer::new(word))?;
            Ok(Commit {
                mode,
                ..Commit::default()
            })
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Commit, A::Error> {
            Commit::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Visitor)
}

/// Who stands in the commits of clones, and of what lands. Merges and squashes of `land` are yours in any case, and what a
/// brain commits itself is so as long as it says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Attribution {
    /// The author of what is committed for a clone.
    pub author: Party,
    /// Its committer.
    pub committer: Party,
    /// Whether a line `Co-authored-by` names the clone there.
    pub co_author: bool,
    /// Whether every commit that lands gets a line `Signed-off-by` of yours; those of clones are made anew for it.
    pub sign_off: bool,
}

impl Default for Attribution {
    fn default() -> Self {
        Self {
            author: Party::You,
            committer: Party::Khlone,
            co_author: false,
            sign_off: false,
        }
    }
}

/// How a clone's work comes into its zone's branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Land {
    /// What lands where `commit.gpgSign` is on, and commits to land are not signed.
    pub sign: LandSign,
}

/// How a clone's worktree is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worktree {
    /// The folder that worktrees stand in, instead of `<repo>.khlone` beside the repository. A relative one
    /// counts from the top of the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Ignored folders to copy into a new worktree.
    pub copy: Vec<InTree>,
    /// Shell commands to run in a new worktree. They need `git khlone trust`.
    pub setup: Vec<String>,
    /// Files, as in .gitignore, whose change runs `setup` again.
    pub setup_when: Vec<String>,
}

/// How branches of clones are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Branch {
    /// What stands before the zone: `khlone` in `khlone/main/foreman.1`.
    pub prefix: BranchPrefix,
}

/// How much a provider is asked at once, for each key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderLimits {
    /// Tasks under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<NonZeroU32>,
    /// Tasks started within any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<NonZeroU32>,
}

/// What is never taken for a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// Regular expressions for text that stays as it is.
    pub allow: Vec<String>,
}

/// How much of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Tasks that may wait for one clone.
    pub queue: NonZeroU32,
    /// Clones of a zone.
    pub clones: NonZeroU32,
    /// Tasks that run at once on this machine. They wait for their providers most of the time, not for a core.
    pub running: NonZeroU32,
    /// Watchers of a clone.
    pub watchers: NonZeroU32,
    /// The longest answer or summary that is kept whole, up to 1MiB.
    pub artifact: Size,
    /// The longest transcript that is kept whole.
    pub transcript: Size,
    /// The largest file that a snapshot holds; of a larger one, hash and size.
    pub blob: Size,
    /// Attempts of a task that may die by what its brain does. Three times as many may die with their runner.
    pub attempts: NonZeroU32,
    /// How long a task may take.
    pub task: Span,
    /// How long a brain may be silent.
    pub silence: Span,
    /// The least time between two checkpoints of a run.
    pub checkpoint: Span,
    /// How long each of your git hooks may take when work lands.
    pub hook: Span,
    /// How long the daemon stays without work.
    pub idle: Span,
    /// How long a finished task is kept. Work that has not landed is kept for ever.
    pub keep_for: Span,
    /// How many finished tasks of a zone are kept, the newest. Work that has not landed is kept besides.
    pub keep: NonZeroU32,
}

const fn count(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: count(200),
            clones: count(8),
            running: count(4),
            watchers: count(32),
            artifact: Size::mib(1),
            transcript: Size::mib(16),
            blob: Size::mib(50),
            attempts: count(10),
            task: Span::secs(2 * 3600),
            silence: Span::secs(10 * 60),
            checkpoint: Span::secs(2),
            hook: Span::secs(10 * 60),
            idle: Span::secs(30 * 60),
            keep_for: Span::secs(30 * 86_400),
            keep: count(200),
        }
    }
}

/// Limits by which a higher value costs the machine, its disk or the user's money more.
macro_rules! capped {
    ($($field:ident),*) => {
        impl Limits {
            /// What of these goes beyond `most`, with what is asked for.
            pub(super) fn beyond(&self, most: &Self) -> Vec<(&'static str, String)> {
                let mut beyond = Vec::new();
                $(if self.$field > most.$field {
                    beyond.push((stringify!($field), self.$field.to_string()));
                })*
                beyond
            }

            /// Takes the limit `key` down to that of `most`.
            pub(super) fn lower(&mut self, key: &str, most: &Self) {
                match key {
                    $(stringify!($field) => self.$field = self.$field.min(most.$field),)*
                    _ => {}
                }
            }

            /// These, each as far as `most` allows.
            pub(super) fn within(&self, most: &Self) -> Self {
                let mut within = self.clone();
                $(within.$field = self.$field.min(most.$field);)*
                within
            }
        }
    };
}
capped!(
    running, queue, clones, watchers, artifact, transcript, blob, attempts, task, silence, hook, idle,
    keep_for, keep
);

impl Default for Commit {
    fn default() -> Self {
        Self {
            mode: AutoCommit::Auto,
            max_file: Size::mib(10),
            max_files: count(2000),
        }
    }
}

/// Lock files: when one changes, what `setup` installed is stale.
const LOCK_FILES: [&str; 11] = [
    "Cargo.lock",
    "Gemfile.lock",
    "bun.lock",
    "composer.lock",
    "go.sum",
    "package-lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "requirements*.txt",
    "uv.lock",
    "yarn.lock",
];

impl Default for Worktree {
    fn default() -> Self {
        Self {
            root: None,
            copy: Vec::new(),
            setup: Vec::new(),
            setup_when: LOCK_FILES.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Branch {
    fn default() -> Self {
        Self {
            prefix: BranchPrefix::khlone(),
        }
    }
}

impl Config {
    /// What `brain` may do.
    pub fn permissions_of(&self, brain: &BrainName) -> Permissions {
        let own = self.brains.get(brain).and_then(|settings| settings.permissions);
        own.unwrap_or(self.permissions)
    }

    /// The model of a clone with `role` on `brain`, where one is wanted: the role's counts over the brain's, if
    /// the role is for that brain or for any.
    pub fn model_of(&self, role: &RoleName, brain: &BrainName) -> Option<String> {
        let role = self
            .roles
            .get(role)
            .filter(|role| role.brain.as_ref().is_none_or(|own| own == brain));
        let own = role.and_then(|role| role.model.clone());
        own.or_else(|| self.brains.get(brain)?.model.clone())
    }
}
