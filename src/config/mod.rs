//! What the user and the repository want: `khlone.yml`, the user's own config, and where files live.
//!
//! All files have one shape ([`Config`]); [`Config::layered`] lays the repository's over the user's over the machine's
//! over the defaults. It takes bytes and a name for them: which checkout's `khlone.yml` counts is the caller's affair,
//! and a clone's worktree is never it. Unknown keys and bad values are errors that name file, line, column and
//! the nearest key. Nothing here runs, prints or writes.

mod error;
mod floor;
mod load;
mod network;
mod notify;
mod paths;
mod policy;
mod shape;
mod units;
mod words;

pub use error::{At, ConfigError};
pub use load::{FILE_NAME, Layers, Loaded, MAX_FILE, Origin, Source, json_schema};
pub use network::{HostRule, Network};
pub use notify::{Desktop, Notify};
pub use paths::{HomeError, Paths, in_home};
pub use policy::{AutoCommit, Delegation, LandSign, Party, Permissions, Resume, Sandbox, Trust};
pub use shape::{
    Attribution, Brain, Branch, Commit, Config, Land, Limits, ProviderLimits, Redact, Role, Worktree,
};
pub use units::{Size, Span, UnitError};
pub use words::{BranchPrefix, EnvName, Hero, InTree, WordError, nearest};
