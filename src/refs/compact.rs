//! Many small kept packs become one; the objects that the ledger no longer needs go to git.
//!
//! Objects of ours are not ours alone: `git add` of a file whose content is already in one of our packs writes
//! nothing. So nothing is deleted here. What our refs reach goes to one new kept pack; the rest goes to another, the
//! *remainder*, which loses its `.keep` in the end: then git's own gc keeps what the user's history reaches and prunes
//! the rest after its own grace. The packs' lock is taken alone: no writer is between its pack and its ref meanwhile.
//! Killed anywhere, every object is in the old packs, the new ones, or both. The old packs stay for a minute, doomed:
//! a `git fsck` or `gc` that is reading them must not find them gone.
//!
//! A gc that sees an object in a kept pack drops every other copy of it. So the remainder stays kept for as long as any
//! doomed pack has what it has, and loses its `.keep` only when the last of those is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use git2::{ObjectType, Oid};

use super::{
    Kind, LedgerError, ObjectSink, Pack, Repo, Site, Turn,
    pack::{KEEP, REMAINS},
};

/// How long a pack stays once its objects are in another.
const GRACE: Duration = Duration::from_secs(60);
/// What doomed packs have in their `.keep` files instead of our own word. As long as that: a `git clone` that links
/// the file at the same time checks its size.
pub(super) const DOOMED: &str = "git-doomed\n";
const _: () = assert!(
    DOOMED.len() == KEEP.len() && DOOMED.len() == REMAINS.len(),
    "one word is written over the other"
);

/// Packs longer than this are not joined with others.
const LARGE: u64 = 16 << 20;
/// The file with the names of unkept packs that are ours to join.
pub(super) const REMAINDER: &str = "remainder";

/// Compacts our packs if there are more than `most`; returns whether it did.
///
/// # Errors
/// If a pack or ref cannot be read, or a new pack cannot be written; the old packs stand then.
pub fn compact(repo: &Repo, site: &Site, most: usize) -> Result<bool, LedgerError> {
    let pack_dir = repo.common_dir().join("objects/pack");
    let Some(lock) = Turn::try_take(&site.lock_path("packs.lock"))? else {
        // Someone writes; there will be another time.
        return Ok(false);
    };
    // Under the lock: a writer may be bringing the very same pack back.
    sweep(&pack_dir)?;
    let mut old = kept_packs(&pack_dir, KEEP)?;
    if old.len() <= most {
        return Ok(false);
    }
    old.extend(kept_packs(&pack_dir, REMAINS)?);
    let record = site.dir().join(REMAINDER);
    old.extend(unkept_packs(&pack_dir, &record));
    let mut inside = BTreeMap::new();
    for idx in &old {
        read_index(repo, idx, &mut inside)?;
    }
    let needed = needed(repo, &inside)?;

    let odb = repo.git().odb()?;
    let mut kept = Pack::under(Some(lock), site)?;
    let mut rest = Pack::under(None, site)?;
    for (&oid, &kind) in &inside {
        let pack = if needed.contains(&oid) {
            &mut kept
        } else {
            &mut rest
        };
        pack.put(kind, odb.read(oid)?.data())?;
    }
    let rest = rest.publish_remains()?;
    fs::write(&record, rest.as_deref().unwrap_or_default())?;
    let fresh: Vec<_> = [kept.publish()?, rest].into_iter().flatten().collect();
    for idx in &old {
        let stem = idx.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !fresh.iter().any(|fresh| fresh == stem) {
            let keep = fs::File::options().write(true).open(idx.with_extension("keep"));
            // One of the remainder has no `.keep` yet.
            match keep {
                Ok(mut keep) => keep.write_all(DOOMED.as_bytes())?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::write(idx.with_extension("keep"), DOOMED)?
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(true)
}

/// The unkept packs that are ours to join, by `record`: those of them that are there, and still unkept.
pub(super) fn unkept_packs(pack_dir: &Path, record: &Path) -> Vec<PathBuf> {
    let given = fs::read_to_string(record).unwrap_or_default();
    let named = given
        .lines()
        .map(|stem| pack_dir.join(stem).with_extension("idx"));
    named
        .filter(|idx| idx.exists() && !idx.with_extension("keep").exists())
        .collect()
}

/// Takes an unkept pack (its name) that we brought into the repository, so that the next compaction joins it with the
/// others: many of them would set off the user's `gc --auto`. A large one stays by itself.
///
/// # Errors
/// If the disk refuses.
pub fn give_to_remainder(site: &Site, stem: &str) -> io::Result<()> {
    let pack = site
        .common_dir()
        .join("objects/pack")
        .join(stem)
        .with_extension("pack");
    if fs::metadata(pack).is_ok_and(|data| data.len() > LARGE) {
        return Ok(());
    }
    let _turn = Turn::wait_shared(&site.lock_path("packs.lock"))?;
    let mut record = fs::File::options()
        .append(true)
        .create(true)
        .open(site.dir().join(REMAINDER))?;
    // Its own line, whatever the last one ended in.
    record.write_all(format!("\n{stem}\n").as_bytes())
}

/// How many packs are ours, and their bytes.
///
/// # Errors
/// If the folder of packs cannot be read.
pub fn kept_size(repo: &Repo) -> io::Result<(usize, u64)> {
    let packs = kept_packs(&repo.common_dir().join("objects/pack"), KEEP)?;
    let size = |idx: &PathBuf| {
        let of = |extension: &str| fs::metadata(idx.with_extension(extension)).map_or(0, |meta| meta.len());
        of("pack") + of("idx")
    };
    Ok((packs.len(), packs.iter().map(size).sum()))
}

/// Removes the packs that have been doomed for long enough; with the last of them, the remainder is git's.
fn sweep(pack_dir: &Path) -> io::Result<()> {
    let mut all_gone = true;
    for idx in kept_packs(pack_dir, DOOMED)? {
        let since = fs::metadata(idx.with_extension("keep"))?.modified()?;
        if since.elapsed().is_ok_and(|age| age > GRACE) {
            remove(&idx)?;
        } else {
            all_gone = false;
        }
    }
    if all_gone {
        give_remains(pack_dir)?;
    }
    Ok(())
}

/// Leaves the remainder to git. No doomed pack may be there any more.
pub(super) fn give_remains(pack_dir: &Path) -> io::Result<()> {
    for idx in kept_packs(pack_dir, REMAINS)? {
        fs::remove_file(idx.with_extension("keep"))?;
    }
    Ok(())
}

pub(super) fn remove(idx: &Path) -> io::Result<()> {
    // The index first: without it the pack is invisible, and a pack without a `.keep` is git's to clean up.
    for extension in ["idx", "pack", "keep"] {
        match fs::remove_file(idx.with_extension(extension)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The index files of the packs whose `.keep` file holds `word`.
pub(super) fn kept_packs(dir: &Path, word: &str) -> io::Result<Vec<PathBuf>> {
    let mut ours = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ours),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let kept = path.extension().is_some_and(|extension| extension == "keep");
        if kept
            && path.with_extension("idx").exists()
            && fs::read(&path).unwrap_or_default() == word.as_bytes()
        {
            ours.push(path.with_extension("idx"));
        }
    }
    Ok(ours)
}

/// The objects of a pack, from its version 2 index.
pub(super) fn read_index(repo: &Repo, idx: &Path, into: &mut BTreeMap<Oid, Kind>) -> Result<(), LedgerError> {
    const FANOUT: usize = 8;
    const IDS: usize = FANOUT + 256 * 4;
    let bytes = fs::read(idx)?;
    let short = || {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{} is cut short", idx.display()),
        )
    };
    let count = bytes
        .get(IDS - 4..IDS)
        .and_then(|word| word.try_into().ok())
        .ok_or_else(short)?;
    let count = u32::from_be_bytes(count) as usize;
    let odb = repo.git().odb()?;
    for id in bytes
        .get(IDS..IDS + 20 * count)
        .ok_or_else(short)?
        .chunks_exact(20)
    {
        let oid = Oid::from_bytes(id)?;
        let kind = match odb.read_header(oid)?.1 {
            ObjectType::Tree => Kind::Tree,
            ObjectType::Commit => Kind::Commit,
            ObjectType::Tag => Kind::Tag,
            ObjectType::Blob | ObjectType::Any => Kind::Blob,
        };
        into.insert(oid, kind);
    }
    Ok(())
}

/// The objects of `inside` that our refs reach without leaving our packs.
pub(super) fn needed(repo: &Repo, inside: &BTreeMap<Oid, Kind>) -> Result<BTreeSet<Oid>, LedgerError> {
    let git = repo.git();
    let mut needed = BTreeSet::new();
    let mut todo = Vec::new();
    for glob in ["refs/khlone/*", super::names::NOTES] {
        for reference in git.references_glob(glob)? {
            todo.extend(reference?.target());
        }
    }
    while let Some(oid) = todo.pop() {
        let Some(kind) = inside.get(&oid).filter(|_| needed.insert(oid)) else {
            continue;
        };
        match kind {
            Kind::Blob => {}
            Kind::Tag => todo.push(git.find_tag(oid)?.target_id()),
            Kind::Commit => todo.push(git.find_commit(oid)?.tree_id()),
            Kind::Tree => todo.extend(git.find_tree(oid)?.iter().map(|entry| entry.id())),
        }
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        process::Cmd,
        refs::{tests::scratch, update_ref},
    };

    /// Lets the grace of what is doomed pass.
    fn doom(dir: &Path) {
        for idx in kept_packs(dir, DOOMED).unwrap() {
            let keep = fs::File::options()
                .write(true)
                .open(idx.with_extension("keep"))
                .unwrap();
            keep.set_modified(std::time::SystemTime::now() - 2 * GRACE)
                .unwrap();
        }
    }

    /// Seed 7, `UndoRollback kill write 94` while git packed and pruned.
    #[test]
    fn what_only_the_users_history_needs_outlives_a_gc_that_runs_while_old_packs_are_doomed() {
        let (_dir, repo, site) = scratch();
        let git = || Cmd::git(repo.common_dir());
        let packed = |text: &[u8], name: &str| {
            let mut pack = Pack::begin(&site).unwrap();
            let blob = pack.put(Kind::Blob, text).unwrap();
            pack.publish().unwrap();
            update_ref(&repo, name, None, blob).unwrap();
            blob
        };
        let ours = packed(b"ours\n", "refs/khlone/tasks/t-x");
        // The content of a file of the user's, too, and nothing of ours names it any more.
        let theirs = packed(b"theirs\n", "refs/tags/theirs");
        assert!(compact(&repo, &site, 1).unwrap());
        let packs = repo.common_dir().join("objects/pack");
        for _ in 0..2 {
            git().args(["gc", "-q", "--prune=now"]).output().unwrap();
            doom(&packs);
            compact(&repo, &site, 1).unwrap();
        }
        git().args(["gc", "-q", "--prune=now"]).output().unwrap();
        for oid in [theirs, ours] {
            git().args(["cat-file", "-e", &oid.to_string()]).output().unwrap();
        }
        let kept = |word| kept_packs(&packs, word).unwrap().len();
        assert_eq!((kept(KEEP), kept(REMAINS), kept(DOOMED)), (1, 0, 0));
    }

    #[test]
    fn packs_become_one_and_nothing_is_lost() {
        let (_dir, repo, site) = scratch();
        let mut old = None;
        let mut loose_end = None;
        for i in 0..5 {
            let mut pack = Pack::begin(&site).unwrap();
            let text = format!("content {i}");
            let oid = pack.put(Kind::Blob, text.as_bytes()).unwrap();
            pack.publish().unwrap();
            update_ref(&repo, "refs/khlone/tasks/t-x", old, oid).unwrap();
            loose_end = loose_end.or(Some(oid));
            old = Some(oid);
        }
        assert!(compact(&repo, &site, 2).unwrap());
        // The newest of the five is already what the new one would be.
        let packs = repo.common_dir().join("objects/pack");
        assert_eq!(
            (
                kept_packs(&packs, KEEP).unwrap().len(),
                kept_packs(&packs, DOOMED).unwrap().len()
            ),
            (1, 4)
        );
        doom(&packs);
        assert!(!compact(&repo, &site, 2).unwrap());
        assert_eq!(kept_packs(&packs, DOOMED).unwrap().len(), 0);
        let git = || Cmd::git(repo.common_dir());
        // The state that nothing names any more is git's to prune, and until then it is there.
        git()
            .args(["cat-file", "-e", &loose_end.unwrap().to_string()])
            .output()
            .unwrap();
        git().args(["gc", "-q", "--prune=now"]).output().unwrap();
        git()
            .args(["cat-file", "-e", &loose_end.unwrap().to_string()])
            .output()
            .unwrap_err();
        git()
            .args(["cat-file", "-e", &old.unwrap().to_string()])
            .output()
            .unwrap();
        git().args(["fsck", "--strict"]).output().unwrap();
        assert!(!compact(&repo, &site, 2).unwrap());
    }
}
