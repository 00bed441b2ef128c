//! Files that only save time: what was found out once, written down. Read whole or not at all.
//!
//! A header says what it is and in which form, a check value at the end that nothing of it was changed. Whatever is wrong
//! with such a file, it is none, and what it held is found out again.

use std::{io, path::Path};

use super::file;

/// Bytes of the check value.
const CHECK: usize = 4;

/// What the file at `path` holds after `header`.
pub fn read(path: &Path, header: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = file::read(path).ok()?;
    let (text, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
    let fits = text.starts_with(header) && crc32fast::hash(text).to_be_bytes() == check;
    let end = text.len();
    fits.then(|| {
        bytes.truncate(end);
        bytes.split_off(header.len())
    })
}

/// Has the file at `path` hold `body` from now on.
///
/// # Errors
/// If the disk refuses.
pub fn write(path: &Path, header: &[u8], body: &[u8]) -> io::Result<()> {
    let mut bytes = [header, body].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    file::replace(path, &bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        assert_eq!(read(&path, b"a 1\n"), None);
        for body in [&b""[..], b"x", b"one\ntwo\n"] {
            write(&path, b"a 1\n", body).unwrap();
            assert_eq!(read(&path, b"a 1\n").as_deref(), Some(body));
            assert_eq!(read(&path, b"a 2\n"), None);
            let whole = fs::read(&path).unwrap();
            for at in 0..whole.len() {
                for bit in 0..8 {
                    let mut other = whole.clone();
                    other[at] ^= 1 << bit;
                    fs::write(&path, other).unwrap();
                    assert_eq!(read(&path, b"a 1\n"), None, "{at} {bit}");
                }
                fs::write(&path, &whole[..at]).unwrap();
                assert_eq!(read(&path, b"a 1\n"), None, "{at}");
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(read(&path, b""), None);
        fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read(&path, b""), None, "and nothing waits for a writer");
    }
}
