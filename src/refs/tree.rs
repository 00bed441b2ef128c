//! Edits of a tree, by path.

use std::{collections::BTreeMap, io};

use git2::Oid;

use super::{Kind, ObjectSink, Repo, TreeEntry, encode_tree};

const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_000;

/// Changes to make to a tree. Later ones for the same path win.
#[derive(Debug, Default)]
pub struct TreeEdit {
    changes: BTreeMap<String, Change>,
}

#[derive(Debug)]
enum Change {
    Put(Vec<u8>),
    Graft(u32, Oid),
    Remove,
}

impl TreeEdit {
    /// Writes a file.
    pub fn file(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.changes.insert(path.into(), Change::Put(bytes.into()));
    }

    /// Writes a document as JSON, one key a line, so that `git show` and `git diff` read well.
    ///
    /// # Errors
    /// If the value cannot be JSON.
    pub fn json(&mut self, path: impl Into<String>, value: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.file(path, text);
        Ok(())
    }

    /// Hangs an existing tree in as a folder.
    pub fn graft(&mut self, path: impl Into<String>, tree: Oid) {
        self.changes.insert(path.into(), Change::Graft(FOLDER, tree));
    }

    /// Hangs an existing blob in as a file.
    pub fn blob(&mut self, path: impl Into<String>, blob: Oid) {
        self.changes.insert(path.into(), Change::Graft(FILE, blob));
    }

    /// Removes a file or folder.
    pub fn remove(&mut self, path: impl Into<String>) {
        self.changes.insert(path.into(), Change::Remove);
    }

    /// Applies the changes to `base` and gives the new tree; every new object goes to `sink`.
    ///
    /// # Errors
    /// If the base cannot be read or the sink refuses.
    pub fn apply(&self, repo: &Repo, base: Option<Oid>, sink: &mut dyn ObjectSink) -> io::Result<Oid> {
        let changes: Vec<_> = self
            .changes
            .iter()
            .map(|(path, change)| (path.as_str(), change))
            .collect();
        edit(repo, base, &changes, sink)
    }
}

fn edit(
    repo: &Repo,
    base: Option<Oid>,
    changes: &[(&str, &Change)],
    sink: &mut dyn ObjectSink,
) -> io::Result<Oid> {
    let mut entries = match base {
        Some(oid) => read(repo, oid)?,
        None => BTreeMap::new(),
    };
    let mut below: BTreeMap<&str, Vec<(&str, &Change)>> = BTreeMap::new();
    for &(path, change) in changes {
        let Some((folder, rest)) = path.split_once('/') else {
            match change {
                Change::Put(bytes) => {
                    let oid = sink.put(Kind::Blob, bytes)?;
                    entries.insert(path.as_bytes().to_vec(), (FILE, oid));
                }
                Change::Graft(mode, oid) => drop(entries.insert(path.as_bytes().to_vec(), (*mode, *oid))),
                Change::Remove => drop(entries.remove(path.as_bytes())),
            }
            continue;
        };
        below.entry(folder).or_default().push((rest, change));
    }
    for (folder, changes) in below {
        let base = entries
            .get(folder.as_bytes())
            .filter(|(mode, _)| *mode == FOLDER)
            .map(|(_, oid)| *oid);
        let oid = edit(repo, base, &changes, sink)?;
        entries.insert(folder.as_bytes().to_vec(), (FOLDER, oid));
    }
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|(name, (mode, oid))| TreeEntry { mode, name, oid })
        .collect();
    sink.put(Kind::Tree, &encode_tree(&mut entries))
}

fn read(repo: &Repo, oid: Oid) -> io::Result<BTreeMap<Vec<u8>, (u32, Oid)>> {
    let tree = repo.git().find_tree(oid).map_err(io::Error::other)?;
    let entries = tree.iter().map(|entry| {
        let mode = u32::try_from(entry.filemode()).map_err(io::Error::other)?;
        Ok((entry.name_bytes().to_vec(), (mode, entry.id())))
    });
    entries.collect()
}
