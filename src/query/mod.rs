//! What `list`, `show` and `status` ask of the ledger.

mod needs;

pub use needs::{Look, Needed, needs};
