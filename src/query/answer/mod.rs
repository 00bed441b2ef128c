//! The answers: the documents of the verbs, which are read as they are written.

pub(super) mod crew;
pub(super) mod diff;
pub(super) mod env;
pub(super) mod list;
pub(super) mod log;
pub(super) mod names;
pub(super) mod status;
pub(super) mod task;
