//! Trees that a mere look needs: beside the repository's objects, and gone with this.

use std::path::PathBuf;

use bstr::{BStr, ByteSlice};
use git2::{FileMode, Oid, Repository, build::TreeUpdateBuilder};

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

    /// A tree, with the entries that `from` has at some paths.
    ///
    /// # Errors
    /// If git cannot read or write.
    pub fn with<'a>(
        &self,
        base: Oid,
        from: Oid,
        paths: impl Iterator<Item = &'a BStr>,
    ) -> Result<Oid, git2::Error> {
        let from = self.git.find_tree(from)?;
        let mut update = TreeUpdateBuilder::new();
        for path in paths {
            let Ok(entry) = from.get_path(&path.to_path_lossy()) else {
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
        update.create_updated(&self.git, &self.git.find_tree(base)?)
    }
}
