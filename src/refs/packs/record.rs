//! Which packs this site made: one empty marker file per pack in `<common>/khlone/packs/`.
//!
//! A `.keep` file alone does not make a pack ours: `git clone` of a local path, `cp -al` and backups bring packs along
//! with their `.keep` files. A pack is ours if this site's record has it *and* its `.keep`, where it has one, names this
//! site. Markers are only created, renamed and removed, never written to, so a hard-linked copy of the site's folder
//! shares nothing with its original.
//!
//! `STEM.begun` is made before the pack is in place and becomes `STEM.kept` once the writer's ref has moved (or the writer
//! gave up), so that joining packs never touches one whose writer is between its pack and its ref. Markers are not synced:
//! one lost to a power cut leaves a pack that stays, kept, and that no later join takes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::super::{Sharing, Site, pack::make_dirs};
use crate::process::{FileLock, file::replace};

/// What `.keep` files held before they named their site: packs of the ledger, what it no longer needed, packs about to be
/// removed, imports.
const LEGACY: [&str; 4] = [
    "git-khlone\n",
    "git-remain\n",
    "git-doomed\n",
    "git-khlone import\n",
];

/// Where a pack of ours stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Its writer is still at it, or was killed.
    Begun,
    /// The ledger's, with a `.keep`.
    Kept,
    /// Without a `.keep`: git may pack its objects anew or prune them at any time.
    Loose,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Begun, Self::Kept, Self::Loose];

    fn extension(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Kept => "kept",
            Self::Loose => "loose",
        }
    }
}

/// A pack of ours that is on disk.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    /// Its name without ending: `pack-<hash>`.
    pub(super) stem: String,
    /// Whether it has a `.keep`.
    pub(super) kept: bool,
    /// Bytes of pack and index.
    pub(super) bytes: u64,
}

/// The record of one site.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    dir: PathBuf,
    pack_dir: PathBuf,
    lock: PathBuf,
    word: String,
    sharing: Sharing,
}

impl Record {
    /// The record of `site`. Where an earlier version left none, the packs that it made are taken over.
    ///
    /// # Errors
    /// If the site's folder cannot be written.
    pub(crate) fn open(site: &Site) -> io::Result<Self> {
        let record = Self {
            dir: site.layout().packs(),
            pack_dir: site.common_dir().join("objects/pack"),
            lock: site.layout().packs_lock(),
            word: word_of(&site.owner().site_uuid),
            sharing: site.sharing(),
        };
        if !record.dir.is_dir() {
            record.take_over(site)?;
        }
        Ok(record)
    }

    /// What the `.keep` files of this site hold.
    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    /// Who may use what is put there.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The repository's folder of packs.
    pub(crate) fn pack_dir(&self) -> &Path {
        &self.pack_dir
    }

    /// Says that a pack is about to be put in place.
    pub(crate) fn begin(&self, stem: &str) -> io::Result<()> {
        self.make(stem, Mark::Begun)
    }

    /// Says that the writer of a pack is done with it.
    pub(crate) fn settle(&self, stem: &str, mark: Mark) -> io::Result<()> {
        match fs::rename(self.path(stem, Mark::Begun), self.path(stem, mark)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(stem, mark)?,
            other => other?,
        }
        // The very same pack may have been the other kind before.
        let other = if mark == Mark::Kept {
            Mark::Loose
        } else {
            Mark::Kept
        };
        remove_if_there(&self.path(stem, other))
    }

    /// Forgets a pack: it is gone, or somebody else's from now on.
    pub(super) fn forget(&self, stem: &str) -> io::Result<()> {
        for mark in Mark::ALL {
            remove_if_there(&self.path(stem, mark))?;
        }
        Ok(())
    }

    /// Whether the ledger's record has this pack as kept.
    fn keeps(&self, stem: &str) -> bool {
        self.path(stem, Mark::Kept).exists()
    }

    /// Our packs that no writer is at, the smallest first. Markers of packs that are gone, or not ours any more, go.
    ///
    /// # Errors
    /// If the record or a pack cannot be read.
    pub(super) fn ours(&self) -> io::Result<Vec<Ours>> {
        let mut found = Vec::new();
        for (stem, marks) in self.marks()? {
            if marks.contains(&Mark::Begun) {
                continue;
            }
            let kept = marks.contains(&Mark::Kept);
            match self.bytes(&stem)? {
                Some(bytes) if self.is_ours(&stem, kept) => found.push(Ours { stem, kept, bytes }),
                _ => self.forget(&stem)?,
            }
        }
        found.sort_by(|a, b| (a.bytes, &a.stem).cmp(&(b.bytes, &b.stem)));
        Ok(found)
    }

    /// Settles the packs of writers that were killed, if no writer is at work now.
    ///
    /// # Errors
    /// If the record cannot be read or written.
    pub(super) fn settle_abandoned(&self) -> io::Result<()> {
        let begun = |marks: &Vec<Mark>| marks.contains(&Mark::Begun);
        if !self.marks()?.values().any(begun) {
            return Ok(());
        }
        // A writer holds it shared.
        let Some(_alone) = FileLock::try_take(&self.lock)? else {
            return Ok(());
        };
        for (stem, _) in self.marks()?.into_iter().filter(|(_, marks)| begun(marks)) {
            let keep = self.pack_dir.join(&stem).with_extension("keep");
            match (self.bytes(&stem)?, keep.exists()) {
                (Some(_), true) => self.settle(&stem, Mark::Kept)?,
                (Some(_), false) => self.settle(&stem, Mark::Loose)?,
                (None, true) if self.is_ours(&stem, true) => {
                    remove_if_there(&keep)?;
                    self.forget(&stem)?;
                }
                (None, _) => self.forget(&stem)?,
            }
        }
        Ok(())
    }

    /// Takes over the packs whose `.keep` names one of `sites`, this site's ids before the repository was moved.
    ///
    /// # Errors
    /// If the folder of packs cannot be read or written.
    pub(super) fn adopt(&self, sites: &[String]) -> io::Result<()> {
        let words: Vec<String> = sites.iter().map(|uuid| word_of(uuid)).collect();
        for (stem, keep) in keeps(&self.pack_dir)? {
            let word = fs::read(&keep)?;
            if words.iter().any(|theirs| theirs.as_bytes() == word) {
                replace(&keep, self.word.as_bytes())?;
                self.sharing.adjust(&keep)?;
                self.make(&stem, Mark::Kept)?;
            }
        }
        Ok(())
    }

    fn marks(&self) -> io::Result<BTreeMap<String, Vec<Mark>>> {
        let mut found: BTreeMap<String, Vec<Mark>> = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            let mark = Mark::ALL.into_iter().find(|mark| mark.extension() == extension);
            if let Some(mark) = mark.filter(|_| is_stem(stem)) {
                found.entry(stem.to_owned()).or_default().push(mark);
            }
        }
        Ok(found)
    }

    /// The bytes of a pack and its index; none where either is missing.
    fn bytes(&self, stem: &str) -> io::Result<Option<u64>> {
        let mut sum = 0;
        for extension in ["pack", "idx"] {
            match fs::symlink_metadata(self.pack_dir.join(stem).with_extension(extension)) {
                Ok(data) => sum += data.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(sum))
    }

    fn is_ours(&self, stem: &str, kept: bool) -> bool {
        let keep = fs::read(self.pack_dir.join(stem).with_extension("keep"));
        match keep {
            Ok(word) => kept && (word == self.word.as_bytes() || is_legacy(&word)),
            Err(error) => !kept && error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn make(&self, stem: &str, mark: Mark) -> io::Result<()> {
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(stem, mark))
            .map(drop)
    }

    fn path(&self, stem: &str, mark: Mark) -> PathBuf {
        self.dir.join(format!("{stem}.{}", mark.extension()))
    }

    /// Makes the record of a site that an earlier version made. Packs with further links came with a copy and stay as
    /// they are.
    fn take_over(&self, site: &Site) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        make_dirs(&site.layout().temp(), Sharing::Umask)?;
        let temp = tempfile::Builder::new()
            .prefix("packs-")
            .tempdir_in(site.layout().temp())?;
        let made = Self {
            dir: temp.path().to_owned(),
            ..self.clone()
        };
        for (stem, keep) in keeps(&self.pack_dir)? {
            let is_shared = fs::symlink_metadata(&keep)?.nlink() > 1;
            if !is_shared && is_legacy(&fs::read(&keep)?) {
                made.make(&stem, Mark::Kept)?;
            }
        }
        for stem in fs::read_to_string(site.layout().remainder())
            .unwrap_or_default()
            .lines()
        {
            if is_stem(stem) && !made.keeps(stem) {
                made.make(stem, Mark::Loose)?;
            }
        }
        match fs::rename(temp.path(), &self.dir) {
            // Another process made it first.
            Err(_) if self.dir.is_dir() => Ok(()),
            other => other,
        }
    }
}

/// Every pack that has a `.keep`: its name without ending, and that file.
fn keeps(pack_dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(pack_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if is_stem(stem) && path.extension().is_some_and(|extension| extension == "keep") {
            found.push((stem.to_owned(), path));
        }
    }
    Ok(found)
}

fn word_of(site_uuid: &str) -> String {
    format!("git-khlone {site_uuid}\n")
}

/// Removes a file; it need not be there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_legacy(word: &[u8]) -> bool {
    LEGACY.iter().any(|legacy| legacy.as_bytes() == word)
}

/// `pack-` and a hash: nothing that leads out of the folder of packs.
fn is_stem(stem: &str) -> bool {
    stem.strip_prefix("pack-")
        .is_some_and(|hash| hash.len() >= 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
