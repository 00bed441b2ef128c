//! `git khlone`: a git-native dispatcher of coding agents.
//!
//! The binary is thin; everything it does is here, in layers that import downwards only:
//! `cli → render → query → daemon → runner → upkeep → delivery → zone → brain, guard → worktree → refs → config, task, process`.
//! `docs/architecture.md` follows one task through them, and a test holds the order.

pub mod brain;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod delivery;
pub mod guard;
pub mod process;
pub mod query;
pub mod refs;
pub mod render;
pub mod rpc;
pub mod runner;
pub mod task;
pub mod upkeep;
pub mod worktree;
pub mod zone;
