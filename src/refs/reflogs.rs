//! Reflogs of branches, read as files: git removes one with its branch, so that it outlives only a ref that was lost
//! otherwise.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use bstr::ByteSlice;

/// More than a last line takes, nearly always; of a longer one nothing is known.
const TAIL: u64 = 64 << 10;

/// The branches (full ref names) that have a reflog. A name that is no text is left out.
pub(super) fn branches(common: &Path) -> io::Result<Vec<String>> {
    let mut branches = Vec::new();
    let mut waiting = vec!["refs/heads".to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries = match fs::read_dir(common.join("logs").join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(last) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let (name, kind) = (format!("{folder}/{last}"), entry.file_type()?);
            if kind.is_dir() {
                waiting.push(name);
            } else if kind.is_file()
                && Path::new(&last)
                    .extension()
                    .is_none_or(|extension| extension != "lock")
            {
                branches.push(name);
            }
        }
    }
    Ok(branches)
}

/// The object that the reflog of a ref ends at.
pub(super) fn last(common: &Path, name: &[u8]) -> Option<String> {
    let mut file = fs::File::open(common.join("logs").join(name.to_path_lossy())).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text).ok()?;
    let line = text.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    let new = line.split(|byte| *byte == b' ').nth(1)?.to_str().ok()?;
    let is_oid = new.len() == 40 && new.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_oid && new.bytes().any(|byte| byte != b'0')).then(|| new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflog_ends_where_its_last_whole_line_says() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, zero) = ("a".repeat(40), "b".repeat(40), "0".repeat(40));
        let folder = dir.path().join("logs/refs/heads/x");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(last(dir.path(), b"refs/heads/x/y"), None);
        for (text, expect) in [
            (format!("{zero} {a} A <a> 1 +0000\tone\n"), Some(&a)),
            (
                format!("{zero} {a} A <a> 1 +0000\tone\n{a} {b} A <a> 1 +0000\n"),
                Some(&b),
            ),
            (format!("{a} {zero} A <a> 1 +0000\tgone\n"), None),
            (format!("{zero} {a} A <a> 1 +0000\tone\n{a} bbb"), None),
            ("garbage\n".to_owned(), None),
            (String::new(), None),
        ] {
            fs::write(folder.join("y"), &text).unwrap();
            assert_eq!(last(dir.path(), b"refs/heads/x/y").as_ref(), expect, "{text}");
        }
        assert_eq!(branches(dir.path()).unwrap(), ["refs/heads/x/y"]);
    }
}
