//! The commit that a zone's branch goes to, and what it brings.

use git2::{DiffFindOptions, Oid, Sort};

use super::{Kind, LandError, Landing, Stat, Style, message::message};
use crate::{
    delivery::merge::{Merged, Replayed, merge_by, replay, series},
    refs::Repo,
};

/// `commit` as it is on the clone's branch now: itself, or what an update made of it.
pub(super) fn on_branch(
    repo: &Repo,
    landing: &Landing<'_>,
    commit: Oid,
    old: Oid,
    tip: Oid,
) -> Result<Oid, LandError> {
    let git = repo.git();
    if commit == tip
        || commit == old
        || git.graph_descendant_of(tip, commit)?
        || git.graph_descendant_of(old, commit)?
    {
        return Ok(commit);
    }
    let wanted = Likeness::of(repo, commit)?;
    for candidate in between(repo, old, tip)? {
        if Likeness::of(repo, candidate)? == wanted {
            return Ok(candidate);
        }
    }
    Err(LandError::Rewritten {
        commit,
        branch: landing.branch.to_owned(),
        zone: landing.zone.to_owned(),
    })
}

/// What a commit has in common with those that are made anew of it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Likeness {
    author: Vec<u8>,
    when: (i64, i32),
    message: Vec<u8>,
}

impl Likeness {
    pub(super) fn of(repo: &Repo, commit: Oid) -> Result<Self, git2::Error> {
        let commit = repo.git().find_commit(commit)?;
        let author = commit.author();
        Ok(Self {
            author: author.email_bytes().to_vec(),
            when: (author.when().seconds(), author.when().offset_minutes()),
            message: commit.message_raw_bytes().to_vec(),
        })
    }
}

/// How the zone's branch would come to what lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Make {
    /// It moves to a commit that is there.
    Move(Oid),
    /// It moves to a commit that is still to be made.
    Commit {
        /// Its parents.
        parents: Vec<Oid>,
        /// Its message.
        message: String,
    },
}

/// What lands, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) kind: Kind,
    /// The files.
    pub(super) tree: Oid,
    pub(super) make: Make,
    /// Commits that were made anew for it, old and new, oldest first.
    pub(super) series: Vec<(Oid, Oid)>,
}

impl Joined {
    fn moved(repo: &Repo, kind: Kind, to: Oid) -> Result<Self, git2::Error> {
        Ok(Self {
            kind,
            tree: repo.git().find_commit(to)?.tree_id(),
            make: Make::Move(to),
            series: Vec::new(),
        })
    }
}

/// Joins `source` with `old`, the zone's tip, as the landing wants it. What `base` has, if it is given, has landed
/// already, whatever became of it since. `told` is what the strategy of a merge is told.
pub(super) fn joined(
    repo: &Repo,
    landing: &Landing<'_>,
    (old, source, base): (Oid, Oid, Option<Oid>),
    told: &[String],
) -> Result<Joined, LandError> {
    let git = repo.git();
    if source == old || git.graph_descendant_of(old, source)? {
        return Ok(Joined::moved(repo, Kind::Already, old)?);
    }
    let is_ahead = git.graph_descendant_of(source, old)?;
    if is_ahead && landing.style == Style::Auto {
        return Ok(Joined::moved(repo, Kind::FastForward, source)?);
    }
    if landing.style == Style::Rebase {
        return rebased(repo, landing, old, (source, base));
    }
    let merged = if is_ahead {
        Merged::Clean(git.find_commit(source)?.tree_id())
    } else {
        merge_by(repo, told, base, (old, source))?
    };
    let tree = match merged {
        Merged::Clean(tree) if tree == git.find_commit(old)?.tree_id() => {
            return Ok(Joined::moved(repo, Kind::Already, old)?);
        }
        Merged::Clean(tree) => tree,
        Merged::Conflict(conflict) => return Err(LandError::conflict(landing, conflict)),
    };
    let (kind, parents) = match landing.style {
        Style::Squash => (Kind::Squash, vec![old]),
        Style::Auto | Style::NoFf | Style::Rebase => (Kind::Merge, vec![old, source]),
    };
    let message = message(repo, landing, kind, &between(repo, old, source)?)?;
    Ok(Joined {
        kind,
        tree,
        make: Make::Commit { parents, message },
        series: Vec::new(),
    })
}

/// The commits of `source` one by one on `old`.
fn rebased(
    repo: &Repo,
    landing: &Landing<'_>,
    old: Oid,
    from: (Oid, Option<Oid>),
) -> Result<Joined, LandError> {
    let again = |original, tree, parent| replay(repo, original, tree, parent);
    match series(repo, from, old, again)? {
        Replayed::Conflict { conflict, .. } => Err(LandError::conflict(landing, conflict)),
        Replayed::Whole(series) if series.to == old => Ok(Joined::moved(repo, Kind::Already, old)?),
        Replayed::Whole(series) => Ok(Joined {
            series: series.rewritten,
            ..Joined::moved(repo, Kind::Rebase, series.to)?
        }),
    }
}

/// The commits that `to` has and `from` has not, newest first.
pub(super) fn between(repo: &Repo, from: Oid, to: Oid) -> Result<Vec<Oid>, LandError> {
    let mut walk = repo.git().revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(to)?;
    walk.hide(from)?;
    Ok(walk.collect::<Result<_, _>>()?)
}

/// What is different between a commit and a tree.
pub(super) fn stat(repo: &Repo, old: Oid, new: Oid) -> Result<Stat, LandError> {
    let git = repo.git();
    let (old, new) = (git.find_commit(old)?.tree()?, git.find_tree(new)?);
    let mut diff = git.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    let stats = diff.stats()?;
    Ok(Stat {
        files: stats.files_changed(),
        insertions: stats.insertions(),
        deletions: stats.deletions(),
    })
}
