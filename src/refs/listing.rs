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
    let mut loose = BTreeMap::new();
    each_loose(common, prefix, |name, _, written| {
        match written {
            Written::At(oid) => drop(loose.insert(name, oid)),
            Written::Otherwise => tracing::warn!(%name, "a ref cannot be read"),
        }
        Ok(())
    })?;
    let mut all = Vec::new();
    let mut loose = loose.into_iter().peekable();
    each_packed(common, prefix, |name, oid| {
        while let Some(before) = loose.next_if(|(other, _)| other.as_str() < name) {
            all.push(before);
        }
        match loose.next_if(|(other, _)| other == name) {
            Some(newer) => all.push(newer),
            None => all.push((name.to_owned(), oid)),
        }
        true
    })?;
    all.extend(loose);
    Ok(all)
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
fn each_packed(common: &Path, prefix: &str, mut each: impl FnMut(&str, Oid) -> bool) -> io::Result<()> {
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
    for found in packed.iter_prefixed(prefix.into()).map_err(damaged)? {
        let found = found.map_err(damaged)?;
        let name = std::str::from_utf8(found.name.as_bstr()).ok();
        let oid = Oid::from_bytes(found.target().as_bytes()).ok();
        if let (Some(name), Some(oid)) = (name, oid)
            && !each(name, oid)
        {
            break;
        }
    }
    Ok(())
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
