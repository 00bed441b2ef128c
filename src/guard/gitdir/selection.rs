//! Which of the changed files the automatic commit takes.

use std::{collections::BTreeSet, fmt, fs::OpenOptions, io::ErrorKind, path::Path};

use crate::{
    process::file,
    task::{Change, FileChange},
};

/// Why a changed file stays uncommitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// It was copied into the worktree by khlone.
    Copied,
    /// The main repository ignores it.
    Ignored,
    /// It stood there before the task, and is as it was.
    Before,
    /// It was gone before the task.
    GoneBefore,
    /// The patterns of a sparse checkout keep it away.
    Sparse,
    /// It is larger than `commit.max_file`; its size.
    TooLarge(u64),
    /// It is a pipe, a socket, a device, or lies in a repository of its own.
    NotAFile,
    /// Its permissions keep its content from us, and from git.
    Unreadable,
    /// Git takes no path of that name.
    Name,
    /// There are more changed files than `commit.max_files`.
    TooMany,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copied => f.write_str("copied in, not the brain's"),
            Self::Ignored => f.write_str("ignored"),
            Self::Before => f.write_str("there before the task, and not changed by it"),
            Self::GoneBefore => f.write_str("deleted before the task, and not by it"),
            Self::Sparse => f.write_str("outside of the sparse patterns"),
            Self::TooLarge(size) => write!(f, "{} MiB, larger than commit.max_file", size >> 20),
            Self::NotAFile => f.write_str("no regular file of this repository"),
            Self::Unreadable => f.write_str("cannot be read"),
            Self::Name => f.write_str("a name that git refuses"),
            Self::TooMany => f.write_str("more files than commit.max_files"),
        }
    }
}

/// The outcome: what is committed, and what stays with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Raw paths to commit.
    pub paths: Vec<Vec<u8>>,
    /// Paths as in the effects, with the reason why they stay.
    pub left: Vec<(String, LeftOut)>,
}

/// Chooses among `files`. `why_not` knows what is not to be read from the change itself: what was copied in, what
/// is ignored, how large a file is.
pub fn select(
    files: &[FileChange],
    max_files: usize,
    mut why_not: impl FnMut(&[u8]) -> Option<LeftOut>,
) -> Selection {
    let mut chosen = Selection::default();
    let standing: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.change != Change::Deleted)
        .map(|file| file.path.as_str())
        .collect();
    for file in files {
        // What lay in a folder that is a file or link now goes when that is added, and cannot be named any more.
        let mut above = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
        if file.change == Change::Deleted && above.any(|folder| standing.contains(folder)) {
            continue;
        }
        for path in std::iter::once(&file.path).chain(&file.from) {
            let raw = raw_path(path);
            let reason = match why_not(&raw) {
                Some(before @ (LeftOut::Before | LeftOut::GoneBefore)) => Some(before),
                _ if is_refused_name(&raw) => Some(LeftOut::Name),
                other => other,
            };
            match reason {
                Some(reason) => chosen.left.push((path.clone(), reason)),
                None => chosen.paths.push(raw),
            }
        }
    }
    chosen.paths.sort();
    chosen.paths.dedup();
    if chosen.paths.len() > max_files {
        let all = files.iter().map(|file| (file.path.clone(), LeftOut::TooMany));
        return Selection {
            paths: Vec::new(),
            left: all.collect(),
        };
    }
    chosen
}

/// What stands against committing `path` by its kind and size; a missing file is a deletion, and fine.
pub fn obstacle(work_dir: &Path, path: &[u8], max_file: u64) -> Option<LeftOut> {
    use std::os::unix::ffi::OsStrExt;
    let path = work_dir.join(std::ffi::OsStr::from_bytes(path));
    let data = path.symlink_metadata().ok()?;
    if data.is_symlink() {
        return None;
    }
    // A file or link that became a folder: it goes, and what lies in the folder comes.
    if data.is_dir() && path.join(".git").symlink_metadata().is_err() {
        return None;
    }
    if !data.is_file() {
        return Some(LeftOut::NotAFile);
    }
    if data.len() > max_file {
        return Some(LeftOut::TooLarge(data.len()));
    }
    let opened = file::open(OpenOptions::new().read(true), &path);
    let is_refused = opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    is_refused.then_some(LeftOut::Unreadable)
}

/// The bytes of a path as documents write it: `\xNN` for what is no UTF-8, `\\` for a backslash.
pub fn raw_path(written: &str) -> Vec<u8> {
    let mut raw = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'\\' {
            raw.push(first);
            continue;
        }
        let hex = rest
            .strip_prefix(b"x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            raw.push(byte);
            rest = &rest[3..];
        } else {
            raw.push(b'\\');
            rest = rest.strip_prefix(b"\\").unwrap_or(rest);
        }
    }
    raw
}

/// Names that git refuses on some system, and so in any commit that others shall take: those that a file system may
/// take for `.git`, whatever case, trailing dots or invisible letters they have.
pub fn is_refused_name(path: &[u8]) -> bool {
    // A nested repository is named with a slash at its end.
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|step| {
        let seen: String = String::from_utf8_lossy(step)
            .chars()
            .filter(|c| !is_ignored_by_hfs(*c))
            .collect();
        let plain = seen
            .split(':')
            .next()
            .unwrap_or_default()
            .trim_end_matches([' ', '.'])
            .to_ascii_lowercase();
        matches!(step, b"" | b"." | b"..") || matches!(plain.as_str(), ".git" | "git~1")
    })
}

/// Letters that HFS+ looks past, as git has them.
fn is_ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, change: Change) -> FileChange {
        FileChange {
            path: path.into(),
            change,
            from: None,
            truncated: false,
        }
    }

    #[test]
    fn only_what_is_the_brains_work_is_taken() {
        let mut renamed = file("new", Change::Renamed);
        renamed.from = Some("old".into());
        let files = [
            file("a", Change::Added),
            file(".env", Change::Modified),
            file("big", Change::Added),
            file("sub/.GIT/config", Change::Added),
            file("link", Change::Type),
            file("link/was/here", Change::Deleted),
            file("gone", Change::Deleted),
            renamed,
        ];
        let chosen = select(&files, 10, |path| match path {
            b".env" => Some(LeftOut::Copied),
            b"big" => Some(LeftOut::TooLarge(11 << 20)),
            _ => None,
        });
        assert_eq!(chosen.paths, [&b"a"[..], b"gone", b"link", b"new", b"old"]);
        let left: Vec<_> = chosen
            .left
            .iter()
            .map(|(path, why)| format!("{path}: {why}"))
            .collect();
        assert_eq!(
            left,
            [
                ".env: copied in, not the brain's",
                "big: 11 MiB, larger than commit.max_file",
                "sub/.GIT/config: a name that git refuses"
            ]
        );
        assert!(select(&files, 2, |_| None).paths.is_empty());
    }

    #[test]
    fn what_some_system_takes_for_git_is_refused() {
        for bad in [
            ".git",
            "a/.GiT/x",
            ".g\u{200c}it/config",
            "\u{feff}.git",
            "git~1",
            "GIT~1/x",
            ".git. /x",
            ".git::$INDEX_ALLOCATION/x",
            "a\\.git\\x",
            "a/../b",
            "a//b",
        ] {
            assert!(is_refused_name(bad.as_bytes()), "{bad:?}");
        }
        for good in [
            ".gitignore",
            "git",
            ".git2/x",
            ".gitmodules",
            "a\\b",
            "git~10",
            "\u{fffd}",
        ] {
            assert!(!is_refused_name(good.as_bytes()), "{good:?}");
        }
    }

    #[test]
    fn written_paths_come_back_raw() {
        assert_eq!(raw_path(r"a\xffb\\x41"), b"a\xffb\\x41");
        assert_eq!(raw_path("修正"), "修正".as_bytes());
    }
}
