//! Files under a folder whose content a brain may have arranged.
//!
//! Every step of a path is opened from the folder above it without following links, so that a planted link leads
//! nowhere and a write never leaves the folder. Only regular files are read, and only up to a cap; a pipe or a
//! device that stands in for a file counts as absent. Rights that a brain took away from us are taken back. The folder
//! itself is given by us and must be a folder.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use crate::worktree::erase::{enter, erase_at, give_back, names_in};

/// Files are compared by so much at a time.
const CHUNK: usize = 64 << 10;

/// A folder below which nothing is followed.
#[derive(Debug)]
pub struct Beneath {
    top: OwnedFd,
}

/// What one name of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, pipe, socket or device.
    Other,
}

/// What becomes of one name of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays, with all that is in it.
    Stays,
    /// A folder that stays; each name in it is asked for.
    Within,
    /// It is removed.
    Goes,
}

impl Beneath {
    /// Opens `folder`.
    ///
    /// # Errors
    /// When it is missing or no folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let top = enter(CWD, folder.as_os_str().as_bytes())?;
        Ok(Self { top })
    }

    /// Makes `folder` where it is missing and opens it. Its parents are ours.
    ///
    /// # Errors
    /// When it can be neither made nor opened.
    pub fn create(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Self::open(folder)
    }

    /// A regular file, open for reading; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self, path: &str) -> io::Result<Option<File>> {
        let Some((folder, name)) = self.parent(path)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&folder, name, flags, Mode::empty());
        let file = match open() {
            Err(Errno::ACCESS) => {
                give_back(&folder, name.as_bytes(), Mode::RUSR | Mode::WUSR)?;
                open()
            }
            file => file,
        };
        let file = match file {
            Ok(file) => File::from(file),
            Err(error) if is_absence(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// The content of a regular file; `None` where there is none.
    ///
    /// # Errors
    /// When it is longer than `cap`, or reading fails.
    pub fn read(&self, path: &str, cap: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(path)? else {
            return Ok(None);
        };
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(cap);
        let mut bytes = Vec::with_capacity(length.min(cap) + 1);
        file.take(cap as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > cap {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{path} is longer than {cap} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    /// Writes a file whole, replacing whatever has its name; folders on the way are made, and a link or file that
    /// stands in for one is removed. A file that says the same already is left: making files is dear.
    ///
    /// # Errors
    /// When the disk does not let us.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.read(path, bytes.len()), Ok(Some(standing)) if standing == bytes) {
            return Ok(());
        }
        self.replace(path, |file| file.write_all(bytes))
    }

    /// Writes a copy of `source`, a file of ours, with its time of change; where `source` is missing, `path` goes.
    ///
    /// # Errors
    /// When the disk does not let us.
    pub fn copy(&self, source: &Path, path: &str) -> io::Result<()> {
        let mut from = match File::open(source) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.remove(path),
            Err(error) => return Err(error),
        };
        let modified = from.metadata()?.modified()?;
        if let Ok(Some(standing)) = self.file(path)
            && standing.metadata()?.modified()? == modified
            && same(&from, &standing)?
        {
            return Ok(());
        }
        from.rewind()?;
        self.replace(path, |file| {
            io::copy(&mut from, file)?;
            file.set_modified(modified)
        })
    }

    fn replace(&self, path: &str, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let (parent, name) = split(path);
        let folder = self.make_folder(parent)?;
        // A name of this process's own: runners of several clones write the same file at once.
        let fresh = format!(".khlone-{name}-{}", std::process::id());
        erase_at(&folder, fresh.as_bytes())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, fresh.as_str(), flags, Mode::from_raw_mode(0o644))?;
        content(&mut File::from(file))?;
        if entry_at(&folder, name.as_bytes())? == Some(Entry::Folder) {
            erase_at(&folder, name.as_bytes())?;
        }
        Ok(rustix::fs::renameat(&folder, fresh.as_str(), &folder, name)?)
    }

    /// Makes a folder and those above it, removing what stands in the way.
    ///
    /// # Errors
    /// When the disk does not let us.
    pub fn make_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut folder = self.top.try_clone()?;
        for step in path.split('/').filter(|step| !step.is_empty()) {
            match enter(&folder, step.as_bytes()) {
                Ok(next) => folder = next,
                Err(error) if is_absence(error) => {
                    erase_at(&folder, step.as_bytes())?;
                    match rustix::fs::mkdirat(&folder, step, Mode::from_raw_mode(0o755)) {
                        // Made by another runner meanwhile.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    folder = enter(&folder, step.as_bytes())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(folder)
    }

    /// Removes a file, link or whole folder; what is absent already is fine.
    ///
    /// # Errors
    /// When the disk does not let us.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        match self.parent(path)? {
            Some((folder, name)) => erase_at(&folder, name.as_bytes()),
            None => Ok(()),
        }
    }

    /// Removes what of a folder has that fate, whatever its name.
    ///
    /// # Errors
    /// When the disk does not let us.
    pub(super) fn weed(&self, path: &str, fate: &dyn Fn(&str, Entry) -> Fate) -> io::Result<()> {
        let Some(folder) = self.folder(path)? else {
            return Ok(());
        };
        for name in names_in(&folder)? {
            let entry = entry_at(&folder, &name)?.unwrap_or(Entry::Other);
            // None of ours is not UTF-8.
            let inner = std::str::from_utf8(&name).unwrap_or_default();
            let inner = if path.is_empty() {
                inner.to_owned()
            } else {
                format!("{path}/{inner}")
            };
            match fate(&inner, entry) {
                Fate::Stays => {}
                Fate::Within => self.weed(&inner, fate)?,
                Fate::Goes => erase_at(&folder, &name)?,
            }
        }
        Ok(())
    }

    /// What stands at `path`, if anything.
    ///
    /// # Errors
    /// When the disk does not let us look.
    pub fn entry(&self, path: &str) -> io::Result<Option<Entry>> {
        match self.parent(path)? {
            Some((folder, name)) => entry_at(&folder, name.as_bytes()),
            None => Ok(None),
        }
    }

    /// The names in a folder, sorted; names that are not UTF-8 are left out, a missing folder has none.
    ///
    /// # Errors
    /// When there are more than `cap`, or reading fails.
    pub fn list(&self, path: &str, cap: usize) -> io::Result<Vec<(String, Entry)>> {
        let Some(folder) = self.folder(path)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for item in Dir::read_from(&folder)? {
            let item = item?;
            let Ok(name) = item.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            if names.len() >= cap {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("{path} has more than {cap} entries"),
                ));
            }
            let kind = match item.file_type() {
                FileType::Unknown => entry_at(&folder, name.as_bytes())?.unwrap_or(Entry::Other),
                known => entry_of(known),
            };
            names.push((name.to_owned(), kind));
        }
        names.sort();
        Ok(names)
    }

    fn folder(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        let mut folder = self.top.try_clone()?;
        for step in path.split('/').filter(|step| !step.is_empty()) {
            debug_assert_ne!(step, "..");
            match enter(&folder, step.as_bytes()) {
                Ok(next) => folder = next,
                Err(error) if is_absence(error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(folder))
    }

    fn parent<'a>(&self, path: &'a str) -> io::Result<Option<(OwnedFd, &'a str)>> {
        let (parent, name) = split(path);
        Ok(self.folder(parent)?.map(|folder| (folder, name)))
    }
}

/// True if two files have the same content.
fn same(a: &File, b: &File) -> io::Result<bool> {
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (
        BufReader::with_capacity(CHUNK, a),
        BufReader::with_capacity(CHUNK, b),
    );
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 || left[..count] != right[..count] {
            return Ok(left.is_empty() && right.is_empty());
        }
        a.consume(count);
        b.consume(count);
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Links (`ELOOP` under no-follow), files in the place of folders and missing names are all "not there".
fn is_absence(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::MLINK
    )
}

fn entry_of(kind: FileType) -> Entry {
    match kind {
        FileType::RegularFile => Entry::File,
        FileType::Directory => Entry::Folder,
        _ => Entry::Other,
    }
}

fn entry_at(folder: &OwnedFd, name: &[u8]) -> io::Result<Option<Entry>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(entry_of(FileType::from_raw_mode(stat.st_mode)))),
        Err(error) if is_absence(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "beneath_tests.rs"]
mod tests;
