//! Packs of ours: which they are, and how many small ones become few.
//!
//! Each change of the ledger is one small kept pack ([`super::Pack`]). Too many of them slow down every git command of the
//! user's, so they are joined: by size, so that nothing is written again often ([`choose`]). What the ledger needs stays
//! kept, apart from the user's own packs, so that `git gc` need not pack it again and a secret can be taken out of it;
//! the rest is git's ([`join`]). The user's packs are never written again, and nothing that came with a copy of the
//! repository is touched ([`record`]).
//!
//! No writer waits while packs are joined: one that is between its pack and its ref is known by its record, and its pack
//! is not taken.

mod amid;
mod choose;
mod join;
mod midx;
mod open;
mod purge;
pub(crate) mod record;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

pub use amid::amid_gc;
pub use open::bound_open_packs;
pub use purge::{Purged, every_object, purge, reached};

use git2::Oid;

use self::record::{Mark, Record};
use super::{LedgerError, Repo, Site};
use crate::process::FileLock;
use join::Contents;

/// A pack of at least so many bytes that was imported is git's own at once.
const LARGE: u64 = 16 << 20;

/// Joins packs of ours, the smallest, if there are more than `most`; returns whether it did. Another process that is at it
/// already is left alone.
///
/// # Errors
/// If a pack or ref cannot be read, or a new pack cannot be written; the old packs stand then.
pub fn compact(repo: &Repo, site: &Site, most: usize) -> Result<bool, LedgerError> {
    let Some(_turn) = FileLock::try_take(&joining(site))? else {
        return Ok(false);
    };
    if let Err(error) = midx::mend(site.common_dir()) {
        tracing::warn!(%error, "the multi-pack-index may name packs that are gone");
    }
    let (record, mut packs) = ours(site)?;
    if packs.len() <= most {
        return Ok(false);
    }
    packs.truncate(choose::smallest_to_join(packs.iter().map(|pack| pack.bytes)));
    let contents = Contents::of(repo, &record, &packs)?;
    join::join(site, &record, &packs, &contents, &BTreeSet::new())?;
    Ok(true)
}

/// Joins all packs of ours into one, and what the ledger does not need into another, waiting for another process that is
/// at it.
///
/// # Errors
/// As [`compact`].
pub fn compact_all(repo: &Repo, site: &Site) -> Result<(), LedgerError> {
    let _turn = FileLock::wait(&joining(site))?;
    amid_gc(repo, || {
        let (record, packs) = ours(site)?;
        let contents = Contents::of(repo, &record, &packs)?;
        join::join(site, &record, &packs, &contents, &BTreeSet::new())
    })
}

/// The lock of whoever joins packs.
fn joining(site: &Site) -> PathBuf {
    site.layout().join_lock()
}

fn ours(site: &Site) -> io::Result<(Record, Vec<record::Ours>)> {
    let record = Record::open(site)?;
    record.settle_abandoned()?;
    let packs = record.ours()?;
    Ok((record, packs))
}

/// Takes over the packs that this site wrote before its repository was moved to where it is now.
///
/// # Errors
/// If the folder of packs cannot be read or written.
pub fn adopt_packs(site: &Site) -> io::Result<()> {
    Record::open(site)?.adopt(site.formers())
}

/// How many packs the ledger keeps, and their bytes.
///
/// # Errors
/// If the site's record or a pack cannot be read.
pub fn kept_size(site: &Site) -> io::Result<(usize, u64)> {
    let mut packs = Record::open(site)?.ours()?;
    packs.retain(|pack| pack.kept);
    Ok((packs.len(), packs.iter().map(|pack| pack.bytes).sum()))
}

/// Gives every pack of ours to git, which packs them anew and prunes what nothing names.
///
/// # Errors
/// If the record cannot be read, or the folder of packs not be written.
pub fn keep_no_packs(site: &Site) -> io::Result<()> {
    let record = Record::open(site)?;
    for ours in record.ours()?.into_iter().filter(|ours| ours.kept) {
        record::remove_if_there(&record.pack_dir().join(ours.stem).with_extension("keep"))?;
    }
    Ok(())
}

/// The ids in the index of the pack `stem` in the folder `packs`.
///
/// # Errors
/// If it cannot be read.
pub fn packed_objects(packs: &Path, stem: &str) -> io::Result<BTreeSet<Oid>> {
    Ok(join::objects(packs, stem)?.collect())
}

/// A pack that was brought into the repository, kept until refs name what is in it.
#[derive(Debug)]
#[must_use = "a kept pack stays until it is released"]
pub struct KeptPack {
    record: Record,
    stem: String,
    _writing: FileLock,
}

impl KeptPack {
    /// What the `.keep` files of `site` hold, but for the line's end.
    ///
    /// # Errors
    /// If the site's folder cannot be written.
    pub fn mark(site: &Site) -> io::Result<String> {
        Ok(Record::open(site)?.word().trim_end().to_owned())
    }

    /// Puts the pack `made` (`pack-<hash>`) from the folder `from` in place, kept and durable, under a name of its own.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn install(site: &Site, from: &Path, made: &str) -> io::Result<Self> {
        let record = Record::open(site)?;
        let writing = FileLock::wait_shared(&site.layout().packs_lock())?;
        let stem = join::install(&record, from, made)?;
        Ok(Self {
            record,
            stem,
            _writing: writing,
        })
    }

    /// Gives the pack to git, once refs name what is in it. Small ones are joined with others of ours in time: many of
    /// them would set off the user's `git gc --auto`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn release(self) -> io::Result<()> {
        let place: PathBuf = self.record.pack_dir().join(&self.stem);
        record::remove_if_there(&place.with_extension("keep"))?;
        if std::fs::metadata(place.with_extension("pack")).is_ok_and(|data| data.len() >= LARGE) {
            return self.record.forget(&self.stem);
        }
        self.record.settle(&self.stem, Mark::Loose)
    }
}

#[cfg(test)]
mod tests;
