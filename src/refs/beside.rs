//! Trees that a mere look needs: beside the repository's objects, and gone with this.

use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use git2::{FileMode, Oid, Repository, Tree, build::TreeUpdateBuilder};

use super::Repo;
use crate::process::temp;

/// A repository in a temporary folder that borrows another one's objects.
pub struct Beside {
    folder: tempfile::TempDir,
    git: Repository,
}

impl Beside {
    /// One beside `repo`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(repo: &Repo) -> Result<Self, git2::Error> {
        let folder = temp::dir().map_err(|error| git2::Error::from_str(&error.to_string()))?;
        let git = Repository::init_bare(folder.path())?;
        let objects = repo.common_dir().join("objects");
        git.odb()?.add_disk_alternate(&objects.to_string_lossy())?;
        Ok(Self { folder, git })
    }

    /// It as a repository, with what both have.
    pub fn git(&self) -> &Repository {
        &self.git
    }

    /// Its folder of objects, for `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// A tree that has at some paths what `from` has there, or nothing where that has nothing. Where a file would have to be
    /// a folder as well, the path stays as it is.
    ///
    /// # Errors
    /// If git cannot read or write.
    pub fn with(&self, base: Oid, from: Oid, paths: &[BString]) -> Result<Oid, git2::Error> {
        let from = self.git.find_tree(from)?;
        if let Ok(tree) = self.update(base, &from, paths) {
            return Ok(tree);
        }
        let mut tree = base;
        for path in paths {
            tree = self
                .update(tree, &from, std::slice::from_ref(path))
                .unwrap_or(tree);
        }
        self.git.find_tree(tree)?;
        Ok(tree)
    }

    fn update(&self, base: Oid, from: &Tree<'_>, paths: &[BString]) -> Result<Oid, git2::Error> {
        let base = self.git.find_tree(base)?;
        let mut update = TreeUpdateBuilder::new();
        for path in paths {
            let at = path.to_path_lossy();
            let Ok(entry) = from.get_path(&at) else {
                if base.get_path(&at).is_ok() {
                    update.remove(path.as_bytes());
                }
                continue;
            };
            let mode = match entry.filemode() {
                0o120_000 => FileMode::Link,
                0o100_755 => FileMode::BlobExecutable,
                0o100_644 => FileMode::Blob,
                _ => continue,
            };
            update.upsert(path.as_bytes(), entry.id(), mode);
        }
        update.create_updated(&self.git, &base)
    }
}
