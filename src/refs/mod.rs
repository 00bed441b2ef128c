//! The ledger: git objects and refs, typed and durable. Only this module, `worktree` and the private gitdir of
//! `guard` touch git.

mod objects;

pub use git2::Oid;
pub use objects::{Kind, MemorySink, ObjectSink, TreeEntry, encode_tree};
