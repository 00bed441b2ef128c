//! The daemon of a site: schedules, supervises, answers; holds nothing that it cannot read back.
//!
//! The ledger is the truth and the daemon a reconciler over it. `act` writes the task first and wakes the daemon
//! after; a dead daemon blocks nobody and a new one carries on. Runners outlive it. One daemon a site, held by an
//! flock that is handed from starter to daemon; one socket, in a private folder, named in a record beside the
//! lock. Everything runs on one thread but the ledger, which has one of its own, so that a slow disk delays no
//! answer that does not need it.

mod ask;
mod client;
mod codes;
mod engine;
mod enqueue;
mod error;
mod events;
mod feed;
mod frames;
mod hindrance;
mod keeper;
mod ledger_store;
mod lift;
mod line;
mod lock;
mod log;
mod machine;
mod methods;
mod notices;
mod place;
mod plan;
mod protocol;
mod providers;
mod ref_watch;
mod run;
mod runners;
mod server;
mod settings;
mod shared;
mod start;
mod store;
mod upkeep;
mod watching;

pub use ask::{bridge, status, stop};
pub use client::{Client, PATIENCE};
pub use codes::{Code, RpcError, RpcErrorData};
pub use error::DaemonError;
pub use events::{Stretch, events_path, read_events};
pub use feed::{Bookmark, Feed, News, Since, SinceError, Told};
pub use hindrance::hindrance;
pub use lift::lift;
pub use line::Line;
pub use log::tail;
pub use methods::Standing;
pub use place::Place;
pub use protocol::{
    Call, Frame, Greeting, MAX_BATCH, MAX_DEPTH, MAX_FRAME, PROTOCOL, Refusal, parse as parse_frame,
};
pub use run::{RunOptions, run};
pub use shared::DaemonStatus;
pub use start::{START, Woken, wake};
