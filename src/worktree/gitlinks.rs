//! Submodules in the index of a clone's worktree.
//!
//! What stands in them is the brain's: git folders of its own making, whose settings the user's own `git status` would
//! obey when it looks inside (a file system monitor is a command). So in the host's index they are marked to be passed
//! over (`skip-worktree`), whatever `.gitmodules` says; the clone's own copy of the index has the mark off.

use std::path::Path;

use super::{checkout::Checkout, lenient::leniently};
use crate::{
    process::{Cmd, ProcessError},
    refs::Oid,
};

/// In a worktree's git folder, where there are any: most have none, and nobody has to look.
const MARKER: &str = "khlone-gitlinks";
/// The mode of a submodule in `git ls-files --stage`.
const GITLINK: &[u8] = b"160000 ";

/// Whether a clone's worktree has, or may have, submodules.
pub fn expected(checkout: &Checkout) -> bool {
    is_marked(&checkout.git_dir) || checkout.path.join(".gitmodules").symlink_metadata().is_ok()
}

/// Whether some were marked to be passed over in the index of the worktree's git folder `admin`.
pub fn is_marked(admin: &Path) -> bool {
    admin.join(MARKER).exists()
}

/// Marks them to be passed over, in the host's index of a clone's worktree.
///
/// # Errors
/// If git fails.
pub fn pass_over(checkout: &Checkout) -> Result<(), ProcessError> {
    let paths = gitlinks(checkout.git())?;
    if paths.is_empty() {
        return Ok(());
    }
    let marker = checkout.git_dir.join(MARKER);
    let written = std::fs::write(&marker, "").and_then(|()| checkout.sharing().adjust(&marker));
    written.map_err(|source| ProcessError::Spawn {
        program: marker.display().to_string(),
        source,
    })?;
    mark(|| checkout.git(), "--skip-worktree", &paths)
}

/// Takes the marks off in `index`, a copy of the index of the worktree's git folder `admin`.
///
/// # Errors
/// If git fails.
pub fn look_at(admin: &Path, index: &Path) -> Result<(), ProcessError> {
    let git = || Cmd::git(admin).env("GIT_INDEX_FILE", index);
    let paths = gitlinks(git())?;
    if paths.is_empty() {
        return Ok(());
    }
    mark(git, "--no-skip-worktree", &paths)
}

fn mark(git: impl Fn() -> Cmd, how: &str, paths: &[u8]) -> Result<(), ProcessError> {
    leniently(git, |git| {
        let git = git.args(["update-index", "-z", how, "--stdin"]);
        git.input(paths).output().map(drop)
    })
}

/// The submodules of a checkout's index, with their commits.
///
/// # Errors
/// If git fails.
pub fn listed(checkout: &Checkout) -> Result<Vec<(Vec<u8>, Oid)>, ProcessError> {
    list(checkout.git())
}

/// Their paths, each ended by NUL.
fn gitlinks(git: Cmd) -> Result<Vec<u8>, ProcessError> {
    let mut paths = Vec::new();
    for (path, _) in list(git)? {
        paths.extend(path);
        paths.push(0);
    }
    Ok(paths)
}

fn list(git: Cmd) -> Result<Vec<(Vec<u8>, Oid)>, ProcessError> {
    let listed = git.args(["ls-files", "--stage", "-z"]).output()?;
    let records = listed.split(|byte| *byte == 0);
    let links = records.filter_map(|record| {
        let rest = record.strip_prefix(GITLINK)?;
        let oid = std::str::from_utf8(rest.get(..40)?).ok()?.parse().ok()?;
        let tab = rest.iter().position(|byte| *byte == b'\t')?;
        Some((rest[tab + 1..].to_vec(), oid))
    });
    Ok(links.collect())
}
