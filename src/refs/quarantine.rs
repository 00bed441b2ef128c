//! A quarantine: objects of an attempt under way, in a folder of its own, as `git receive-pack` has one.
//!
//! What is put there is durable, and neither git nor its gc knows of it. At a transition the part that is kept
//! moves into the repository as a part of one kept pack; the rest goes with the folder.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use git2::{ObjectType, Odb, Oid};

use super::{Kind, ObjectSink, Pack};

/// The folder of one attempt's quarantine.
#[derive(Debug, Clone)]
pub struct Quarantine {
    dir: PathBuf,
}

impl Quarantine {
    /// The quarantine in `dir`, which need not exist.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Begins a pack in it; [`Pack::publish`] makes its objects durable.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn pack(&self) -> io::Result<Pack> {
        Pack::unkept(self.packs(), self.dir.join("tmp"))
    }

    /// How many packs it has.
    pub fn len(&self) -> usize {
        names(&self.packs(), "idx").count()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts everything that it has of `trees`, in their order, into `sink`; what it has not got is elsewhere.
    ///
    /// # Errors
    /// If an object cannot be read, or the sink refuses.
    pub fn give(&self, trees: &[Oid], sink: &mut dyn ObjectSink) -> io::Result<()> {
        let odb = Odb::new().map_err(io::Error::other)?;
        let place = self.dir.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        odb.add_disk_alternate(place).map_err(io::Error::other)?;
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<Oid> = trees.iter().rev().copied().collect();
        while let Some(oid) = waiting.pop() {
            if !seen.insert(oid) || !odb.exists(oid) {
                continue;
            }
            let object = odb.read(oid).map_err(io::Error::other)?;
            let kind = match object.kind() {
                ObjectType::Tree => Kind::Tree,
                ObjectType::Commit => Kind::Commit,
                ObjectType::Tag => Kind::Tag,
                ObjectType::Blob | ObjectType::Any => Kind::Blob,
            };
            if kind == Kind::Tree {
                waiting.extend(entries(object.data()));
            }
            sink.put(kind, object.data())?;
        }
        Ok(())
    }

    /// Replaces all its packs by one that holds what `trees` need.
    ///
    /// # Errors
    /// If the disk refuses; everything is still there then.
    pub fn join(&self, trees: &[Oid]) -> io::Result<()> {
        let old: Vec<PathBuf> = names(&self.packs(), "idx").collect();
        let mut pack = self.pack()?;
        self.give(trees, &mut pack)?;
        let fresh = pack.publish()?;
        for idx in old {
            if idx.file_stem().and_then(|stem| stem.to_str()) != fresh.as_deref() {
                // The index first: without it the pack is not there.
                for extension in ["idx", "pack"] {
                    fs::remove_file(idx.with_extension(extension))?;
                }
            }
        }
        Ok(())
    }

    /// Throws all of it away.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn packs(&self) -> PathBuf {
        self.dir.join("pack")
    }
}

fn names(dir: &Path, extension: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(move |path| path.extension().is_some_and(|it| it == extension))
}

/// The ids that a tree's entries name.
fn entries(tree: &[u8]) -> Vec<Oid> {
    let mut oids = Vec::new();
    let mut rest = tree;
    while let Some(nul) = rest.iter().position(|byte| *byte == 0) {
        let Some(id) = rest.get(nul + 1..nul + 21) else {
            break;
        };
        oids.extend(Oid::from_bytes(id));
        rest = &rest[nul + 21..];
    }
    oids.reverse();
    oids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::{MemorySink, TreeEntry, encode_tree};

    #[test]
    fn what_is_kept_comes_out_and_the_rest_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::at(dir.path().join("q"));
        let mut trees = Vec::new();
        for text in ["one\n", "two\n", "three\n"] {
            let mut pack = quarantine.pack().unwrap();
            let oid = pack.put(Kind::Blob, text.as_bytes()).unwrap();
            let mut entry = [TreeEntry {
                mode: 0o100_644,
                name: b"a".to_vec(),
                oid,
            }];
            trees.push(pack.put(Kind::Tree, &encode_tree(&mut entry)).unwrap());
            pack.publish().unwrap();
        }
        assert_eq!(quarantine.len(), 3);
        quarantine.join(&[trees[0], trees[2]]).unwrap();
        assert_eq!(quarantine.len(), 1);
        let mut sink = MemorySink::default();
        quarantine.give(&trees, &mut sink).unwrap();
        assert_eq!(sink.objects.len(), 4, "the second tree and its blob are gone");
        quarantine.clear().unwrap();
        assert!(quarantine.is_empty());
    }
}
