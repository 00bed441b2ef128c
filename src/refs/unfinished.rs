//! Which tags may be of tasks that are not over: at the cost of those, and not of all tasks there ever were.
//!
//! Finished tasks stand in `packed-refs`, thousands of them at times. What one look at that file came to is kept beside
//! it, in `<common>/khlone/unfinished`, for as long as it is the same file, as git itself keeps what it read of it. What is
//! loose is read each time. Losing the file costs the next look some time.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::{
    Site,
    listing::{self, Written},
    names,
    over::Over,
};
use crate::process::kept;

/// What the file begins with; one that begins otherwise is none.
const HEADER: &[u8] = b"git-khlone unfinished 2\n";
/// From so many finished tasks on, the file is worth its making.
const FEW: usize = 32;

/// A file as it was: another one, or one that was written since, differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of `packed-refs`; of none where there is no such file.
    fn of_packed(common: &Path) -> io::Result<Self> {
        match fs::metadata(common.join("packed-refs")) {
            Ok(meta) => Ok(Self {
                dev: meta.dev(),
                ino: meta.ino(),
                size: meta.size(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    packed: Stamp,
    /// What stands in it, by full name, and is not over.
    open: BTreeMap<String, String>,
    /// Tags of loose refs that are over.
    over: BTreeSet<String>,
}

/// A look at the tags of tasks.
#[derive(Debug)]
pub(super) struct Glance {
    /// The tags that may be of tasks that are not over.
    pub(super) tags: Vec<Oid>,
    kept: Kept,
    loose: HashSet<Oid>,
    /// The tags in `packed-refs` that are over, where it was read anew and did not change meanwhile.
    scanned: Option<Vec<Oid>>,
    /// Whether `kept` may be kept.
    is_sure: bool,
}

impl Glance {
    pub(super) fn take(site: &Site) -> io::Result<Self> {
        let common = site.common_dir();
        let mut loose = BTreeMap::new();
        listing::each_loose(common, names::TASKS, |name, _, written| {
            loose.insert(name, written);
            Ok(())
        })?;
        // After the loose ones: what was packed meanwhile is in a file that differs.
        let packed = Stamp::of_packed(common)?;
        let (kept, scanned) = match read(site) {
            Some(before) if before.packed == packed => (before, None),
            before => {
                let (kept, known) = scan(site, packed, before.unwrap_or_default().over)?;
                (kept, Some(known))
            }
        };
        let is_sure = scanned.is_none() || Stamp::of_packed(common)? == packed;
        let tag = |written: &Written| match written {
            Written::At(tag) => Some(*tag),
            Written::Otherwise => None,
        };
        let loose_tags: HashSet<Oid> = loose.values().filter_map(tag).collect();
        let packed_tags = kept.open.iter().filter(|(name, _)| !loose.contains_key(*name));
        let packed_tags = packed_tags.filter_map(|(_, tag)| tag.parse().ok());
        let unknown = loose_tags
            .iter()
            .filter(|tag| !kept.over.contains(&tag.to_string()));
        Ok(Self {
            tags: unknown.copied().chain(packed_tags).collect(),
            kept,
            loose: loose_tags,
            scanned,
            is_sure,
        })
    }

    /// Keeps for the next look that `done`, of the tags that it gave, are of tasks that are over; if that is worth it.
    pub(super) fn keep(mut self, site: &Site, done: &[Oid]) {
        let found = self.scanned.as_ref().map_or(0, Vec::len) + done.len();
        if self.is_sure
            && found > FEW
            && let Err(error) = self.write(site, done)
        {
            tracing::debug!(%error, "the next look reads these tags again");
        }
    }

    fn write(&mut self, site: &Site, done: &[Oid]) -> io::Result<()> {
        let texts: BTreeSet<String> = done.iter().map(Oid::to_string).collect();
        let Kept { open, over, .. } = &mut self.kept;
        open.retain(|_, tag| !texts.contains(tag));
        over.extend(texts);
        let is_loose = |tag: &String| tag.parse().is_ok_and(|tag| self.loose.contains(&tag));
        over.retain(is_loose);
        if let Some(known) = self.scanned.take()
            && done.len() > FEW
        {
            // For the day when `packed-refs` is another file.
            let loose = over.iter().filter_map(|tag| tag.parse().ok());
            Over::read(site).replace(known.into_iter().chain(done.iter().copied()).chain(loose))?;
        }
        kept::write(
            &site.layout().unfinished(),
            HEADER,
            &serde_json::to_vec(&self.kept)?,
        )
    }
}

fn read(site: &Site) -> Option<Kept> {
    let text = kept::read(&site.layout().unfinished(), HEADER)?;
    serde_json::from_slice(&text).ok()
}

/// What stands in `packed-refs`: what is not known to be over, and the tags that are. `loose` are tags that were loose
/// and over when it was read before.
fn scan(site: &Site, packed: Stamp, loose: BTreeSet<String>) -> io::Result<(Kept, Vec<Oid>)> {
    let over = Over::read(site);
    let were_loose: HashSet<Oid> = loose.iter().filter_map(|tag| tag.parse().ok()).collect();
    let (mut open, mut known) = (BTreeMap::new(), Vec::new());
    listing::each_packed(site.common_dir(), names::TASKS, |name, tag| {
        if over.has(tag) || were_loose.contains(&tag) {
            known.push(tag);
        } else {
            open.insert(name.to_owned(), tag.to_string());
        }
        true
    })?;
    let kept = Kept {
        packed,
        open,
        over: loose,
    };
    Ok((kept, known))
}
