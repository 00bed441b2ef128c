//! Taking packs out of git's multi-pack-index before they go.
//!
//! `git maintenance` writes one that names every pack, ours too. A pack that it names must not simply be deleted
//! (`git fsck` would fail), nor may the file itself: it is the user's, and may carry a bitmap. git writes it again without
//! them.
//!
//! git lists the packs before it takes the lock of that file, so one that is being written while packs go may name some
//! that are gone, as it may beside git's own gc. Such an index hides objects that other packs have; it is mended.

use std::{collections::BTreeSet, ffi::OsStr, fs, io, path::Path, thread, time::Duration};

use gix::odb::pack::multi_index;

use crate::process::{Cmd, ProcessError};

const NAME: &str = "multi-pack-index";
/// A chain of such indexes (git 2.47 and later, still experimental), whose layers git does not write again.
const CHAIN: &str = "multi-pack-index.d";
/// How often, and how far apart, it is looked at after packs went.
const LOOKS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(20);

/// Writes the multi-pack-index again without `going` (names without ending); gives those of them that no such index
/// names any more.
///
/// # Errors
/// If the folder of packs cannot be read, or git cannot write the index; the old one stands then.
pub(super) fn write_without(
    common: &Path,
    going: &BTreeSet<String>,
) -> Result<BTreeSet<String>, ProcessError> {
    let pack_dir = common.join("objects/pack");
    if pack_dir.join(CHAIN).exists() {
        return Ok(BTreeSet::new());
    }
    if named(&pack_dir).is_disjoint(going) {
        return Ok(going.clone());
    }
    write(common, &pack_dir, going)?;
    let named = named(&pack_dir);
    Ok(going.difference(&named).cloned().collect())
}

/// Has the multi-pack-index written again if it names packs that are gone; gives whether it did.
///
/// # Errors
/// As [`write_without`].
pub(super) fn mend(common: &Path) -> Result<bool, ProcessError> {
    let pack_dir = common.join("objects/pack");
    let is_gone = |stem: &String| !pack_dir.join(stem).with_extension("pack").exists();
    if pack_dir.join(CHAIN).exists() || !named(&pack_dir).iter().any(is_gone) {
        return Ok(false);
    }
    write(common, &pack_dir, &BTreeSet::new())?;
    Ok(true)
}

/// Mends it as often as a writer that was under way when packs went needs to be done.
///
/// # Errors
/// As [`write_without`].
pub(super) fn mend_after_removal(common: &Path) -> Result<(), ProcessError> {
    for _ in 0..LOOKS {
        thread::sleep(BETWEEN);
        mend(common)?;
    }
    Ok(())
}

fn write(common: &Path, pack_dir: &Path, without: &BTreeSet<String>) -> Result<(), ProcessError> {
    let entries = entries(pack_dir).map_err(|source| ProcessError::Spawn {
        program: format!("git {NAME}"),
        source,
    })?;
    let staying = entries.iter().filter_map(|name| {
        let stem = name.strip_suffix(".idx")?;
        (!without.contains(stem)).then(|| format!("{name}\n"))
    });
    let mut git = Cmd::git(common).args(["multi-pack-index", "write", "--no-progress", "--stdin-packs"]);
    if entries
        .iter()
        .any(|name| name.starts_with(NAME) && name.ends_with(".bitmap"))
    {
        git = git.arg("--bitmap");
    }
    git.input(staying.collect::<String>()).output().map(drop)
}

/// The packs that the multi-pack-index names, without ending. One that cannot be read names none for git either.
fn named(pack_dir: &Path) -> BTreeSet<String> {
    let Ok(index) = multi_index::File::at(pack_dir.join(NAME), None) else {
        return BTreeSet::new();
    };
    let stems = index.index_names().iter().filter_map(|name| name.file_stem());
    stems.filter_map(OsStr::to_str).map(str::to_owned).collect()
}

fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}
