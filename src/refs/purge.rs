//! Taking objects out of the repository for good, as far as that is ours to do.
//!
//! Only packs of ours are written anew. An object that anything of the user's still reaches (a branch, an index, a
//! reflog) stays where it is, and so does one that another ref of ours needs: the caller says so. Unlike compaction
//! this leaves no old pack behind for a while: a reader that is at it may have to look again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use git2::{ObjectType, Oid};

use super::{
    Kind, LedgerError, ObjectSink, Pack, Repo, Site, Turn,
    compact::{DOOMED, REMAINDER, give_remains, kept_packs, needed, read_index, remove, unkept_packs},
    pack::{KEEP, REMAINS},
};
use crate::process::{Cmd, ProcessError};

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
    let odb = repo.git().odb()?;
    let mut ids = Vec::new();
    odb.foreach(|oid| {
        ids.push(*oid);
        true
    })?;
    for oid in ids {
        let Ok(object) = odb.read(oid) else { continue };
        let kind = match object.kind() {
            ObjectType::Tree => Kind::Tree,
            ObjectType::Commit => Kind::Commit,
            ObjectType::Tag => Kind::Tag,
            ObjectType::Blob | ObjectType::Any => Kind::Blob,
        };
        each(oid, kind, object.data());
    }
    Ok(())
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
    let pack_dir = repo.common_dir().join("objects/pack");
    let lock = Turn::wait(&site.lock_path("packs.lock"))?;
    let mut old = kept_packs(&pack_dir, KEEP)?;
    for word in [DOOMED, REMAINS] {
        old.extend(kept_packs(&pack_dir, word)?);
    }
    let record = site.dir().join(REMAINDER);
    old.extend(unkept_packs(&pack_dir, &record));
    let mut inside = BTreeMap::new();
    for idx in &old {
        read_index(repo, idx, &mut inside)?;
    }
    let needed = needed(repo, &inside)?;

    let odb = repo.git().odb()?;
    let mut ours = Pack::under(Some(lock), site)?;
    let mut rest = Pack::under(None, site)?;
    let mut taken = BTreeSet::new();
    for (&oid, &kind) in &inside {
        if doomed.contains(&oid) && !kept.contains(&oid) && !needed.contains(&oid) {
            taken.insert(oid);
            continue;
        }
        let pack = if needed.contains(&oid) {
            &mut ours
        } else {
            &mut rest
        };
        pack.put(kind, odb.read(oid)?.data())?;
    }
    let rest = rest.publish_remains()?;
    fs::write(&record, rest.as_deref().unwrap_or_default())?;
    let fresh: Vec<_> = [ours.publish()?, rest].into_iter().flatten().collect();
    for idx in &old {
        let stem = idx.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !fresh.iter().any(|fresh| fresh == stem) {
            remove(idx)?;
        }
    }
    give_remains(&pack_dir)?;
    leave_no_index_of_many(repo)?;
    let git = Repo::open(repo.common_dir()).map_err(|error| io::Error::other(error.to_string()))?;
    let odb = git.git().odb()?;
    odb.refresh()?;
    let left: BTreeSet<Oid> = doomed.iter().copied().filter(|oid| odb.exists(*oid)).collect();
    Ok(Purged {
        gone: taken.difference(&left).count(),
        left,
    })
}

/// A multi-pack index still names the packs that are gone; git makes another when it wants one.
fn leave_no_index_of_many(repo: &Repo) -> io::Result<()> {
    match fs::remove_file(repo.common_dir().join("objects/pack/multi-pack-index")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
