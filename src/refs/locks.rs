//! git's lock files: held by us, left by the dead.
//!
//! A lock below `refs/khlone/` is written by us with a flock on it, which goes with the process, or by git, which
//! holds one for milliseconds: old and without a flock, it is nobody's. A branch's lock may be anybody's, an editor's
//! that stays open among them; so a note in the site's folder says which lock we are about to take, and only a lock
//! that a dead process of ours had just announced is removed. Every other one is somebody's, and reported.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Sharing, pack::make_dirs};
use crate::process::ProcessError;

/// How long to wait for another writer of the same ref.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Where announcements stand, below the common folder.
const ABOUT: &str = "khlone/locks";

/// A held `.lock` file, removed when dropped unless it became the ref.
pub(super) struct Lock {
    path: PathBuf,
    pub(super) file: fs::File,
    armed: bool,
}

impl Lock {
    pub(super) fn take(path: &Path, sharing: Sharing) -> io::Result<Self> {
        // Long enough to see a lock of the dead grow old.
        let deadline = Instant::now() + PATIENCE * 4 / 3;
        loop {
            match Self::try_take(path) {
                Ok(held) => return sharing.adjust(path).map(|()| held),
                // git removes folders of refs that it packed; make them again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match path.parent().map_or(Ok(()), |folder| make_dirs(folder, sharing)) {
                        // And it may remove one of them again meanwhile.
                        Err(error)
                            if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {}
                        made => made?,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !clear_stale(path)? && Instant::now() >= deadline {
                        return Err(error);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes it if it is free and its folder is there.
    pub(super) fn try_take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // Tells the living from the dead, see `clear_stale`. Nobody else wants it so soon.
        fs4::FileExt::try_lock(&file).map_err(io::Error::from)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            armed: true,
        })
    }

    pub(super) fn rename_to(mut self, to: &Path) -> io::Result<()> {
        if to.is_dir() {
            // What git leaves when it has packed and removed every ref below.
            fs::remove_dir(to)?;
        }
        fs::rename(&self.path, to)?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.armed {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Removes a lock that nobody holds any more; true if it is gone.
///
/// A writer of ours holds its lock file with a flock too, which goes with the process: however long it takes, its
/// lock stays. git holds one only while it writes 41 bytes. Of several that clear at once, one removes the file that
/// it looked at; the others find that it is not the one at the path.
pub(super) fn clear_stale(lock: &Path) -> io::Result<bool> {
    clear(lock, PATIENCE)
}

/// The same for a lock that has been there for longer than `patience`.
fn clear(lock: &Path, patience: Duration) -> io::Result<bool> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let file = match fs::File::open(lock) {
        Err(error) if gone(&error) => return Ok(true),
        other => other?,
    };
    let meta = file.metadata()?;
    let age = meta.modified()?.elapsed().unwrap_or_default();
    if age < patience || fs4::FileExt::try_lock(&file).is_err() || is_open(&meta) {
        return Ok(false);
    }
    match fs::metadata(lock) {
        Ok(now) if (now.dev(), now.ino()) == (meta.dev(), meta.ino()) => {}
        Ok(_) => return Ok(false),
        Err(error) if gone(&error) => return Ok(true),
        Err(error) => return Err(error),
    }
    fs::remove_file(lock).map(|()| true)
}

/// Whether another process has a lock open: git does, for as long as it holds one. It may have outlived its parent, who
/// announced the lock.
fn is_open(lock: &fs::Metadata) -> bool {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = entries.filter(|entry| {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        pid.is_some_and(|pid| pid != own)
    });
    let mut open = others.flat_map(|entry| fs::read_dir(entry.path().join("fd")).into_iter().flatten());
    open.any(|fd| {
        let held = fd.and_then(|fd| fs::metadata(fd.path()));
        held.is_ok_and(|held| (held.dev(), held.ino()) == (lock.dev(), lock.ino()))
    })
}

/// Why what a git of ours was to do under locks was not done.
#[derive(Debug)]
pub enum Stuck {
    /// git did not do it.
    Git(ProcessError),
    /// The disk refuses.
    Io(io::Error),
}

impl Stuck {
    /// Whether that git had no chance to remove its locks.
    pub fn was_killed(&self) -> bool {
        matches!(self, Self::Git(git) if git.was_killed())
    }
}

impl From<io::Error> for Stuck {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

/// Runs a git of ours that takes `locks`, again where one stands in its way that is ours and nobody's any more.
///
/// `was_killed` tells whether that git had no chance to remove its locks: then they are cleared at once, or stay
/// announced where something has them open.
///
/// # Errors
/// What git says last, or that the locks cannot be looked at.
pub fn with_locks<T, E: From<io::Error>>(
    common: &Path,
    locks: &[PathBuf],
    was_killed: impl Fn(&E) -> bool,
    mut git: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + PATIENCE * 4 / 3;
    loop {
        let announced: io::Result<Vec<_>> = locks.iter().map(|lock| About::lock(common, lock)).collect();
        let announced = announced?;
        let error = match git() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let in_the_way = locks.iter().any(|lock| lock.exists());
        if was_killed(&error) {
            for (about, lock) in announced.into_iter().zip(locks) {
                about.settle(lock)?;
            }
        }
        if !in_the_way || Instant::now() >= deadline {
            return Err(error);
        }
        sweep_locks(common)?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An announcement that this process is about to take a lock; gone when dropped.
#[must_use = "the announcement is gone when this is dropped"]
pub(super) struct About {
    note: tempfile::NamedTempFile,
}

impl About {
    pub(super) fn lock(common: &Path, lock: &Path) -> io::Result<Self> {
        let dir = common.join(ABOUT);
        fs::create_dir_all(&dir)?;
        let mut note = tempfile::NamedTempFile::new_in(dir)?;
        fs4::FileExt::try_lock(note.as_file()).map_err(io::Error::from)?;
        note.write_all(lock.as_os_str().as_bytes())?;
        Ok(Self { note })
    }

    /// After the git that was to take the lock has been killed: the lock goes, unless somebody has it open. Then the
    /// note stays, as if this process had died, and the lock may be cleared once it is old.
    fn settle(self, lock: &Path) -> io::Result<()> {
        if !is_announced(lock, self.note.as_file())? {
            return Ok(());
        }
        if clear(lock, Duration::ZERO)? {
            return Ok(());
        }
        self.note.keep().map(drop).map_err(|error| error.error)
    }
}

/// Clears every lock that is provably ours and nobody's any more.
///
/// # Errors
/// If a folder cannot be read, or a lock not removed.
pub fn sweep_locks(common: &Path) -> io::Result<()> {
    let mut ours = Vec::new();
    below(&common.join("refs/khlone"), &mut ours)?;
    ours.push(common.join("refs/notes/khlone.lock"));
    for lock in ours {
        clear_stale(&lock)?;
    }
    sweep_announced(common).map(drop)
}

/// Clears the announced locks of the dead that are old enough; gives whether some are still too young to be sure.
///
/// # Errors
/// If a folder cannot be read, or a lock not removed.
pub fn sweep_announced(common: &Path) -> io::Result<bool> {
    let mut is_settled = true;
    let mut notes = Vec::new();
    files(&common.join(ABOUT), &mut notes)?;
    for note in notes {
        // Whoever wrote it may have removed it meanwhile.
        let Ok(file) = fs::File::open(&note) else { continue };
        if fs4::FileExt::try_lock(&file).is_err() {
            continue;
        }
        let lock = PathBuf::from(std::ffi::OsString::from_vec(fs::read(&note)?));
        if lock.starts_with(common) && is_announced(&lock, &file)? && !clear_stale(&lock)? {
            // The next sweep.
            is_settled = false;
            continue;
        }
        match fs::remove_file(&note) {
            // Another sweep was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(!is_settled)
}

/// The same, waiting for those that are too young.
///
/// # Errors
/// As [`sweep_announced`].
pub fn settle_announced(common: &Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE * 4 / 3;
    while sweep_announced(common)? && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a lock was made right after its announcement.
fn is_announced(lock: &Path, note: &fs::File) -> io::Result<bool> {
    let made = match fs::metadata(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?.modified()?,
    };
    let after = made.duration_since(note.metadata()?.modified()?);
    // Clocks of files tick coarsely, and git waits for up to a second for the lock of `packed-refs`.
    Ok(after.map_or_else(
        |early| early.duration() < Duration::from_millis(20),
        |after| after < Duration::from_secs(2),
    ))
}

fn below(dir: &Path, locks: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut found = Vec::new();
    files(dir, &mut found)?;
    for path in found {
        if path.is_dir() {
            below(&path, locks)?;
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            locks.push(path);
        }
    }
    Ok(())
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(entries) => {
            for entry in entries {
                found.push(entry?.path());
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_a_living_git_has_open_stays_however_old_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("index.lock");
        let file = fs::File::create(&lock).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(60);
        file.set_modified(then).unwrap();
        let mut git = crate::process::Cmd::new("cat").into_inner();
        git.stdin(std::process::Stdio::piped()).stdout(file);
        let mut git = git.spawn().unwrap();
        assert!(!clear_stale(&lock).unwrap() && lock.exists());
        drop(git.stdin.take());
        git.wait().unwrap();
        assert!(clear_stale(&lock).unwrap() && !lock.exists());
    }

    #[test]
    fn only_announced_locks_of_the_dead_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let common = dir.path();
        fs::create_dir_all(common.join("refs/heads")).unwrap();
        let lock = |name: &str, age: u64| {
            let path = common.join("refs/heads").join(name);
            let file = fs::File::create(&path).unwrap();
            let then = std::time::SystemTime::now() - Duration::from_secs(age);
            file.set_modified(then).unwrap();
            path
        };
        let notes = || {
            fs::read_dir(common.join(ABOUT))
                .unwrap()
                .map(|note| note.unwrap().path())
        };
        let age = || {
            let then = std::time::SystemTime::now() - Duration::from_millis(10_500);
            for note in notes() {
                fs::File::options()
                    .write(true)
                    .open(note)
                    .unwrap()
                    .set_modified(then)
                    .unwrap();
            }
        };
        let (dead, living, earlier, others) = (
            lock("dead.lock", 10),
            lock("living.lock", 10),
            lock("earlier.lock", 100),
            lock("others.lock", 100),
        );
        for path in [&dead, &earlier] {
            // What a kill leaves: the note without its flock.
            let _about = About::lock(common, path).unwrap();
            let note = notes().find(|note| note.extension().is_none()).unwrap();
            fs::copy(&note, note.with_extension(path.file_stem().unwrap())).unwrap();
        }
        let held = About::lock(common, &living).unwrap();
        age();
        sweep_locks(common).unwrap();
        let there = [&dead, &living, &earlier, &others].map(|path| path.exists());
        assert_eq!(there, [false, true, true, true]);
        drop(held);
        assert_eq!(notes().count(), 0);
    }
}
