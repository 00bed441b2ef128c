//! Zones and their crew: who works where, how a task gets to them, and how their work comes back.

pub mod adopt;
pub mod advance;
pub mod again;
mod crew;
mod dispatch;
pub mod fsck;
pub mod gc;
pub mod hold;
pub mod landing;
pub mod merge;
pub mod open;
mod order;
pub mod owners;
pub mod prune;
pub mod redaction;
pub mod removal;
pub mod repair;
mod resolve;
pub mod retention;
pub mod rollback;
mod saving;
mod settings;
pub mod sites;
mod trial;
pub mod undo;
pub mod update;
mod waiting;

pub use crew::{CrewError, Hero, Pick, pick};
pub use dispatch::{Dispatch, DispatchError, Dispatched, Limits, dispatch};
pub use order::{DISRUPTS, Order, OrderError, Rank, order, program};
pub use resolve::{Place, ResolveError, clone_named, here, nearest, zone_named};
pub use settings::{
    SettingsError, require_trust, settings, site_settings, trust_request, trust_store, user_settings,
};
pub use waiting::{Waits, recovering, waits_for};
