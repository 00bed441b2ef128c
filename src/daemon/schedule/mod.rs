//! What runs when: the reconciler over the ledger, the plan it follows, the runners it starts.

pub(in crate::daemon) mod engine;
pub(in crate::daemon) mod hindrance;
pub(in crate::daemon) mod keeper;
pub(in crate::daemon) mod ledger_store;
pub(in crate::daemon) mod machine;
pub(in crate::daemon) mod notices;
pub(in crate::daemon) mod plan;
pub(in crate::daemon) mod providers;
pub(in crate::daemon) mod ref_watch;
pub(in crate::daemon) mod runners;
pub(in crate::daemon) mod settings;
pub(in crate::daemon) mod store;
