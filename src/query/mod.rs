//! What is asked of a site: one typed question each for what `list`, `show`, `status`, `diff` and `log` tell, with an
//! answer that is the verb's document with `--json`.
//!
//! A [`Query`] is answered by a [`Source`]: the ledger here ([`Ground`]), or a daemon ([`Rpc`]), which has it answered by
//! its own ledger ([`serve()`]). Both give the same document, byte for byte. What reads for a person or a program asks a
//! source.

mod answer;
mod ask;
mod brains;
mod document;
mod error;
mod gather;
mod ground;
mod needs;
mod rpc;
mod serve;
mod sides;
mod target;

use serde::{Serialize, de::DeserializeOwned};

pub use answer::{
    crew::{CrewLine, CrewList, ZoneLine, ZoneList},
    diff::{ChangedFile, DiffView},
    env::EnvView,
    list::{BrainList, Listed, NeedsLine, NeedsList, SiteLine, SiteList, TaskLine, TaskList},
    log::{LogView, Step},
    names::Names,
    status::{RunningLine, StatusView, StrangerLine, WaitingLine},
    task::{TaskDetail, TaskDocument},
};
pub use ask::{
    diff::{Diff, Range, range},
    list::{Damage, Damages, List, Naming, What, site_list},
    status::Status,
    task::{Env, Log, Show},
};
pub use brains::brains_by;
pub use document::Document;
pub use error::{QueryError, nothing};
pub use gather::{JUDGE, Parts, crew};
pub use ground::Ground;
pub use needs::{Look, Needed, needs};
pub use rpc::Rpc;
pub use serve::serve;
pub use sides::{Sides, sides};
pub use target::{Target, crew_of, target, task};

/// A question about a site. Its fields are the parameters of its method.
pub trait Query: Serialize + DeserializeOwned {
    /// The method that it is in JSON-RPC.
    const METHOD: &'static str;

    /// What answers it.
    type Answer: Serialize + DeserializeOwned;

    /// The answer, by the ledger.
    ///
    /// # Errors
    /// If what is asked for is not there, or cannot be read.
    fn answer(&self, ground: &Ground<'_>) -> Result<Self::Answer, QueryError>;
}

/// What answers questions about a site.
pub trait Source {
    /// The answer.
    ///
    /// # Errors
    /// If what is asked for is not there or cannot be read, or nothing answers.
    fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, QueryError>;
}

/// For fields that are left out where they count nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}
