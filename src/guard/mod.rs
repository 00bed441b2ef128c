//! What keeps a brain in its worktree, and what makes of its output something that is safe to keep and show.
//!
//! A clone works in tier T2 (bubblewrap, a pid namespace, a private git folder) where this machine can do it,
//! else in T0, where nothing is prevented and everything is watched. Whatever stands in a folder that a brain could
//! write is untrusted: it is read as text, never followed, and no git process of the host works on it.

pub mod alternates;
pub mod beneath;
pub mod caches;
pub mod cleaner;
pub mod commit;
pub mod confine;
pub mod credentials;
pub mod environment;
pub mod gitconfig;
pub mod gitdir;
mod gitfiles;
mod homes;
pub mod import;
pub mod left_locks;
pub mod lfs;
mod mainrefs;
mod mounts;
pub mod privaterefs;
pub mod proxy;
pub mod redact;
pub mod refnames;
pub mod relay;
pub mod running;
pub mod sandbox;
pub mod sanitise;
pub mod selection;
mod shapes;
mod sockets;
pub mod standing;
pub mod survivors;
pub mod tier;
mod tool_settings;
pub mod trust;
pub mod uncommitted;
