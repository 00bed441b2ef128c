//! Objects of a private git folder that the repository has by now: it borrows them from there on.
//!
//! git writes each object of a commit into a file of its own, and nothing would ever take them away: a private folder is
//! kept between tasks, and git does not collect in it by itself.

use std::{io, path::Path};

use git2::{Odb, OdbLookupFlags};

use super::{PrivateGit, refnames::parse_oid};
use crate::{
    guard::beneath::Beneath,
    refs::{Oid, Repo},
};

/// git puts the files of objects into folders named by the first letters of their ids.
const FAN_OUT: usize = 2;

/// More files than this stay in one folder of objects: git itself packs long before.
const MOST: usize = 100_000;

impl PrivateGit {
    /// Removes its own files of objects that `repo` has. For when all that anything here names came home, and refs keep it
    /// there; nothing works here meanwhile.
    ///
    /// # Errors
    /// If git cannot read, or the disk refuses.
    pub fn let_go(&self, repo: &Repo) -> io::Result<()> {
        let odb = repo.git().odb().map_err(io::Error::other)?;
        odb.refresh().map_err(io::Error::other)?;
        let private = Beneath::open(&self.git_dir())?;
        for (folder, _) in private.list("objects", MOST)? {
            if folder.len() != FAN_OUT {
                continue;
            }
            let path = format!("objects/{folder}");
            let mut left = 0;
            for (file, _) in private.list(&path, MOST)? {
                let oid = parse_oid(&format!("{folder}{file}"));
                if oid.is_some_and(|oid| odb.exists_ext(oid, OdbLookupFlags::NO_REFRESH)) {
                    private.remove(&format!("{path}/{file}"))?;
                } else {
                    left += 1;
                }
            }
            if left == 0 {
                private.remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether `oid` is in the repository at `common`, or perhaps in the private folder: packs there are not looked into.
pub(super) fn may_have(private: &Beneath, common: &Path, oid: Oid) -> bool {
    let name = oid.to_string();
    let (folder, file) = name.split_at(FAN_OUT);
    let is_loose = private.entry(&format!("objects/{folder}/{file}"));
    let has_packs = private.list("objects/pack", 1).map(|packs| !packs.is_empty());
    // What cannot be told counts as there.
    if is_loose.map_or(true, |entry| entry.is_some()) || has_packs.unwrap_or(true) {
        return true;
    }
    let objects = common.join("objects");
    let odb = objects.to_str().map(|objects| {
        let odb = Odb::new()?;
        odb.add_disk_alternate(objects)?;
        Ok::<_, git2::Error>(odb)
    });
    odb.is_none_or(|odb| odb.map_or(true, |odb| odb.exists(oid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_repository_has_goes() {
        let dir = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(dir.path()).unwrap();
        let repo = Repo::open(dir.path()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let private = PrivateGit::at(folder.path());
        let own = git2::Repository::init_bare(private.git_dir()).unwrap();
        let both = repo.git().blob(b"both\n").unwrap();
        assert_eq!(own.blob(b"both\n").unwrap(), both);
        let alone = own.blob(b"alone\n").unwrap();
        let there = || Beneath::open(&private.git_dir()).unwrap();
        private.let_go(&repo).unwrap();
        assert!(own.odb().unwrap().exists(alone) && !own.odb().unwrap().exists(both));
        assert!(may_have(&there(), repo.common_dir(), both));
        assert!(may_have(&there(), repo.common_dir(), alone));
        let nowhere = Oid::from_bytes(&[7; 20]).unwrap();
        assert!(!may_have(&there(), repo.common_dir(), nowhere));
    }
}
