//! What keeps a brain in its worktree, and what makes of its output something that is safe to keep and show.
//!
//! A clone works in tier T2 (bubblewrap, a pid namespace, a private git folder) where this machine can do it,
//! else in T0, where nothing is prevented and everything is watched. Whatever stands in a folder that a brain could
//! write is untrusted: it is read as text, never followed, and no git process of the host works on it.

pub mod beneath;
pub mod gitdir;
pub mod sandbox;
pub mod secrets;
pub mod trust;
