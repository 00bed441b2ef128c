//! The commit that a zone's branch goes to, and what it brings.

use bstr::ByteSlice;
use git2::{DiffFindOptions, Oid, Sort};

use super::{Kind, LandError, Landing, Stat, Style};
use crate::{
    delivery::merge::{Kin, Merged, commit, merge},
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

/// Joins `source` with `old`, the zone's tip, as the landing wants it. What `base` has, if it is given, has landed
/// already, whatever became of it since.
pub(super) fn joined(
    repo: &Repo,
    landing: &Landing<'_>,
    old: Oid,
    (source, base): (Oid, Option<Oid>),
) -> Result<(Kind, Oid), LandError> {
    let git = repo.git();
    if source == old || git.graph_descendant_of(old, source)? {
        return Ok((Kind::Already, old));
    }
    let is_ahead = git.graph_descendant_of(source, old)?;
    if is_ahead && landing.style == Style::Auto {
        return Ok((Kind::FastForward, source));
    }
    let merged = if is_ahead {
        Merged::Clean(git.find_commit(source)?.tree_id())
    } else {
        merge(repo, base, (old, source))?
    };
    let tree = match merged {
        Merged::Clean(tree) if tree == git.find_commit(old)?.tree_id() => return Ok((Kind::Already, old)),
        Merged::Clean(tree) => tree,
        Merged::Conflict(conflict) => {
            return Err(LandError::Conflict {
                branch: landing.branch.to_owned(),
                zone: landing.zone.to_owned(),
                conflict: Box::new(conflict),
            });
        }
    };
    let (kind, parents) = match landing.style {
        Style::Squash => (Kind::Squash, vec![old]),
        Style::Auto | Style::NoFf => (Kind::Merge, vec![old, source]),
    };
    let message = message(repo, landing, kind, &between(repo, old, source)?)?;
    Ok((
        kind,
        commit(
            repo,
            &Kin {
                tree,
                parents: &parents,
            },
            &message,
        )?,
    ))
}

/// The commits that `to` has and `from` has not, newest first.
pub(super) fn between(repo: &Repo, from: Oid, to: Oid) -> Result<Vec<Oid>, LandError> {
    let mut walk = repo.git().revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(to)?;
    walk.hide(from)?;
    Ok(walk.collect::<Result<_, _>>()?)
}

/// What a move of the zone's branch changes.
pub(super) fn stat(repo: &Repo, old: Oid, new: Oid) -> Result<Stat, LandError> {
    let git = repo.git();
    let tree = |oid| git.find_commit(oid).and_then(|commit| commit.tree());
    let mut diff = git.diff_tree_to_tree(Some(&tree(old)?), Some(&tree(new)?), None)?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    let stats = diff.stats()?;
    Ok(Stat {
        files: stats.files_changed(),
        insertions: stats.insertions(),
        deletions: stats.deletions(),
    })
}

/// The message of a merge or squash: what landed, and the subjects of its commits, oldest first.
fn message(repo: &Repo, landing: &Landing<'_>, kind: Kind, commits: &[Oid]) -> Result<String, LandError> {
    let git = repo.git();
    if let (Kind::Squash, [only]) = (kind, commits) {
        let only = git.find_commit(*only)?;
        return Ok(only.message_bytes().to_str_lossy().into_owned());
    }
    let mut text = match kind {
        Kind::Squash => landing.what.to_owned(),
        _ => format!(
            "Merge branch '{}' into {}\n\n{}",
            landing.branch, landing.zone, landing.what
        ),
    };
    text.push_str("\n\n");
    for oid in commits.iter().rev() {
        let commit = git.find_commit(*oid)?;
        let subject = commit.summary_bytes().unwrap_or_default().to_str_lossy();
        text.push_str(&["* ", &subject, "\n"].concat());
    }
    Ok(text)
}
