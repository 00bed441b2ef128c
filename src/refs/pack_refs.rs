//! Our loose refs go into `packed-refs` when there are many: each costs every listing a file.
//!
//! git itself writes `packed-refs`, under its own lock, and takes in no other refs than ours (`git pack-refs --include`,
//! since git 2.42; with an older one our refs stay loose until the user's `git gc` packs all). The loose files go after
//! that, by us: only once the new file and its name are on the disk, and each under its ref's lock, only if it and
//! `packed-refs` say the same then. Whoever moves or deletes a ref has that lock, too. Killed anywhere, a ref stands in
//! one of the two or in both.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Repo, Stuck,
    listing::{self, Written, each_loose},
    locks::{Lock, with_locks},
    pack::sync_dir,
};
use crate::process::{Cmd, ProcessError, fault::point};

/// Where our refs stand.
const OURS: &str = "refs/khlone/";
/// How git says that it does not know an option.
const USAGE: i32 = 129;

/// Packs our refs if more than `most` are loose; gives how many are not loose any more.
///
/// # Errors
/// If git refuses, or the disk does; every ref stands where it stood then.
pub fn pack_refs(repo: &Repo, most: usize) -> io::Result<usize> {
    let common = repo.common_dir();
    let mut loose = Vec::new();
    each_loose(common, OURS, |name, path, _| {
        loose.push((name, path));
        Ok(())
    })?;
    if loose.len() <= most || !write_packed(common)? {
        return Ok(0);
    }
    sync_dir(common)?;
    point("refs-packed", OURS);
    let mut gone = 0;
    for (name, path) in loose {
        gone += usize::from(prune(common, &name, &path)?);
    }
    point("refs-pruned", OURS);
    Ok(gone)
}

/// Has git write `packed-refs` with our refs as they stand; false if it cannot without the user's.
fn write_packed(common: &Path) -> io::Result<bool> {
    let lock = common.join("packed-refs.lock");
    let include = format!("{OURS}*");
    let written = with_locks(common, std::slice::from_ref(&lock), Stuck::was_killed, || {
        let git = Cmd::git(common).args(["-c", "core.fsync=reference"]);
        let git = git.args(["pack-refs", "--no-prune", "--include", &include]);
        git.output().map_err(Stuck::Git)
    });
    match written {
        Ok(_) => Ok(true),
        Err(Stuck::Git(ProcessError::Failed { status, .. })) if status.code() == Some(USAGE) => Ok(false),
        Err(Stuck::Git(error)) => Err(io::Error::other(error)),
        Err(Stuck::Io(error)) => Err(error),
    }
}

/// Removes the loose file of a ref that `packed-refs` has; false if it has not, or not so.
fn prune(common: &Path, name: &str, path: &PathBuf) -> io::Result<bool> {
    let lock = path.with_file_name(format!(
        "{}.lock",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let held = match Lock::try_take(&lock) {
        Ok(held) => held,
        // Somebody moves it, or has deleted it with its folder.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
            ) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let at = match listing::loose(path)? {
        Some(Written::At(oid)) => Some(oid),
        Some(Written::Otherwise) | None => None,
    };
    let is_packed = at.is_some() && listing::find_packed(common, name)? == at;
    if is_packed {
        fs::remove_file(path)?;
    }
    drop(held);
    // The folder of a task's pins; those in which there are others stay.
    if let Some(folder) = path
        .parent()
        .filter(|_| is_packed && name.matches('/').count() > 3)
    {
        let _not_empty = fs::remove_dir(folder);
    }
    Ok(is_packed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use git2::Oid;

    use super::*;
    use crate::refs::{Kind, ObjectSink, Pack, Sharing, Site, delete_ref, tests::scratch, update_ref};

    fn blobs(site: &Site) -> [Oid; 2] {
        let mut pack = Pack::begin(site).unwrap();
        let blobs = [b"a", b"b"].map(|bytes| pack.put(Kind::Blob, bytes).unwrap());
        pack.publish().unwrap();
        blobs
    }

    fn loose(common: &Path, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        each_loose(common, prefix, |name, _, _| {
            names.push(name);
            Ok(())
        })
        .unwrap();
        names
    }

    #[test]
    fn only_our_refs_are_packed_and_all_stand_where_they_stood() {
        let (_dir, repo, site) = scratch();
        let (common, [a, b]) = (repo.common_dir(), blobs(&site));
        let git = |args: &[&str]| Cmd::git(common).args(args).output().unwrap();
        git(&["tag", "theirs"]);
        git(&["branch", "other"]);
        for n in 0..20 {
            update_ref(&repo, &format!("refs/khlone/tasks/t-{n}"), None, a).unwrap();
            update_ref(&repo, &format!("refs/khlone/pins/t-{n}/1-head"), None, b).unwrap();
        }
        let all = || git(&["for-each-ref"]);
        let before = all();
        assert_eq!(pack_refs(&repo, 40).unwrap(), 0);
        assert_eq!(loose(common, OURS).len(), 40);
        assert_eq!(pack_refs(&repo, 39).unwrap(), 40);
        assert_eq!(all(), before);
        assert!(loose(common, OURS).is_empty());
        assert_eq!(loose(common, "refs/heads/").len(), 2);
        assert_eq!(loose(common, "refs/tags/").len(), 1);
        assert!(!common.join("refs/khlone/pins/t-1").exists());
        // They move and go as before.
        update_ref(&repo, "refs/khlone/tasks/t-1", Some(a), b).unwrap();
        update_ref(&repo, "refs/khlone/pins/t-1/2-head", None, b).unwrap();
        delete_ref(&repo, "refs/khlone/tasks/t-2", a).unwrap();
        assert_eq!(repo.ref_target("refs/khlone/tasks/t-1").unwrap(), Some(b));
        assert_eq!(repo.ref_target("refs/khlone/tasks/t-2").unwrap(), None);
    }

    #[test]
    fn a_ref_whose_lock_is_held_or_that_moved_meanwhile_stays_loose() {
        let (_dir, repo, site) = scratch();
        let (common, [a, b]) = (repo.common_dir(), blobs(&site));
        let name = "refs/khlone/tasks/t-1";
        update_ref(&repo, name, None, a).unwrap();
        assert!(write_packed(common).unwrap());
        let path = common.join(name);
        let held = Lock::take(&common.join(format!("{name}.lock")), Sharing::Umask).unwrap();
        assert!(!prune(common, name, &path).unwrap());
        drop(held);
        update_ref(&repo, name, Some(a), b).unwrap();
        assert!(!prune(common, name, &path).unwrap());
        assert_eq!(repo.ref_target(name).unwrap(), Some(b));
        // Deleted and made again where it stood: `packed-refs` has it no more.
        delete_ref(&repo, name, b).unwrap();
        update_ref(&repo, name, None, a).unwrap();
        assert!(!prune(common, name, &path).unwrap());
        assert_eq!(repo.ref_target(name).unwrap(), Some(a));
    }

    #[test]
    fn nothing_is_lost_while_others_write() {
        let (_dir, repo, site) = scratch();
        let (common, blobs) = (repo.common_dir().to_owned(), blobs(&site));
        let over = AtomicBool::new(false);
        let name = |writer: usize, n: usize| format!("refs/khlone/tasks/t-{writer}-{n}");
        let last: Vec<usize> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    let common = &common;
                    scope.spawn(move || {
                        let repo = Repo::open(common).unwrap();
                        for round in 0..30 {
                            let old = (round > 0).then(|| blobs[(round - 1) % 2]);
                            for n in 0..4 {
                                update_ref(&repo, &name(writer, n), old, blobs[round % 2]).unwrap();
                            }
                        }
                        29
                    })
                })
                .collect();
            let packer = scope.spawn(|| {
                let (repo, mut packed) = (Repo::open(&common).unwrap(), 0);
                while !over.load(Ordering::Relaxed) {
                    packed += pack_refs(&repo, 0).unwrap();
                }
                packed
            });
            let last = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            over.store(true, Ordering::Relaxed);
            assert!(packer.join().unwrap() > 0);
            last
        });
        for (writer, round) in last.into_iter().enumerate() {
            for n in 0..4 {
                assert_eq!(repo.ref_target(&name(writer, n)).unwrap(), Some(blobs[round % 2]));
            }
        }
    }
}
