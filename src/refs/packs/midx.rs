//! Taking packs out of git's multi-pack-index before they go.
//!
//! `git maintenance` writes one that names every pack, ours too. A pack that it names must not simply be deleted
//! (`git fsck` would fail), nor may the file itself: it is the user's, and may carry a bitmap. git writes it again without
//! them.

use std::{collections::BTreeSet, ffi::OsStr, fs, io, path::Path};

use gix::odb::pack::multi_index;

use crate::process::{Cmd, ProcessError};

const NAME: &str = "multi-pack-index";
/// A chain of such indexes (git 2.47 and later, still experimental), whose layers git does not write again.
const CHAIN: &str = "multi-pack-index.d";

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
    let entries = entries(&pack_dir).map_err(|source| ProcessError::Spawn {
        program: format!("git {NAME}"),
        source,
    })?;
    let staying = entries.iter().filter_map(|name| {
        let stem = name.strip_suffix(".idx")?;
        (!going.contains(stem)).then(|| format!("{name}\n"))
    });
    let mut git = Cmd::git(common).args(["multi-pack-index", "write", "--no-progress", "--stdin-packs"]);
    if entries
        .iter()
        .any(|name| name.starts_with(NAME) && name.ends_with(".bitmap"))
    {
        git = git.arg("--bitmap");
    }
    git.input(staying.collect::<String>()).output()?;
    let named = named(&pack_dir);
    Ok(going.difference(&named).cloned().collect())
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
