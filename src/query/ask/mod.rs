//! The questions, and how the ledger answers them.

pub(super) mod diff;
pub(super) mod list;
pub(super) mod status;
pub(super) mod task;
