//! How many packs this process has open at a time.
//!
//! libgit2 keeps each pack that it has read from open, and a repository may have more packs than a process may have
//! files. Beyond the bound it closes the one that was used longest ago, and opens it again when it is asked for.

/// Fewer than half of the 64 files that are the least anybody gives a process.
const MOST: usize = 24;

/// Bounds the packs of every repository of this process. For the start of the process, before any other thread.
pub fn bound_open_packs() {
    // SAFETY: it sets a number of libgit2's without a lock; no other thread is there yet to read it.
    #[allow(
        unsafe_code,
        reason = "libgit2 offers no other way, and nothing else of it is used yet"
    )]
    let bounded = unsafe { git2::opts::set_mwindow_file_limit(MOST) };
    if let Err(error) = bounded {
        tracing::warn!(%error, "packs stay open without a bound");
    }
}
