//! From the lock that makes one daemon a site to the last look before it leaves.

pub(in crate::daemon) mod lock;
pub(in crate::daemon) mod log;
pub(in crate::daemon) mod place;
pub(in crate::daemon) mod run;
pub(in crate::daemon) mod upkeep;
