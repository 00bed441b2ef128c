//! Submodules at the end of a task: which of their changes are committed.
//!
//! A commit of the clone's branch may name only commits of a submodule that are kept outside of the clone: pushed, in
//! the submodule's git folder of the main checkout, or brought there now and pinned; and so for the submodules of a
//! submodule that its new commits name.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{Left, Whose};
use crate::{
    guard::{
        gitdir::{
            import::ImportError,
            submodules::{Stands, has, keep, links, look},
            uncommitted::Uncommitted,
        },
        sandbox::Confinement,
    },
    refs::Oid,
    runner::{Run, RunnerError, claim::Claim, prepare::Prepared},
    worktree::{checkout::Checkout, effects::path_text, gitlinks, submodule},
};

/// So many submodules are looked at.
const MOST: usize = 500;
/// So deep submodules of submodules are followed.
const DEPTH: usize = 8;

/// What becomes of the submodules.
#[derive(Debug, Default)]
pub(super) struct Submodules {
    /// What is to be committed.
    pub(super) changes: Vec<(Vec<u8>, Option<Oid>)>,
    /// Where a file or link stands instead.
    pub(super) files: Vec<Vec<u8>>,
    /// What stays, with the reason.
    pub(super) left: Vec<Left>,
    /// Those with changes that are in none of their commits.
    pub(super) dirty: BTreeSet<Vec<u8>>,
    /// All there are or were.
    pub(super) paths: BTreeSet<Vec<u8>>,
}

/// Whether there are, or were, any.
pub(super) fn expected(run: &Run<'_>, prepared: &Prepared) -> bool {
    let commit = run.ledger.repo().git().find_commit(prepared.head);
    let named = commit
        .and_then(|commit| commit.tree())
        .is_ok_and(|tree| tree.get_name(".gitmodules").is_some());
    named || gitlinks::expected(&prepared.checkout)
}

/// One submodule, as the last commit and the index have it, and as it stands.
#[derive(Debug, Clone, Copy)]
struct Link {
    committed: Option<Oid>,
    indexed: Option<Oid>,
    stands: Stands,
    /// Something stood there before the task.
    was_there: bool,
}

impl Link {
    /// What a commit of the work tree would have. Where the folder was never there, it is set up nowhere, or kept away.
    fn wanted(&self) -> Option<Oid> {
        match self.stands {
            Stands::Gone if self.was_there => None,
            Stands::File => None,
            Stands::Gone | Stands::Folder => self.indexed,
            Stands::Repository { head, .. } => {
                self.indexed?;
                head.filter(|_| head != self.committed).or(self.indexed)
            }
        }
    }

    fn is_pushed(&self, commit: Oid) -> bool {
        matches!(self.stands, Stands::Repository { head, is_pushed: true, .. } if head == Some(commit))
    }
}

/// Decides about the submodules of the work tree, and keeps what they have.
pub(super) fn settle(
    (run, claim): (&Run<'_>, &Claim),
    prepared: &Prepared,
    confinement: &Confinement,
    found: &Uncommitted,
) -> Result<Submodules, RunnerError> {
    let mut done = Submodules::default();
    let known: BTreeMap<_, _> = gitlinks::listed(&prepared.checkout)?.into_iter().collect();
    let committed: BTreeMap<_, _> = found.committed.iter().cloned().collect();
    let indexed: BTreeMap<_, _> = found.links.iter().cloned().collect();
    let all = known.keys().chain(committed.keys()).chain(indexed.keys());
    done.paths = all.cloned().collect();
    if done.paths.is_empty() {
        return Ok(done);
    }
    let paths: Vec<&[u8]> = done.paths.iter().map(Vec::as_slice).take(MOST).collect();
    let stands = look(confinement, &prepared.ground.git_dir, &paths)?;
    let before = &prepared.before.snapshot.manifest;
    for (path, stands) in paths.iter().zip(stands) {
        let link = Link {
            committed: committed.get(*path).copied(),
            indexed: indexed.get(*path).copied(),
            stands,
            was_there: before.entry(path).is_some(),
        };
        if matches!(stands, Stands::Repository { is_dirty: true, .. }) {
            done.dirty.insert(path.to_vec());
        }
        let wanted = link.wanted();
        let is_new = |commit: &Oid| !known.values().any(|known| known == commit);
        // The brain's own commits may name one, too.
        let lost = match wanted.filter(is_new) {
            Some(commit) if !link.is_pushed(commit) => lost(
                (run, claim),
                prepared,
                confinement,
                (path, link.committed, commit),
            )?,
            _ => None,
        };
        let is_changed = wanted != link.committed;
        match lost {
            Some(why) => done.left.push(Left {
                path: path_text(path),
                why,
                whose: if is_changed { Whose::Brains } else { Whose::Others },
            }),
            None if is_changed => done.changes.push((path.to_vec(), wanted)),
            None => {}
        }
        if stands == Stands::File {
            done.files.push(path.to_vec());
        }
    }
    Ok(done)
}

/// Keeps a submodule's commit in the main checkout's git folder of it; why not, where it cannot be.
fn lost(
    (run, claim): (&Run<'_>, &Claim),
    prepared: &Prepared,
    confinement: &Confinement,
    (path, before, commit): (&[u8], Option<Oid>, Oid),
) -> Result<Option<String>, RunnerError> {
    let repo = run.ledger.repo();
    let nowhere = format!("its commit {commit:.10} is in this clone alone");
    let main = Checkout::main(repo);
    let main = main.as_ref().map(|main| main.path.as_path());
    let module = submodule::module_of(&prepared.checkout, (repo.common_dir(), main), path)?;
    let Some(module) = module else {
        return Ok(Some(format!(
            "{nowhere}, and the main checkout has no such submodule"
        )));
    };
    let work = prepared.checkout.path.join(OsStr::from_bytes(path));
    let bring = |module: &Path, work: &Path, commit| {
        let site = (run.ledger.site(), confinement);
        let lock = Some(std::os::fd::AsFd::as_fd(&claim.attempt_lock));
        match keep((module, &work.join(".git")), commit, site, lock) {
            Ok(()) => Ok(None),
            Err(ImportError::Missing(_)) => Ok(Some(format!("its commit {commit:.10} is nowhere"))),
            Err(error) if error.is_the_brains() => Ok(Some(format!("{nowhere}: {error}"))),
            Err(error) => Err(RunnerError::from(error)),
        }
    };
    if let Some(why) = bring(&module, &work, commit)? {
        return Ok(Some(why));
    }
    inner_lost((&module, &work), (before, commit), DEPTH, &bring)
}

/// The same for what a submodule's new commit names of its own submodules.
fn inner_lost(
    (module, work): (&Path, &Path),
    (before, commit): (Option<Oid>, Oid),
    depth: usize,
    bring: &impl Fn(&Path, &Path, Oid) -> Result<Option<String>, RunnerError>,
) -> Result<Option<String>, RunnerError> {
    let mut known = BTreeMap::new();
    if let Some(before) = before
        && has(module, &before.to_string())?
    {
        known.extend(links(module, before)?);
    }
    for (path, inner) in links(module, commit)? {
        let old = known.get(&path).copied();
        if old == Some(inner) {
            continue;
        }
        let below = OsStr::from_bytes(&path);
        let (inner_module, inner_work) = (module.join("modules").join(below), work.join(below));
        let is_set_up = inner_module.join("objects").is_dir();
        let why = if is_set_up && has(&inner_module, &inner.to_string())? {
            None
        } else if !is_set_up || !inner_work.join(".git").exists() || depth == 0 {
            Some(format!(
                "commit {inner:.10} is not in the main checkout's git folder of it"
            ))
        } else {
            bring(&inner_module, &inner_work, inner)?
        };
        if let Some(why) = why {
            return Ok(Some(format!("its submodule {}: {why}", path_text(&path))));
        }
        if is_set_up
            && let Some(why) = inner_lost(
                (&inner_module, &inner_work),
                (old, inner),
                depth.saturating_sub(1),
                bring,
            )?
        {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_commit_has_of_a_submodule() {
        let oid = |letter: &str| letter.repeat(40).parse::<Oid>().ok();
        let (old, new) = (oid("a"), oid("b"));
        let at = |head| Stands::Repository {
            head,
            is_dirty: false,
            is_pushed: false,
        };
        let link = |committed, indexed, stands, was_there| {
            let link = Link {
                committed,
                indexed,
                stands,
                was_there,
            };
            link.wanted()
        };
        // Unchanged, checked out elsewhere, staged elsewhere, not set up.
        assert_eq!(link(old, old, at(old), true), old);
        assert_eq!(link(old, old, at(new), true), new);
        assert_eq!(link(old, new, at(old), true), new);
        assert_eq!(link(old, old, Stands::Folder, true), old);
        assert_eq!(link(old, old, at(None), true), old);
        // Removed with its folder, from the index alone, replaced; never there, as with sparse patterns.
        assert_eq!(link(old, old, Stands::Gone, true), None);
        assert_eq!(link(old, None, at(old), true), None);
        assert_eq!(link(old, old, Stands::File, true), None);
        assert_eq!(link(old, old, Stands::Gone, false), old);
        // Added.
        assert_eq!(link(None, new, at(new), false), new);
        assert_eq!(link(None, new, Stands::Gone, false), new);
    }
}
