//! What `list`, `show`, `diff` and `status` ask of the ledger.

mod needs;
mod sides;

pub use needs::{Look, Needed, needs};
pub use sides::{Sides, sides};
