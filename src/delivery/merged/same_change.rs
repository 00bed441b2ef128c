//! Whether one commit of the zone's makes the very change of all the clone's: a squash, also where the zone has gone on
//! in the same lines since.

use bstr::ByteSlice;
use git2::Oid;

use crate::{
    process::{Cmd, ProcessError},
    refs::Repo,
};

/// So many commits of the zone's are looked at, the newest.
const COMMITS: &str = "--max-count=2000";
/// With more files than these, commits are not chosen by them.
const FILES: usize = 200;

/// Whether a commit of `base..zone_tip` changes what `base..commit` does, and none after it reverts that one.
///
/// # Errors
/// If git fails, or the change is too long to look at.
pub(super) fn has_same_change(
    repo: &Repo,
    (base, commit): (Oid, Oid),
    zone_tip: Oid,
) -> Result<bool, ProcessError> {
    let git = || Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let change = |how: &[&str]| {
        let git = git().args(["diff-tree", "-r"]).args(how);
        git.args([base.to_string(), commit.to_string()]).output()
    };
    let ids = patch_ids(repo, change(&["-p", "--full-index"])?)?;
    let Some((wanted, _)) = ids.first() else {
        return Ok(false);
    };
    let names = change(&["-z", "--name-only"])?;
    let names: Vec<_> = names.split_str(b"\0").filter(|name| !name.is_empty()).collect();
    let mut list = git().args(["--literal-pathspecs", "rev-list", "--no-merges", COMMITS]);
    list = list.arg(format!("{base}..{zone_tip}"));
    if names.len() <= FILES {
        list = list
            .arg("--")
            .args(names.iter().map(|name| name.to_os_str_lossy()));
    }
    let candidates = list.output()?;
    let patches = git().args(["diff-tree", "--stdin", "-r", "-p", "--full-index"]);
    let patches = patches.input(candidates).output()?;
    for (id, found) in patch_ids(repo, patches)? {
        if id == *wanted && !is_reverted(repo, &found, zone_tip)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The ids of patches, with the commits that they are of.
fn patch_ids(repo: &Repo, patches: Vec<u8>) -> Result<Vec<(String, String)>, ProcessError> {
    let git = Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let out = git.args(["patch-id", "--stable"]).input(patches).output()?;
    let out = out.to_str_lossy();
    let pair = |line: &str| {
        line.split_once(' ')
            .map(|(id, of)| (id.to_owned(), of.to_owned()))
    };
    Ok(out.lines().filter_map(pair).collect())
}

/// Whether a later commit says that it reverts `commit`.
fn is_reverted(repo: &Repo, commit: &str, tip: Oid) -> Result<bool, ProcessError> {
    let log = Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let log = log.args(["rev-list", "--max-count=1", "--fixed-strings"]);
    let log = log.arg(format!("--grep=This reverts commit {commit}"));
    Ok(!log.arg(format!("{commit}..{tip}")).output()?.is_empty())
}
