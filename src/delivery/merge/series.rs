//! Commits made anew on another base, one by one, as `git rebase` does it: merges are flattened, and what the new base
//! has already is left out.

use git2::Oid;

use super::{Conflict, MergeError, Merged, pick};
use crate::{
    process::{Cmd, ProcessError},
    refs::Repo,
};

/// What a series became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its last commit; the new base, if nothing was left of it.
    pub to: Oid,
    /// The commits that were made anew, old and new, oldest first.
    pub rewritten: Vec<(Oid, Oid)>,
    /// The commits whose change the new base has already.
    pub dropped: Vec<Oid>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// All of it.
    Whole(Series),
    /// A commit does not fit.
    Conflict {
        /// Which.
        commit: Oid,
        /// How.
        conflict: Conflict,
    },
}

/// Makes the commits anew that `from` has and neither `onto` nor `base` has, each by `again`, which is given the commit,
/// its new files and its new parent.
///
/// # Errors
/// If git fails.
pub fn series(
    repo: &Repo,
    (from, base): (Oid, Option<Oid>),
    onto: Oid,
    mut again: impl FnMut(Oid, Oid, Oid) -> Result<Oid, MergeError>,
) -> Result<Replayed, MergeError> {
    let (fresh, mut dropped) = own_commits(repo, (from, base), onto)?;
    let (mut to, mut rewritten) = (onto, Vec::new());
    for commit in fresh {
        let tree = match pick(repo, commit, to)? {
            Merged::Clean(tree) => tree,
            Merged::Conflict(conflict) => return Ok(Replayed::Conflict { commit, conflict }),
        };
        if tree == repo.git().find_commit(to)?.tree_id() && changes_something(repo, commit)? {
            dropped.push(commit);
            continue;
        }
        to = again(commit, tree, to)?;
        rewritten.push((commit, to));
    }
    Ok(Replayed::Whole(Series {
        to,
        rewritten,
        dropped,
    }))
}

/// The commits to be made anew and those whose change `onto` has, oldest first.
fn own_commits(
    repo: &Repo,
    (from, base): (Oid, Option<Oid>),
    onto: Oid,
) -> Result<(Vec<Oid>, Vec<Oid>), ProcessError> {
    let list = Cmd::git(repo.common_dir()).dir(repo.common_dir());
    let list = list.args([
        "rev-list",
        "--reverse",
        "--topo-order",
        "--no-merges",
        "--right-only",
        "--cherry-mark",
    ]);
    let list = list.arg(format!("{onto}...{from}"));
    let out = list.args(base.map(|base| format!("^{base}"))).output()?;
    let (mut fresh, mut landed) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(&out).lines() {
        let into = if line.starts_with('=') {
            &mut landed
        } else {
            &mut fresh
        };
        into.extend(line.trim_start_matches(['=', '+', '>']).parse::<Oid>());
    }
    Ok((fresh, landed))
}

fn changes_something(repo: &Repo, commit: Oid) -> Result<bool, git2::Error> {
    let commit = repo.git().find_commit(commit)?;
    Ok(commit.parent(0)?.tree_id() != commit.tree_id())
}
