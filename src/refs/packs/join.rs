//! Several packs of ours become two: what the ledger needs, kept, and the rest, for git to keep or prune.
//!
//! Objects of ours are not ours alone: `git add` of a file whose content is already in one of our packs writes nothing.
//! So no object is deleted here: a pack goes only once each of its objects is, index against index, in one of the two
//! that replace it, and one that has to stay for another reason is handed to git.
//!
//! The rest stays kept until the old packs are gone. A gc that sees an object in a kept pack drops every other copy of it:
//! with the rest unkept beside an old kept pack, that gc and this deletion together would lose the object. Killed
//! anywhere, every object is in the old packs, the new ones, or both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::Path,
};

use git2::{ObjectType, Oid};
use gix::odb::pack::index;

use super::{
    midx,
    record::{Mark, Ours, Record, remove_if_there},
};
use crate::{
    process::{Cmd, ProcessError, fault::point},
    refs::{
        LedgerError, Repo, Site, names,
        pack::{keep, new_stem, sync_dir},
    },
};

/// What may stand beside a pack under its name. The index goes first: without it the pack is invisible; the `.keep` last.
const PARTS: [&str; 6] = ["idx", "rev", "bitmap", "mtimes", "pack", "keep"];
/// The memory that git may take to find deltas.
const WINDOW: &str = "pack.windowMemory=32m";

/// The objects of some packs of ours, those that the ledger needs with a hint of their names.
#[derive(Debug, Default)]
pub(super) struct Contents {
    needed: BTreeMap<Oid, Vec<u8>>,
    rest: BTreeSet<Oid>,
}

impl Contents {
    /// Reads what `packs` hold, and which of it our refs reach without leaving them.
    ///
    /// # Errors
    /// If a pack or ref cannot be read.
    pub(super) fn of(repo: &Repo, record: &Record, packs: &[Ours]) -> Result<Self, LedgerError> {
        let mut inside = BTreeSet::new();
        for pack in packs {
            inside.extend(objects(record.pack_dir(), &pack.stem)?);
        }
        let needed = reached(repo, &inside)?;
        inside.retain(|oid| !needed.contains_key(oid));
        Ok(Self { needed, rest: inside })
    }

    /// Leaves `doomed` out; gives those that the ledger does not need, which alone can be left out.
    pub(super) fn leave_out(&mut self, doomed: &BTreeSet<Oid>) -> BTreeSet<Oid> {
        doomed
            .iter()
            .copied()
            .filter(|oid| self.rest.remove(oid))
            .collect()
    }
}

/// Replaces `old` by packs of `contents`; objects in `dropped` need not be in them.
///
/// # Errors
/// If git or the disk refuses; the old packs stand then.
pub(super) fn join(
    site: &Site,
    record: &Record,
    old: &[Ours],
    contents: &Contents,
    dropped: &BTreeSet<Oid>,
) -> Result<(), LedgerError> {
    let kept = match as_it_should_be(record, old, contents)? {
        Some(stem) => Some(stem),
        None => {
            let needed = contents.needed.iter().map(|(oid, name)| (*oid, name.as_slice()));
            write(site, record, needed)?
        }
    };
    let rest = write(site, record, contents.rest.iter().map(|oid| (*oid, &b""[..])))?;
    point("join-installed", "");
    let fresh: Vec<&String> = kept.iter().chain(&rest).collect();
    let mut staying = BTreeSet::new();
    for stem in &fresh {
        staying.extend(objects(record.pack_dir(), stem)?);
    }
    let is_covered = |stem: &str| -> io::Result<bool> {
        let mut objects = objects(record.pack_dir(), stem)?;
        Ok(objects.all(|oid| staying.contains(&oid) || dropped.contains(&oid)))
    };
    let mut going = BTreeSet::new();
    for pack in old.iter().filter(|pack| !fresh.contains(&&pack.stem)) {
        if is_covered(&pack.stem)? {
            going.insert(pack.stem.clone());
        } else {
            hand_over(record, &pack.stem)?;
        }
    }
    let free = midx::write_without(site.common_dir(), &going).unwrap_or_else(|error| {
        tracing::warn!(%error, "packs that a multi-pack-index names are left to git");
        BTreeSet::new()
    });
    for stem in &going {
        if free.contains(stem) {
            remove(record, stem)?;
        } else {
            hand_over(record, stem)?;
        }
    }
    point("join-removed", "");
    if !going.is_empty()
        && let Err(error) = midx::mend_after_removal(site.common_dir())
    {
        tracing::warn!(%error, "the multi-pack-index may name packs that are gone");
    }
    if let Some(stem) = kept {
        record.settle(&stem, Mark::Kept)?;
    }
    if let Some(stem) = rest {
        remove_if_there(&record.pack_dir().join(&stem).with_extension("keep"))?;
        record.settle(&stem, Mark::Loose)?;
    }
    Ok(())
}

/// The kept pack of just what the ledger needs, if there is one: it need not be written again.
fn as_it_should_be(record: &Record, old: &[Ours], contents: &Contents) -> io::Result<Option<String>> {
    for pack in old.iter().filter(|pack| pack.kept) {
        let objects = objects(record.pack_dir(), &pack.stem)?;
        if objects.eq(contents.needed.keys().copied()) {
            return Ok(Some(pack.stem.clone()));
        }
    }
    Ok(None)
}

/// Leaves a pack to git for good.
fn hand_over(record: &Record, stem: &str) -> io::Result<()> {
    remove_if_there(&record.pack_dir().join(stem).with_extension("keep"))?;
    record.forget(stem)
}

fn remove(record: &Record, stem: &str) -> io::Result<()> {
    for part in PARTS {
        remove_if_there(&record.pack_dir().join(stem).with_extension(part))?;
    }
    record.forget(stem)
}

/// Has git pack `objects`, and puts the pack in place, kept; gives its name, none if there are no objects.
fn write<'a>(
    site: &Site,
    record: &Record,
    objects: impl Iterator<Item = (Oid, &'a [u8])>,
) -> Result<Option<String>, LedgerError> {
    let mut list = Vec::new();
    for (oid, name) in objects {
        list.extend(oid.to_string().bytes());
        list.push(b' ');
        list.extend(name.iter().filter(|byte| **byte != b'\n'));
        list.push(b'\n');
    }
    if list.is_empty() {
        return Ok(None);
    }
    let temp = site.pack_temp()?;
    let temp = tempfile::Builder::new().prefix("join-").tempdir_in(temp)?;
    let printed = Cmd::git(site.common_dir())
        .args(["-c", WINDOW, "-c", "pack.threads=1", "-c", "pack.packSizeLimit=0"])
        .args([
            "-c",
            "pack.indexVersion=2",
            "pack-objects",
            "-q",
            "--delta-base-offset",
        ])
        .arg(temp.path().join("pack"))
        .input(list)
        .output()
        .map_err(failed)?;
    let stem = format!("pack-{}", String::from_utf8_lossy(&printed).trim());
    install(record, temp.path(), &stem)
        .map(Some)
        .map_err(LedgerError::Io)
}

/// Moves the finished pack `made` from `from` to where packs stand, its `.keep` first, and makes that durable. Gives the
/// name that it has there.
///
/// # Errors
/// If the disk refuses.
pub(super) fn install(record: &Record, from: &Path, made: &str) -> io::Result<String> {
    let stem = new_stem()?;
    let place = record.pack_dir().join(&stem);
    record.begin(&stem)?;
    keep(record, &place.with_extension("keep"), from)?;
    for part in ["pack", "rev", "idx"] {
        let made = from.join(made).with_extension(part);
        match File::open(&made) {
            // git writes a reverse index only from 2.41 on, or where it is told to.
            Err(error) if part == "rev" && error.kind() == io::ErrorKind::NotFound => continue,
            file => file?.sync_all()?,
        }
        fs::rename(made, place.with_extension(part))?;
    }
    sync_dir(record.pack_dir())?;
    Ok(stem)
}

fn failed(error: ProcessError) -> LedgerError {
    LedgerError::Io(io::Error::other(error.to_string()))
}

/// The ids in a pack's index, of either version.
pub(super) fn objects(pack_dir: &Path, stem: &str) -> io::Result<impl Iterator<Item = Oid>> {
    let path = pack_dir.join(stem).with_extension("idx");
    let index =
        index::File::at(&path, gix::hash::Kind::Sha1).map_err(|error| io::Error::other(error.to_string()))?;
    let ids: Vec<Oid> = index
        .iter()
        .filter_map(|entry| Oid::from_bytes(entry.oid.as_bytes()).ok())
        .collect();
    Ok(ids.into_iter())
}

/// The objects of `inside` that our refs reach without leaving it, each with the last part of a path that it has.
///
/// What they reach by way of other packs only is passed over: it is older than what is there, and stays reachable for git.
fn reached(repo: &Repo, inside: &BTreeSet<Oid>) -> Result<BTreeMap<Oid, Vec<u8>>, LedgerError> {
    let git = repo.git();
    let mut found = BTreeMap::new();
    let mut todo = Vec::new();
    for glob in ["refs/khlone/*", names::NOTES] {
        for reference in git.references_glob(glob)? {
            todo.extend(reference?.target().map(|oid| (oid, None, Vec::new())));
        }
    }
    while let Some((oid, kind, name)) = todo.pop() {
        if !inside.contains(&oid) || found.contains_key(&oid) {
            continue;
        }
        let kind = match kind {
            Some(kind) => kind,
            None => git.odb()?.read_header(oid)?.1,
        };
        found.insert(oid, name);
        match kind {
            ObjectType::Tag => todo.push((git.find_tag(oid)?.target_id(), None, Vec::new())),
            ObjectType::Commit => todo.push((
                git.find_commit(oid)?.tree_id(),
                Some(ObjectType::Tree),
                Vec::new(),
            )),
            ObjectType::Tree => todo.extend(
                git.find_tree(oid)?
                    .iter()
                    .map(|entry| (entry.id(), entry.kind(), entry.name_bytes().to_vec())),
            ),
            ObjectType::Blob | ObjectType::Any => {}
        }
    }
    Ok(found)
}
