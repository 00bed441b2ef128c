//! What a ref reaches is there, all of it.

use std::collections::HashSet;

use git2::{ObjectType, Odb};

use super::{Kind, Problem};
use crate::refs::{Oid, Repo};

/// A submodule's commit, which is in another repository.
const GITLINK: i32 = 0o160_000;

/// A walk over objects that looks at each once.
pub(super) struct Walk<'a> {
    repo: &'a Repo,
    odb: Odb<'a>,
    seen: HashSet<Oid>,
    /// Blobs of the user's commits may stay at the remote.
    is_partial: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(repo: &'a Repo) -> Result<Self, git2::Error> {
        let config = repo.config()?;
        Ok(Self {
            repo,
            odb: repo.git().odb()?,
            seen: HashSet::new(),
            is_partial: config.get_string("extensions.partialclone").is_ok(),
        })
    }

    /// How many objects were found.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// What is missing below a tree that `name` reaches.
    pub(super) fn tree(&mut self, name: &str, tree: Oid) -> Option<Problem> {
        let lost = self.first_missing(tree, false)?;
        Some(missing(name, &lost))
    }

    /// What is missing of a commit, and of those before it that no branch, tag or remote has.
    pub(super) fn commits(&mut self, name: &str, tip: Oid) -> Option<Problem> {
        let lost = |error: git2::Error| Some(missing(name, &format!("commit {tip} ({})", error.message())));
        // What a brain's own refs name may be anything: a tag, a tree, a file.
        let found = self.repo.git().find_object(tip, None);
        let found = match found.and_then(|object| match object.kind() {
            Some(ObjectType::Tag) => object.peel(ObjectType::Any),
            _ => Ok(object),
        }) {
            Ok(found) => found,
            Err(error) => return lost(error),
        };
        let tip = match found.kind() {
            Some(ObjectType::Commit) => found.id(),
            Some(ObjectType::Tree) => return self.tree(name, found.id()),
            _ => return None,
        };
        let commits = match self.own_commits(tip) {
            Ok(commits) => commits,
            Err(error) => return lost(error),
        };
        for commit in commits {
            let tree = match self.repo.git().find_commit(commit) {
                Ok(found) => found.tree_id(),
                Err(_) => return Some(missing(name, &format!("commit {commit}"))),
            };
            self.seen.insert(commit);
            if let Some(lost) = self.first_missing(tree, self.is_partial) {
                return Some(missing(name, &lost));
            }
        }
        None
    }

    fn own_commits(&self, tip: Oid) -> Result<Vec<Oid>, git2::Error> {
        let mut walk = self.repo.git().revwalk()?;
        walk.push(tip)?;
        for glob in ["refs/heads/*", "refs/tags/*", "refs/remotes/*"] {
            // Not a commit, or damaged: the user's, and `git fsck` says so.
            for reference in self.repo.git().references_glob(glob)?.flatten() {
                if let Ok(commit) = reference.peel_to_commit() {
                    walk.hide(commit.id())?;
                }
            }
        }
        walk.collect()
    }

    fn first_missing(&mut self, tree: Oid, may_lack_blobs: bool) -> Option<String> {
        // Kept only if all is there: whatever else reaches what is missing is to be named as well.
        let mut found = HashSet::new();
        let mut todo = vec![(tree, String::new())];
        while let Some((oid, path)) = todo.pop() {
            if self.seen.contains(&oid) || found.contains(&oid) {
                continue;
            }
            let Ok(tree) = self.repo.git().find_tree(oid) else {
                return Some(format!("tree {oid} ({path}/)"));
            };
            found.insert(oid);
            for entry in tree.iter().filter(|entry| entry.filemode() != GITLINK) {
                let below = format!("{path}/{}", String::from_utf8_lossy(entry.name_bytes()));
                if entry.kind() == Some(ObjectType::Tree) {
                    todo.push((entry.id(), below));
                } else if !self.seen.contains(&entry.id()) && !may_lack_blobs {
                    match self.odb.read_header(entry.id()) {
                        Ok((_, ObjectType::Blob)) => drop(found.insert(entry.id())),
                        Ok(_) | Err(_) => return Some(format!("blob {} ({below})", entry.id())),
                    }
                }
            }
        }
        self.seen.extend(found);
        None
    }
}

fn missing(name: &str, lost: &str) -> Problem {
    // A copy of the repository, a backup or another machine may still have it.
    let next = "git fetch COPY 'refs/khlone/*:refs/khlone/*', from a copy of this repository".to_owned();
    Problem::new(Kind::Missing, name, format!("{lost} is not there"), next)
}
