//! What no saved state can hold is moved aside as it is, before the worktree goes, and back by `undo`: repositories
//! inside of it, files too large for an object, what cannot be read.
//!
//! A rename keeps every byte, mode and time, whatever the size; where the site's folder is on another file system the
//! files are copied. Nothing of it is opened by git, and no link is followed.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    checkout::Checkout,
    copy::Copier,
    effects::path_bytes,
    erase::erase,
    restore::{Kept, Why},
};
use crate::refs::{KeptApart, Origin};

/// Where things come from and go to.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// The clone's worktree.
    pub checkout: &'a Checkout,
    /// The private git folder of the clone.
    pub private: PathBuf,
    /// Where the saved state has what was moved.
    pub store: PathBuf,
}

impl Places<'_> {
    fn own(&self, kept: &KeptApart) -> PathBuf {
        match kept.origin {
            Origin::Worktree => self
                .checkout
                .path
                .join(OsStr::from_bytes(&path_bytes(&kept.path))),
            Origin::Private => self.private.clone(),
            Origin::Git => self
                .checkout
                .git_dir
                .join(OsStr::from_bytes(&path_bytes(&kept.path))),
        }
    }

    fn stored(&self, n: usize) -> PathBuf {
        self.store.join(n.to_string())
    }
}

/// Moves things aside. Killed half way, what was moved stays where the saved state says.
///
/// # Errors
/// If the disk refuses; everything is back in its place then, as far as the disk allows that.
pub fn take(places: &Places<'_>, kept: &[KeptApart]) -> io::Result<()> {
    if kept.is_empty() {
        return Ok(());
    }
    places.checkout.sharing().make_dirs(&places.store)?;
    for (n, one) in kept.iter().enumerate() {
        let from = places.own(one);
        if let Err(error) = shift(&from, &places.stored(n)) {
            put_back(places, kept, false)?;
            return Err(io::Error::new(
                error.kind(),
                format!("{} cannot be kept: {error}", from.display()),
            ));
        }
    }
    Ok(())
}

/// Moves them back; gives what something else stands in the way of. In a worktree that was made just now that is of our
/// own making, and goes.
///
/// # Errors
/// If the disk refuses.
pub fn put_back(places: &Places<'_>, kept: &[KeptApart], is_fresh: bool) -> io::Result<Vec<Kept>> {
    let mut left = Vec::new();
    for (n, one) in kept.iter().enumerate() {
        let (stored, own) = (places.stored(n), places.own(one));
        if stored.symlink_metadata().is_err() {
            continue;
        }
        let is_ours = is_fresh || one.origin == Origin::Git;
        if is_ours && one.origin != Origin::Private {
            erase(&own)?;
        }
        if own.symlink_metadata().is_ok() {
            left.push(Kept {
                path: one.path.clone(),
                why: Why::Failed(format!("something stands there; it is {}", stored.display())),
            });
            continue;
        }
        if let Some(folder) = own.parent() {
            fs::create_dir_all(folder)?;
        }
        shift(&stored, &own)?;
    }
    forget(&places.store);
    Ok(left)
}

/// Removes the folders of a saved state that holds nothing any more.
pub fn forget(store: &Path) {
    drop(fs::remove_dir(store));
    drop(store.parent().map(fs::remove_dir));
}

/// Moves a file or folder, to another file system too.
fn shift(from: &Path, to: &Path) -> io::Result<()> {
    match rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        done => return done,
    }
    let (Some(above), Some(name), Some(folder)) = (from.parent(), from.file_name(), to.parent()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Whole under its name, or not at all.
    let part = tempfile::Builder::new().prefix(".part-").tempdir_in(folder)?;
    if name == ".git" {
        // A copier takes none.
        let mut copier = Copier::new(from, part.path());
        for entry in fs::read_dir(from)? {
            copier.copy(Path::new(&entry?.file_name()))?;
        }
        drop(copier.finish());
        fs::set_permissions(part.path(), fs::metadata(from)?.permissions())?;
        rustix::fs::syncfs(File::open(folder)?)?;
        fs::rename(part.keep(), to)?;
    } else {
        let mut copier = Copier::new(above, part.path());
        copier.copy(Path::new(name))?;
        drop(copier.finish());
        rustix::fs::syncfs(File::open(folder)?)?;
        fs::rename(part.path().join(name), to)?;
    }
    erase(from)
}

/// A folder is renamed only by who may write in it.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => return done,
    }
    let data = from.symlink_metadata()?;
    if !data.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mode = data.permissions().mode();
    fs::set_permissions(from, Permissions::from_mode(mode | 0o700))?;
    let done = fs::rename(from, to);
    let at = if done.is_ok() { to } else { from };
    fs::set_permissions(at, Permissions::from_mode(mode))?;
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_moved_to_another_file_system_and_back_is_the_same() {
        let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let is_other = |path: &Path| fs::metadata(path).unwrap().dev();
        if is_other(dir.path()) == is_other(other.path()) {
            return;
        }
        let top = dir.path().join("top");
        for git in [top.join("a/.git"), top.join("b/c")] {
            fs::create_dir_all(git.join("objects")).unwrap();
            fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
            fs::set_permissions(git.join("HEAD"), Permissions::from_mode(0o600)).unwrap();
        }
        let checkout = Checkout {
            git_dir: dir.path().join("git"),
            path: top.clone(),
        };
        let places = Places {
            checkout: &checkout,
            private: dir.path().join("private"),
            store: other.path().join("1/x"),
        };
        let kept = ["a/.git", "b/c"].map(|path| KeptApart {
            origin: Origin::Worktree,
            path: path.to_owned(),
        });
        take(&places, &kept).unwrap();
        assert!(!top.join("a/.git").exists() && !top.join("b/c").exists());
        assert_eq!(put_back(&places, &kept, false).unwrap(), []);
        for git in ["a/.git", "b/c"] {
            let head = fs::metadata(top.join(git).join("HEAD")).unwrap();
            assert_eq!(head.permissions().mode() & 0o777, 0o600);
            assert!(top.join(git).join("objects").is_dir());
        }
        assert!(!other.path().join("1").exists());
    }
}
