//! Refs read as git reads them, at the cost of what is asked for: a loose file, or a search in `packed-refs`, where
//! libgit2 takes in the whole of that file for one name, and builds an object for each of a listing.
//!
//! Loose before packed: whoever packs a ref writes `packed-refs` before the loose file goes, so that one that is not
//! loose any more is found in a `packed-refs` that is opened after.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bstr::ByteSlice;
use git2::Oid;
use gix::refs::packed;

/// A larger `packed-refs` is mapped, not read.
const MAPPED: u64 = 64 << 10;

/// How a ref is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It stands at this object.
    At(Oid),
    /// It names another ref, or is damaged: git's to tell.
    Otherwise,
}

/// The ref `name` as it is written down; `None` if there is none.
pub(super) fn find(common: &Path, name: &str) -> io::Result<Option<Written>> {
    match loose(&common.join(name))? {
        Some(written) => Ok(Some(written)),
        None => Ok(find_packed(common, name)?.map(Written::At)),
    }
}

/// Where `packed-refs` has the ref `name`.
pub(super) fn find_packed(common: &Path, name: &str) -> io::Result<Option<Oid>> {
    let mut found = None;
    each_packed(common, name, |full, oid| {
        if full == name {
            found = Some(oid);
        }
        // In order, the name itself is the first that begins with it.
        false
    })?;
    Ok(found)
}

/// Every ref whose full name begins with `prefix`, in the order of names, with the object that it stands at. One that
/// names another ref or is damaged is left out.
pub(super) fn below(common: &Path, prefix: &str) -> io::Result<Vec<(String, Oid)>> {
    let mut all = Vec::new();
    each(common, prefix, |name, written| match written {
        Written::At(oid) => all.push((name.to_owned(), oid)),
        Written::Otherwise => tracing::warn!(%name, "a ref cannot be read"),
    })?;
    Ok(all)
}

/// Calls `take` with every ref whose full name begins with `prefix`, in the order of names.
pub(super) fn each(common: &Path, prefix: &str, mut take: impl FnMut(&str, Written)) -> io::Result<()> {
    let mut loose = BTreeMap::new();
    each_loose(common, prefix, |name, _, written| {
        loose.insert(name, written);
        Ok(())
    })?;
    let mut loose = loose.into_iter().peekable();
    each_packed(common, prefix, |name, oid| {
        while let Some((before, written)) = loose.next_if(|(other, _)| other.as_str() < name) {
            take(&before, written);
        }
        match loose.next_if(|(other, _)| other == name) {
            Some((_, newer)) => take(name, newer),
            None => take(name, Written::At(oid)),
        }
        true
    })?;
    for (name, written) in loose {
        take(&name, written);
    }
    Ok(())
}

/// Calls `each` with every loose ref whose full name begins with `prefix`, and its file.
pub(super) fn each_loose(
    common: &Path,
    prefix: &str,
    mut each: impl FnMut(String, PathBuf, Written) -> io::Result<()>,
) -> io::Result<()> {
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries = match fs::read_dir(common.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if is_no_folder(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(last) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let name = format!("{folder}/{last}");
            if !name.starts_with(prefix) && !prefix.starts_with(&format!("{name}/")) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                waiting.push(name);
            } else if entry
                .path()
                .extension()
                .is_none_or(|extension| extension != "lock")
            {
                // One that is gone has been packed or deleted meanwhile.
                if let Some(written) = loose(&entry.path())? {
                    each(name, entry.path(), written)?;
                }
            }
        }
    }
    Ok(())
}

/// What the loose file of a ref says; `None` if there is none.
pub(super) fn loose(path: &Path) -> io::Result<Option<Written>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if is_no_folder(&error) || error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = bytes.trim_ascii_end();
    let whole = std::str::from_utf8(text).ok().filter(|text| text.len() == 40);
    let at = whole.and_then(|text| text.parse().ok());
    Ok(Some(at.map_or(Written::Otherwise, Written::At)))
}

fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Calls `each` with every packed ref whose full name begins with `prefix`, in the order of names, for as long as it
/// says so.
pub(super) fn each_packed(
    common: &Path,
    prefix: &str,
    mut each: impl FnMut(&str, Oid) -> bool,
) -> io::Result<()> {
    let path = common.join("packed-refs");
    // Not there, or empty: gix tells neither from a file that it cannot read.
    match fs::metadata(&path) {
        Ok(meta) if meta.len() > 0 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let damaged = |error: gix::error::Error| io::Error::other(format!("packed-refs: {error}"));
    let packed = packed::Buffer::open(path, MAPPED, gix::hash::Kind::Sha1).map_err(damaged)?;
    let bytes = packed.as_ref();
    let mut at = first_from(bytes, prefix.as_bytes());
    while let Some(line) = line_at(bytes, at) {
        at += line.len() + 1;
        match parse(line) {
            Line::Ref(name, _) if !name.starts_with(prefix.as_bytes()) => break,
            Line::Ref(name, id) => {
                let oid = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                let oid = oid.ok_or_else(|| io::Error::other("packed-refs: a line without an object id"))?;
                // A name that is no text is none of ours, and no branch that we could name.
                if std::str::from_utf8(name).is_ok_and(|name| !each(name, oid)) {
                    break;
                }
            }
            Line::Other => {}
            Line::Damaged => return Err(io::Error::other("packed-refs: a line that is no ref")),
        }
    }
    Ok(())
}

/// A line of `packed-refs`.
enum Line<'a> {
    /// A full name, and the hexadecimal id before it.
    Ref(&'a [u8], &'a [u8]),
    /// The header, what the tag above stands for, or nothing.
    Other,
    Damaged,
}

fn parse(line: &[u8]) -> Line<'_> {
    match line.first() {
        None | Some(b'#' | b'^') => return Line::Other,
        Some(_) => {}
    }
    match line.trim_ascii_end().split_at_checked(40) {
        Some((id, [b' ', name @ ..])) => Line::Ref(name, id),
        _ => Line::Damaged,
    }
}

/// The line that begins at `at`, without its end.
fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let end = rest.find_byte(b'\n').unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Where the first ref line begins whose name is not before `wanted`. Names are in order; a header comes before all.
fn first_from(bytes: &[u8], wanted: &[u8]) -> usize {
    // Both are where a line begins; what is before `low` is too small, what begins at `high` is not.
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let mut start = start_of_line(bytes, low, middle);
        let Some(line) = line_at(bytes, start) else { break };
        let after = (start + line.len() + 1).min(high);
        if line.starts_with(b"^") && start > low {
            // It belongs to the line before.
            start = start_of_line(bytes, low, start - 1);
        }
        match line_at(bytes, start).map(parse) {
            Some(Line::Ref(name, _)) if name >= wanted => high = start,
            _ => low = after,
        }
    }
    low
}

/// Where the line begins that the byte at `at` is in; `from` is where one begins.
fn start_of_line(bytes: &[u8], from: usize, at: usize) -> usize {
    bytes[from..at]
        .rfind_byte(b'\n')
        .map_or(from, |end| from + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        process::Cmd,
        refs::{Repo, tests::scratch},
    };

    /// What git itself says of the refs below `prefix`.
    fn by_git(repo: &Repo, prefix: &str) -> Vec<(String, Oid)> {
        let git = Cmd::git(repo.common_dir()).args(["for-each-ref", "--format=%(refname) %(objectname)"]);
        let said = String::from_utf8(git.output().unwrap()).unwrap();
        let pairs = said.lines().map(|line| line.split_once(' ').unwrap());
        pairs
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, oid)| (name.to_owned(), oid.parse().unwrap()))
            .collect()
    }

    #[test]
    fn loose_packed_and_both_are_read_as_git_reads_them() {
        let (_dir, repo, _site) = scratch();
        let common = repo.common_dir();
        let git = |args: &[&str]| Cmd::git(common).args(args).output().unwrap();
        let text = |args: &[&str]| String::from_utf8(git(args)).unwrap().trim().to_owned();
        let (one, two) = (text(&["rev-parse", "HEAD"]), text(&["rev-parse", "HEAD^{tree}"]));
        for n in 0..40 {
            git(&["update-ref", &format!("refs/khlone/tasks/t-{n:02}"), &one]);
        }
        git(&["update-ref", "refs/khlone/tasks.x", &one]);
        git(&["update-ref", "refs/khlone/pins/t-01/1-heads/a/b", &one]);
        git(&[
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b",
            "tag",
            "-a",
            "v1",
            "-m",
            "x",
            &one,
        ]);
        git(&["pack-refs", "--all"]);
        git(&["update-ref", "refs/khlone/tasks/t-07", &two]);
        git(&["update-ref", "refs/khlone/tasks/s-00", &two]);
        git(&["update-ref", "refs/khlone/tasks/t-99", &two]);
        git(&["update-ref", "-d", "refs/khlone/tasks/t-11"]);
        fs::write(common.join("refs/khlone/tasks/t-98.lock"), "").unwrap();
        for prefix in [
            "refs/",
            "refs/khlone/",
            "refs/khlone/tasks/",
            "refs/khlone/tasks/t-0",
            "refs/khlone/tasks/t-07",
            "refs/khlone/pins/",
            "refs/khlone/nothing/",
            "refs/khlone/tasks/zz",
            "refs/tags/",
        ] {
            assert_eq!(below(common, prefix).unwrap(), by_git(&repo, prefix), "{prefix}");
        }
        for (name, oid) in by_git(&repo, "refs/") {
            assert_eq!(find(common, &name).unwrap(), Some(Written::At(oid)), "{name}");
            assert_eq!(repo.ref_target(&name).unwrap(), Some(oid), "{name}");
        }
        for missing in [
            "refs/khlone/tasks/t-11",
            "refs/khlone/tasks",
            "refs/khlone/tasks/t-0",
            "refs/heads/main/x",
        ] {
            assert_eq!(find(common, missing).unwrap(), None, "{missing}");
        }
    }

    #[test]
    fn the_first_of_a_prefix_is_found_from_anywhere() {
        let id = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        for peeled in [1, 2, 3, 100] {
            let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
            for n in 0..60 {
                text.push_str(&format!("{id} refs/x/{:03}{}\n", n * 2, "y".repeat(n % 7)));
                if n % peeled == 0 {
                    text.push_str(&format!("^{id}\n"));
                }
            }
            for wanted in 0..130 {
                let name = format!("refs/x/{wanted:03}");
                let by_lines = text
                    .match_indices(id)
                    .filter(|(at, _)| *at > 0 && text.as_bytes()[at - 1] == b'\n')
                    .find(|(at, _)| text[at + 41..] >= *name)
                    .map_or(text.len(), |(at, _)| at);
                let found = first_from(text.as_bytes(), name.as_bytes());
                let skipped = &text[found..by_lines.max(found)];
                assert!(
                    found <= by_lines && (skipped.is_empty() || skipped.starts_with(['^', '#'])),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn what_is_odd_is_gits_to_tell() {
        let (_dir, repo, _site) = scratch();
        let common = repo.common_dir();
        let git = |args: &[&str]| Cmd::git(common).args(args).output().unwrap();
        git(&["symbolic-ref", "refs/heads/link", "refs/heads/main"]);
        let main = repo.ref_target("refs/heads/main").unwrap();
        assert_eq!(find(common, "refs/heads/link").unwrap(), Some(Written::Otherwise));
        assert_eq!(repo.ref_target("refs/heads/link").unwrap(), main);
        fs::write(common.join("refs/heads/broken"), "nonsense\n").unwrap();
        assert!(repo.ref_target("refs/heads/broken").is_err());
        assert_eq!(below(common, "refs/heads/").unwrap().len(), 1);
        // A file without a header is not in order.
        let oid = main.unwrap();
        fs::write(
            common.join("packed-refs"),
            format!("{oid} refs/x/b\n{oid} refs/x/a\n"),
        )
        .unwrap();
        assert_eq!(find(common, "refs/x/b").unwrap(), Some(Written::At(oid)));
        assert_eq!(below(common, "refs/x/").unwrap().len(), 2);
        for empty in ["", "# pack-refs with: peeled fully-peeled sorted \n"] {
            fs::write(common.join("packed-refs"), empty).unwrap();
            assert_eq!(find(common, "refs/x/b").unwrap(), None);
            assert!(below(common, "refs/x/").unwrap().is_empty());
        }
    }
}
