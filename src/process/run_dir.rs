//! The folder for unix sockets: short, on this machine, ours alone.
//!
//! `XDG_RUNTIME_DIR/khlone` where that folder is ours, else `/tmp/khlone-<uid>`, else, since any user of the machine can
//! take that name first, `run` in khlone's home. Cron and `su` see another
//! environment than the desktop, so nobody may compute a socket's path: it is recorded beside the locks.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::task::explain;

/// Longest path of a unix socket: `sun_path` less its end.
pub const MAX_SOCKET_PATH: usize = 107;

/// Room that the longest socket name needs below the folder.
const NAME_ROOM: usize = 32;

/// A folder that cannot hold private sockets.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Somebody else's, open to others, or no folder at all.
    #[error("{path} is not a folder of ours with mode 700 (owner {uid}, mode {mode:o})", path = .path.display())]
    NotPrivate {
        /// Where.
        path: PathBuf,
        /// Whose.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// The disk refuses.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

explain! {
    RunDirError {
        Refused { NotPrivate { path, .. } => format!("ls -ld {}", path.display()) }
        Failed { Io { path, .. } => format!("ls -ld {}", path.display()) }
    }
}

/// The run folder of this user, made if need be.
///
/// # Errors
/// [`RunDirError`] if it is not private, or cannot be made.
pub fn run_dir() -> Result<PathBuf, RunDirError> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = absolute("KHLONE_HOME").or_else(|| Some(absolute("HOME")?.join(".khlone")));
    choose(
        std::env::var_os("XDG_RUNTIME_DIR"),
        Path::new("/tmp"),
        home.as_deref(),
    )
}

fn choose(runtime: Option<OsString>, tmp: &Path, home: Option<&Path>) -> Result<PathBuf, RunDirError> {
    let uid = rustix::process::geteuid().as_raw();
    let preferred = runtime.map(PathBuf::from).filter(|base| {
        let short = has_room(&base.join("khlone"));
        // Under `su` the variable may still name the folder of the user before.
        let ours = fs::metadata(base).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
        base.is_absolute() && short && ours
    });
    if let Some(base) = preferred {
        let path = base.join("khlone");
        private_dir(&path)?;
        return Ok(path);
    }
    let path = tmp.join(format!("khlone-{uid}"));
    let Err(refused) = private_dir(&path) else {
        return Ok(path);
    };
    let Some(second) = home.map(|home| home.join("run")).filter(|path| has_room(path)) else {
        return Err(refused);
    };
    // The folder above it is made as khlone's home is, but no home for a user who has none; only the folder itself has
    // to be private.
    drop(second.parent().map(fs::create_dir));
    private_dir(&second)?;
    Ok(second)
}

/// Whether the longest socket name below `folder` still is a path that the kernel takes.
fn has_room(folder: &Path) -> bool {
    folder.as_os_str().len() + "/".len() + NAME_ROOM <= MAX_SOCKET_PATH
}

/// Makes `path` with mode 700 if it is not there, and checks that it is a real folder of ours that nobody else
/// can enter.
fn private_dir(path: &Path) -> Result<(), RunDirError> {
    let io = |source| RunDirError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    let meta = fs::symlink_metadata(path).map_err(io)?;
    let (uid, mode) = (meta.uid(), meta.mode() & 0o7777);
    if meta.is_dir() && uid == rustix::process::geteuid().as_raw() && mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(RunDirError::NotPrivate {
        path: path.to_owned(),
        uid,
        mode,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_folder_below_the_runtime_folder() {
        let base = tempfile::tempdir().unwrap();
        let dir = choose(Some(base.path().into()), Path::new("/nowhere"), None).unwrap();
        assert_eq!(dir, base.path().join("khlone"));
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            choose(Some(base.path().into()), Path::new("/nowhere"), None),
            Err(RunDirError::NotPrivate { .. })
        ));
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(other.path(), base.path().join("khlone")).unwrap();
        assert!(matches!(
            choose(Some(base.path().into()), Path::new("/nowhere"), None),
            Err(RunDirError::NotPrivate { .. })
        ));
    }

    #[test]
    fn too_long_or_missing_runtime_folders_are_passed_over() {
        let uid = rustix::process::geteuid().as_raw();
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let fallback = base.path().join(format!("khlone-{uid}"));
        for runtime in [long.into(), "/nowhere".into()] {
            assert_eq!(choose(Some(runtime), base.path(), None).unwrap(), fallback);
        }
    }

    #[test]
    fn a_name_in_tmp_that_another_has_taken_is_passed_over() {
        let uid = rustix::process::geteuid().as_raw();
        let base = tempfile::tempdir().unwrap();
        let taken = base.path().join(format!("khlone-{uid}"));
        let home = base.path().join("home/.khlone");
        let chosen = || choose(None, base.path(), Some(&home));
        // Open to others, a link, a file: each is as good as another user's.
        fs::create_dir(&taken).unwrap();
        fs::set_permissions(&taken, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(chosen().is_err(), "a user without a home");
        let above = base.path().join("home");
        assert!(!above.exists(), "gets none");
        fs::create_dir(above).unwrap();
        assert_eq!(chosen().unwrap(), home.join("run"));
        assert_eq!(fs::metadata(home.join("run")).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(&taken).unwrap();
        std::os::unix::fs::symlink(base.path(), &taken).unwrap();
        assert_eq!(chosen().unwrap(), home.join("run"));
        fs::remove_file(&taken).unwrap();
        fs::write(&taken, "").unwrap();
        assert_eq!(chosen().unwrap(), home.join("run"));
        assert!(choose(None, base.path(), None).is_err());
        let deep = base.path().join("x".repeat(90));
        assert!(choose(None, base.path(), Some(&deep)).is_err());
    }
}
