//! Files that other names may share: replaced, never written in place.
//!
//! A hard-linked copy of a repository (`cp -al`, `rsync --link-dest`, a local `git clone`) shares inodes with its
//! original. Writing in place would change both; a new file under the old name changes one. And what is read is a
//! file: nothing waits for the writer of a pipe that stands in its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

/// The content of the regular file at `path`.
///
/// # Errors
/// If it is none, or the disk refuses.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(OpenOptions::new().read(true), path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of the regular file at `path`.
///
/// # Errors
/// As [`read`], and if it is no text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The first `most` bytes of the regular file at `path`, which with [`Links::Refuse`] is no symbolic link itself.
///
/// # Errors
/// As [`read`].
pub fn read_start(path: &Path, links: Links, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    opened(OpenOptions::new().read(true), path, links)?
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The content of the regular file at `path`, which is no symbolic link itself.
///
/// # Errors
/// As [`read`].
pub fn read_no_link(path: &Path) -> io::Result<Vec<u8>> {
    read_start(path, Links::Refuse, u64::MAX)
}

/// What the system says of a link where none may be.
pub fn is_link(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.to_string() == LINK
}

const LINK: &str = "is a symbolic link";

/// What becomes of a symbolic link in place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What it leads to is read.
    Follow,
    /// It is an error, as for git's own files of a work tree (`.gitattributes`, `.mailmap`): whoever made the
    /// repository chose where it leads.
    Refuse,
}

/// Opens a file as `options` say, if it is a regular one. Close-on-exec, as every file here.
///
/// # Errors
/// As [`read`].
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    opened(options, path, Links::Follow)
}

/// A look before the opening would say nothing: whoever makes links can make one in between.
fn opened(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    let refuses = links == Links::Refuse;
    let mut flags = OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, refuses);
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    let file = match options.open(path) {
        // Also where a link on the way leads in a circle.
        Err(error) if refuses && error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, LINK));
        }
        file => file?,
    };
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

/// Gives `path` the content `bytes`: a new file, renamed over it. Readers see the old content or the new one.
///
/// # Errors
/// If the disk refuses; the old content stands then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = beside(path)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// As [`replace`], with content and name on disk when it returns.
///
/// # Errors
/// As [`replace`].
pub fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = beside(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder_of(path))?.sync_all()
}

/// Opens a file to append to it, private to its user where it is new. One with other names gets an inode of its own.
///
/// # Errors
/// If the disk refuses, or it is no regular file.
pub fn append(path: &Path) -> io::Result<File> {
    match unshare(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open(OpenOptions::new().append(true).create(true).mode(0o600), path)
}

/// Whether the file at `path` has other names, too: writing in place would write there.
pub fn is_shared(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_file() && data.nlink() > 1)
}

/// Gives the regular file at `path` an inode of its own, if it has other names.
///
/// # Errors
/// If it cannot be copied.
pub fn unshare(path: &Path) -> io::Result<()> {
    let data = fs::symlink_metadata(path)?;
    if !data.is_file() || data.nlink() == 1 {
        return Ok(());
    }
    let copy = beside(path)?;
    fs::copy(path, copy.path())?;
    let times = fs::FileTimes::new().set_modified(data.modified()?);
    copy.as_file().set_times(times)?;
    copy.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Does that to each file below `dir`, but for git's objects, which nothing writes in place. What cannot be entered
/// below a subfolder is passed over.
///
/// # Errors
/// If a file in `dir` itself cannot be copied.
pub fn unshare_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            unshare(&path)?;
        } else if entry.file_name() != "objects"
            && let Err(error) = unshare_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "left as it is");
        }
    }
    Ok(())
}

fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[test]
    fn a_link_that_comes_in_between_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("secret"), "secret").unwrap();
        let done = AtomicBool::new(false);
        let (mut own, mut links) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::write(at("new"), "own").unwrap();
                    fs::rename(at("new"), at("file")).unwrap();
                    symlink("secret", at("new")).unwrap();
                    fs::rename(at("new"), at("file")).unwrap();
                }
            });
            let mut tries = 0;
            while own < 500 || links < 500 || tries < 5000 {
                tries += 1;
                match read_no_link(&at("file")) {
                    Ok(bytes) => {
                        assert_ne!(bytes, b"secret");
                        own += 1;
                    }
                    Err(error) if is_link(&error) => links += 1,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
                }
                if tries > 2_000_000 {
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(own > 0 && links > 0);
    }

    #[test]
    fn the_other_name_keeps_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for name in ["a", "b", "sub/c"] {
            fs::write(at(name), name).unwrap();
            fs::hard_link(
                at(name),
                dir.path().join(format!("{}-copy", name.replace('/', "-"))),
            )
            .unwrap();
        }
        replace(&at("a"), b"new").unwrap();
        replace_durably(&at("b"), b"new").unwrap();
        assert_eq!(fs::read(at("a-copy")).unwrap(), b"a");
        assert_eq!(fs::read(at("b-copy")).unwrap(), b"b");
        unshare_all(dir.path()).unwrap();
        for name in ["a", "b", "sub/c", "sub-c-copy"] {
            assert_eq!(fs::metadata(at(name)).unwrap().nlink(), 1, "{name}");
        }
        assert_eq!(fs::read(at("sub/c")).unwrap(), b"sub/c");
    }
}
