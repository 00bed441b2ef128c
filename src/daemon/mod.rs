//! The daemon of a site: schedules, supervises, answers; holds nothing that it cannot read back.
//!
//! The ledger is the truth and the daemon a reconciler over it. `act` writes the task first and wakes the daemon
//! after; a dead daemon blocks nobody and a new one carries on. Runners outlive it. One daemon a site, held by an
//! flock that is handed from starter to daemon; one socket, in a private folder, named in a record beside the
//! lock. Everything runs on one thread but the ledger, which has one of its own, so that a slow disk delays no
//! answer that does not need it.

mod client;
mod error;
mod events;
mod life;
mod schedule;
mod server;
mod shared;

use crate::rpc as protocol;

pub use crate::rpc::{
    Call, Frame, Greeting, MAX_ANSWER, MAX_BATCH, MAX_DEPTH, MAX_FRAME, PROTOCOL, Refusal,
    codes::{Code, RpcError, RpcErrorData},
    parse as parse_frame,
};
pub use client::{
    Client, PATIENCE,
    ask::{bridge, status, stop},
    attend::Attendance,
    lift::lift,
    line::Line,
    start::{START, Woken, wake},
};
pub use error::DaemonError;
pub use events::{
    Stretch,
    changes::{ChangeFeed, Changes},
    events_path,
    feed::{Bookmark, Feed, News, Since, SinceError, Told},
    read_events,
};
pub use life::{
    log::tail,
    place::Place,
    run::{RunOptions, run},
};
pub use schedule::hindrance::hindrance;
pub use server::{methods::Standing, reading::Answers};
pub use shared::DaemonStatus;
