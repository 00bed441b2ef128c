//! The object folders that a repository borrows from, and the file that says so.
//!
//! A line is a path, relative to the object folder that the file is in; one that begins with a quote is quoted as C
//! does it. What is borrowed may borrow itself.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// As deep as git goes.
const DEEPEST: usize = 5;

/// An object folder that is borrowed from and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = .path.display())]
pub struct Unreadable {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The objects of the repository at `common` and all that it borrows, as canonical paths, its own first.
///
/// # Errors
/// [`Unreadable`], for the first that is.
pub(in crate::guard) fn object_folders(common: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let mut found = vec![readable(&common.join("objects"))?];
    let mut from = 0;
    for _ in 0..=DEEPEST {
        let level = found.len();
        for at in from..level {
            let borrowed = std::fs::read(found[at].join("info/alternates")).unwrap_or_default();
            for path in parsed(&borrowed) {
                let path = readable(&found[at].join(path))?;
                if !found.contains(&path) {
                    found.push(path);
                }
            }
        }
        from = level;
    }
    Ok(found)
}

fn readable(path: &Path) -> Result<PathBuf, Unreadable> {
    let read = path.canonicalize().and_then(|real| {
        std::fs::read_dir(&real)?;
        Ok(real)
    });
    read.map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// The lines of a file that names `folders`.
pub(super) fn lines<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Vec<u8> {
    let lines = folders
        .into_iter()
        .map(|folder| quoted(folder.as_os_str().as_bytes()));
    lines.collect::<Vec<_>>().concat()
}

/// A path as a line; only one with a newline needs quoting.
fn quoted(path: &[u8]) -> Vec<u8> {
    if !path.contains(&b'\n') {
        return [path, b"\n"].concat();
    }
    let mut line = vec![b'"'];
    for byte in path {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            byte => line.push(*byte),
        }
    }
    line.extend_from_slice(b"\"\n");
    line
}

fn parsed(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|line| match line.strip_prefix(b"\"") {
        Some(rest) => PathBuf::from(OsStr::from_bytes(&unquoted(rest))),
        None => PathBuf::from(OsStr::from_bytes(line)),
    })
}

/// What stands between the quotes, the first of which is off already.
fn unquoted(rest: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    let mut bytes = rest.iter().copied();
    while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
        if byte != b'\\' {
            path.push(byte);
            continue;
        }
        path.push(match bytes.next() {
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(first @ b'0'..=b'3') => {
                let more = [bytes.next(), bytes.next()];
                let digits = more
                    .into_iter()
                    .flatten()
                    .map(|digit| digit.wrapping_sub(b'0') & 7);
                digits.fold(first - b'0', |value, digit| value << 3 | digit)
            }
            Some(other) => other,
            None => break,
        });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for path in ["/a b/c\"d\\e", "/line\nbreak \"x\" \\ \u{fffd}", "relative/../x"] {
            let text = lines([Path::new(path)]);
            assert_eq!(
                parsed(&text).collect::<Vec<_>>(),
                [PathBuf::from(path)],
                "{path:?}"
            );
        }
        let text = b"# a comment\n\n\"/t\\303\\244\\tx\"\n";
        assert_eq!(parsed(text).collect::<Vec<_>>(), [PathBuf::from("/t\u{e4}\tx")]);
    }
}
