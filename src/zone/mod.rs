//! Zones and their crew: who works where, under which settings, and how a task gets to them.

mod admission;
pub mod again;
pub mod apart;
pub mod changes;
mod crew;
mod dispatch;
pub mod hold;
pub mod open;
mod order;
pub mod owners;
mod resolve;
pub mod saving;
mod settings;
pub mod sites;
mod submit;
mod trial;
mod waiting;

pub use admission::{AdmissionError, Admitted, Caller, admit, refuse_home, require_khlone_home};
pub use crew::{CrewError, Hero, Pick, pick};
pub use dispatch::{DispatchError, Dispatched};
pub use order::{DISRUPTS, Order, Rank, clone_of};
pub use resolve::{Place, ResolveError, clone_named, here, nearest, zone_named};
pub use settings::{
    SettingsError, require_trust, settings, site_settings, trust_request, trust_store, user_settings,
};
pub use submit::{OrderError, program, refuse_open};
pub use waiting::{Waits, recovering, waits_for};
