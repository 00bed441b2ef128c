//! Raw git objects on their way into a pack.

use std::{cmp::Ordering, collections::BTreeMap, io};

use git2::{ObjectType, Oid};

/// The kinds of objects that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// File content.
    Blob,
    /// A folder.
    Tree,
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// The id that git gives `bytes` as an object of this kind.
    ///
    /// # Errors
    /// Only if libgit2 cannot hash, which no input causes.
    pub fn hash(self, bytes: &[u8]) -> io::Result<Oid> {
        let kind = match self {
            Self::Blob => ObjectType::Blob,
            Self::Tree => ObjectType::Tree,
            Self::Commit => ObjectType::Commit,
            Self::Tag => ObjectType::Tag,
        };
        Oid::hash_object(kind, bytes).map_err(io::Error::other)
    }
}

/// Where new objects go: a pack under construction, or memory.
///
/// What was put is not durable, and not readable through the repository, before the sink's owner has published
/// it. Putting the same object twice is free.
pub trait ObjectSink {
    /// Takes an object and gives its id.
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Oid>;
}

/// A sink that keeps everything in memory: for tests, and for snapshots that are only compared.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// What was put, by id.
    pub objects: BTreeMap<Oid, (Kind, Vec<u8>)>,
}

impl ObjectSink for MemorySink {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Oid> {
        let oid = kind.hash(bytes)?;
        self.objects.entry(oid).or_insert_with(|| (kind, bytes.to_vec()));
        Ok(oid)
    }
}

/// One entry of a tree object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// `0o100644`, `0o100755`, `0o120000`, `0o040000` or `0o160000`.
    pub mode: u32,
    /// One path component: no slash, no NUL, not empty.
    pub name: Vec<u8>,
    /// What it is.
    pub oid: Oid,
}

impl TreeEntry {
    /// Whether it is a folder.
    pub fn is_tree(&self) -> bool {
        self.mode == 0o040_000
    }
}

/// The bytes of a tree object, with its entries in git's order (folders sort as if their name ended in a slash).
pub fn encode_tree(entries: &mut [TreeEntry]) -> Vec<u8> {
    entries.sort_by(git_order);
    let mut bytes = Vec::with_capacity(entries.len() * 40);
    for entry in entries.iter() {
        bytes.extend_from_slice(format!("{:o} ", entry.mode).as_bytes());
        bytes.extend_from_slice(&entry.name);
        bytes.push(0);
        bytes.extend_from_slice(entry.oid.as_bytes());
    }
    bytes
}

fn git_order(a: &TreeEntry, b: &TreeEntry) -> Ordering {
    let key = |entry: &TreeEntry| entry.is_tree().then_some(b'/');
    a.name
        .iter()
        .copied()
        .chain(key(a))
        .cmp(b.name.iter().copied().chain(key(b)))
}
