//! Worktrees: where clones work, how they are made and removed, and what a run did to the files in them.

pub mod apart;
pub mod carry;
pub mod checkout;
pub mod copy;
pub mod create;
pub mod disk;
pub mod effects;
pub mod erase;
pub mod gitlinks;
pub mod holder;
pub mod include;
pub mod index;
pub mod keep;
pub mod lenient;
pub mod modes;
pub mod moved;
pub mod neighbours;
pub mod nested;
pub mod place;
pub mod port;
pub mod receipt;
pub mod remove;
pub mod restore;
pub mod setup;
pub mod snapshot;
pub mod standing;
mod starters;
pub mod submodule;
pub mod surroundings;
#[cfg(test)]
pub(crate) mod testing;
