//! Copies files and folders of the main work tree into a worktree, sharing blocks where the filesystem can.
//!
//! Symlinks are copied as links and never followed, on either side, so nothing is read or written outside of the
//! two trees. What exists in the worktree is left alone. Permissions and modification times are kept, since build
//! tools go by them. Sockets, pipes and devices are skipped and named.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, Timespec, Timestamps};

/// What was copied, relative to both trees, and what was not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Files, links and whole folders, as they were asked for.
    pub paths: Vec<PathBuf>,
    /// What was left out, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// Regular files whose blocks are shared with the original.
    pub shared: u64,
    /// Regular files written.
    pub files: u64,
}

/// Copies from one tree to another.
#[derive(Debug)]
pub struct Copier<'a> {
    from: &'a Path,
    to: &'a Path,
    /// Cleared when the filesystem has refused to share blocks.
    can_share: bool,
    done: Copied,
}

impl<'a> Copier<'a> {
    /// Prepares to copy from the tree `from` to the tree `to`.
    pub fn new(from: &'a Path, to: &'a Path) -> Self {
        Self {
            from,
            to,
            can_share: true,
            done: Copied::default(),
        }
    }

    /// Copies one path, relative to both trees, with everything below it. A path that is missing, leads outside
    /// or touches git's own folder is recorded as skipped.
    ///
    /// # Errors
    /// If the disk refuses (full, unreadable).
    pub fn copy(&mut self, path: &Path) -> io::Result<()> {
        let Some(path) = inside(path) else {
            self.skip(path, "not a path inside the work tree");
            return Ok(());
        };
        if let Some(blocker) = self.not_a_folder(&path) {
            self.skip(&path, &format!("{} is not a folder", blocker.display()));
            return Ok(());
        }
        match fs::symlink_metadata(self.from.join(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.skip(&path, "does not exist");
                Ok(())
            }
            Err(error) => Err(error),
            Ok(meta) => {
                self.make_parents(&path)?;
                if self.copy_entry(&path, &meta)? {
                    self.done.paths.push(path);
                }
                Ok(())
            }
        }
    }

    /// What was done.
    pub fn finish(self) -> Copied {
        self.done
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.done.skipped.push((path.to_owned(), why.to_owned()));
    }

    /// A folder of `path` that is something else on one of the sides: a link there would lead elsewhere.
    fn not_a_folder(&self, path: &Path) -> Option<PathBuf> {
        let parents = path
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty());
        let sides = parents.flat_map(|parent| [self.from.join(parent), self.to.join(parent)]);
        sides
            .into_iter()
            .find(|dir| fs::symlink_metadata(dir).is_ok_and(|meta| !meta.is_dir()))
    }

    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let mut parents: Vec<_> = path.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents {
            let mode = fs::symlink_metadata(self.from.join(parent))?.permissions().mode() | 0o700;
            make_dir(&self.to.join(parent), mode)?;
        }
        Ok(())
    }

    /// Copies one entry and what is below it; false if it was skipped.
    fn copy_entry(&mut self, path: &Path, meta: &fs::Metadata) -> io::Result<bool> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        let kind = meta.file_type();
        if kind.is_dir() {
            self.copy_dir(path, meta)?;
            return Ok(true);
        }
        if fs::symlink_metadata(&to).is_ok() {
            self.skip(path, "exists already");
            return Ok(false);
        }
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            keep_link_time(&to, meta)?;
        } else if kind.is_file() {
            self.copy_file(&from, &to, meta)?;
        } else {
            self.skip(path, "neither a file, a link nor a folder");
            return Ok(false);
        }
        Ok(true)
    }

    fn copy_dir(&mut self, path: &Path, meta: &fs::Metadata) -> io::Result<()> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        make_dir(&to, meta.permissions().mode() | 0o700)?;
        if !fs::symlink_metadata(&to)?.is_dir() {
            self.skip(path, "exists already");
            return Ok(());
        }
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            self.copy_entry(&path.join(entry.file_name()), &entry.metadata()?)?;
        }
        let dir = File::open(&to)?;
        dir.set_permissions(meta.permissions())?;
        dir.set_times(times(meta))
    }

    fn copy_file(&mut self, from: &Path, to: &Path, meta: &fs::Metadata) -> io::Result<()> {
        let mut source = open_plain(from)?;
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)?;
        let shared = self.can_share && rustix::fs::ioctl_ficlone(&target, &source).is_ok();
        if !shared {
            self.can_share = false;
            io::copy(&mut source, &mut target)?;
        }
        self.done.shared += u64::from(shared);
        self.done.files += 1;
        target.set_permissions(meta.permissions())?;
        target.set_times(times(meta))
    }
}

/// A relative path without `.`, or nothing if it leads outside, into git's own folder, or nowhere.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if clean.as_os_str().is_empty() && name == OsStr::new(".git") => {
                return None;
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!clean.as_os_str().is_empty()).then_some(clean)
}

fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode & 0o777).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file that was seen to be a plain one, never a link or a pipe that has taken its name meanwhile.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

fn times(meta: &fs::Metadata) -> FileTimes {
    meta.modified()
        .map_or_else(|_| FileTimes::new(), |at| FileTimes::new().set_modified(at))
}

fn keep_link_time(link: &Path, meta: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let modified = Timespec {
        tv_sec: meta.mtime(),
        tv_nsec: meta.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: modified,
        last_modification: modified,
    };
    rustix::fs::utimensat(rustix::fs::CWD, link, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&to).unwrap();
        (dir, from, to)
    }

    #[test]
    fn folders_come_whole_with_links_modes_and_times() {
        let (_dir, from, to) = trees();
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/run"), "#!").unwrap();
        fs::set_permissions(from.join("a/b/run"), fs::Permissions::from_mode(0o755)).unwrap();
        let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(from.join("a/b/run"))
            .unwrap()
            .set_times(FileTimes::new().set_modified(past))
            .unwrap();
        std::os::unix::fs::symlink("/etc", from.join("a/out")).unwrap();
        let mut copier = Copier::new(&from, &to);
        copier.copy(Path::new("./a")).unwrap();
        let done = copier.finish();
        assert_eq!(
            (done.paths.as_slice(), done.files),
            ([PathBuf::from("a")].as_slice(), 1)
        );
        let meta = fs::metadata(to.join("a/b/run")).unwrap();
        assert_eq!(
            (meta.permissions().mode() & 0o777, meta.modified().unwrap()),
            (0o755, past)
        );
        assert_eq!(fs::read_link(to.join("a/out")).unwrap(), Path::new("/etc"));
    }

    #[test]
    fn nothing_leads_outside_and_nothing_is_overwritten() {
        let (dir, from, to) = trees();
        let outside = dir.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("x"), "secret").unwrap();
        fs::create_dir_all(from.join("real")).unwrap();
        fs::write(from.join("real/x"), "x").unwrap();
        fs::write(from.join("kept"), "new").unwrap();
        fs::write(to.join("kept"), "old").unwrap();
        std::os::unix::fs::symlink(&outside, from.join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, to.join("real")).unwrap();
        let _fifo = rustix::fs::mknodat(
            rustix::fs::CWD,
            from.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        let mut copier = Copier::new(&from, &to);
        for path in [
            "../outside/x",
            "/etc/passwd",
            ".git/config",
            "",
            "link/x",
            "real/x",
            "kept",
            "pipe",
            "none",
        ] {
            copier.copy(Path::new(path)).unwrap();
        }
        let done = copier.finish();
        assert_eq!(done.paths, Vec::<PathBuf>::new());
        assert_eq!(done.skipped.len(), 9, "{:?}", done.skipped);
        assert_eq!(fs::read_to_string(to.join("kept")).unwrap(), "old");
        assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "secret");
    }
}
