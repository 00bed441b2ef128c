//! Zones and their crew: who works where, and how a task gets to them.

mod crew;
mod dispatch;
mod resolve;

pub use crew::{CrewError, Hero, Pick, pick};
pub use dispatch::{Dispatch, DispatchError, Dispatched, Limits, dispatch};
pub use resolve::{Place, ResolveError, clone_named, here, nearest, zone_named};
