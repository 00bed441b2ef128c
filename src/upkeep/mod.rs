//! What keeps the ledger small and whole, and what takes work away and brings it back.

pub mod adopt;
pub mod fsck;
pub mod gc;
pub mod prune;
pub mod redaction;
pub mod removal;
pub mod repair;
pub mod retention;
pub mod rollback;
pub mod undo;
pub mod uninstall;
mod work;
