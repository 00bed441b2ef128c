//! Taking objects out of the repository for good, as far as that is ours to do.
//!
//! Only packs of ours are written anew. An object that anything of the user's still reaches (a branch, an index, a
//! reflog) stays where it is, and so does one that another ref of ours needs: the caller says so.

use std::{collections::BTreeSet, io};

use git2::{ObjectType, Odb, Oid};

use super::{
    amid::amid_gc,
    join::{Contents, join},
    joining, ours,
};
use crate::{
    process::{Cmd, FileLock, ProcessError},
    refs::{Kind, LedgerError, Repo, Site},
};

/// The list of all objects of a large repository.
const LIST: usize = 2 << 30;

/// What became of objects that were to go.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Purged {
    /// How many were in packs of ours and are gone.
    pub gone: usize,
    /// Those that are still there: something reaches them, or they are not in packs of ours.
    pub left: BTreeSet<Oid>,
}

/// Calls `each` with every object of the repository, reachable or not.
///
/// # Errors
/// If git cannot list them. One that cannot be read is passed over: `git fsck` is there for that.
pub fn every_object(repo: &Repo, mut each: impl FnMut(Oid, Kind, &[u8])) -> Result<(), LedgerError> {
    let mut odb = repo.git().odb()?;
    let ids = amid_gc(repo, || {
        let mut ids = Vec::new();
        repo.git().odb()?.foreach(|oid| {
            ids.push(*oid);
            true
        })?;
        Ok::<_, LedgerError>(ids)
    })?;
    for oid in ids {
        if !is_read(&odb, oid, &mut each) {
            // Its pack may be another one by now.
            repo.let_go_of_packs()?;
            odb = repo.git().odb()?;
            is_read(&odb, oid, &mut each);
        }
    }
    Ok(())
}

/// Reads one object, if that can be.
fn is_read(odb: &Odb<'_>, oid: Oid, each: &mut impl FnMut(Oid, Kind, &[u8])) -> bool {
    let Ok(object) = odb.read(oid) else { return false };
    let kind = match object.kind() {
        ObjectType::Tree => Kind::Tree,
        ObjectType::Commit => Kind::Commit,
        ObjectType::Tag => Kind::Tag,
        ObjectType::Blob | ObjectType::Any => Kind::Blob,
    };
    each(oid, kind, object.data());
    true
}

/// Those of `wanted` that are reached from `from`, in the words of `git rev-list`.
///
/// # Errors
/// If git fails.
pub fn reached(repo: &Repo, wanted: &BTreeSet<Oid>, from: &[&str]) -> Result<BTreeSet<Oid>, ProcessError> {
    let listed = Cmd::git(repo.common_dir())
        .args(["rev-list", "--objects"])
        .args(from)
        .capture(LIST)
        .output()?;
    let ids = listed
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Oid::from_str(std::str::from_utf8(line.get(..40)?).ok()?).ok());
    Ok(ids.filter(|oid| wanted.contains(oid)).collect())
}

/// Takes `doomed` out of our packs. What is reached from `kept` (ids of the caller's own look-up) stays.
///
/// # Errors
/// If a pack cannot be read or written; the old packs stand then.
pub fn purge(
    repo: &Repo,
    site: &Site,
    doomed: &BTreeSet<Oid>,
    kept: &BTreeSet<Oid>,
) -> Result<Purged, LedgerError> {
    let _joining = FileLock::wait(&joining(site))?;
    // Every writer is done then: what it has packed is looked at, too.
    drop(FileLock::wait(&site.layout().packs_lock())?);
    let leaves: BTreeSet<Oid> = doomed.difference(kept).copied().collect();
    let mut dropped = BTreeSet::new();
    amid_gc(repo, || {
        let (record, packs) = ours(site)?;
        let mut contents = Contents::of(repo, &record, &packs)?;
        // A try before has taken some out already.
        let now = contents.leave_out(&leaves);
        dropped.extend(now.iter().copied());
        if !now.is_empty() {
            join(site, &record, &packs, &contents, &now)?;
        }
        Ok::<_, LedgerError>(())
    })?;
    let git = Repo::open(repo.common_dir()).map_err(|error| io::Error::other(error.to_string()))?;
    let odb = git.git().odb()?;
    odb.refresh()?;
    let left: BTreeSet<Oid> = doomed.iter().copied().filter(|oid| odb.exists(*oid)).collect();
    Ok(Purged {
        gone: dropped.difference(&left).count(),
        left,
    })
}
