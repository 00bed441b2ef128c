//! Locks that stand in the git folder of a clone's worktree after its brain, or our commit there, was killed.
//!
//! Without a sandbox that folder is the host's, and a lock in it may be anybody's; nothing announces it either. git
//! holds one only while it runs. So one is removed if it was made since the attempt began, of which nothing lives any
//! more, and no git at all works in that worktree now.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use crate::{process::tree::processes, worktree::checkout::Checkout};

/// Removes what an attempt that began at `since` (seconds since the epoch) has left; its processes are gone. Gives
/// what it removed.
///
/// # Errors
/// If a lock can be neither looked at nor removed.
pub fn clear_left(common: &Path, checkout: &Checkout, since: i64) -> io::Result<Vec<PathBuf>> {
    let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(since).unwrap_or(0));
    let branch = checkout.head_ref().filter(|name| name.starts_with("refs/heads/"));
    let locks = ["index.lock", "HEAD.lock"].map(|name| checkout.git_dir.join(name));
    let branch = branch.map(|name| common.join(format!("{name}.lock")));
    let mut removed = Vec::new();
    for lock in locks.into_iter().chain(branch) {
        let made = match fs::symlink_metadata(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?.modified()?,
        };
        if made < since || is_git_at_work(checkout) {
            continue;
        }
        match fs::remove_file(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) => removed.push(lock),
        }
    }
    Ok(removed)
}

/// Whether a git of this user works in the worktree or its git folder.
fn is_git_at_work(checkout: &Checkout) -> bool {
    processes().any(|pid| {
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let name = name.trim_end();
        let is_git = name == "git" || name.starts_with("git-") && name != "git-khlone";
        is_git
            && fs::read_link(process.join("cwd"))
                .is_ok_and(|at| at.starts_with(&checkout.path) || at.starts_with(&checkout.git_dir))
    })
}
