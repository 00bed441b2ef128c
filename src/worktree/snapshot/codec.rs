//! The compact local form of manifests and receipts: numbers of variable length, byte strings with their
//! length, a checksum at the end.
//!
//! It lives in the spool and never leaves the machine. What does not read back whole is [`Damaged`], and the
//! owner of the file does without it.

use std::sync::Arc;

use git2::Oid;

use super::{
    manifest::{Entry, EntryKind, Folder, Manifest},
    stat::StatKey,
};

/// A local file that is cut off, altered, or of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the local record is damaged or of another version")]
pub struct Damaged;

const KINDS: [EntryKind; 9] = [
    EntryKind::File,
    EntryKind::Large,
    EntryKind::Symlink,
    EntryKind::Folder,
    EntryKind::Repository,
    EntryKind::Fifo,
    EntryKind::Socket,
    EntryKind::Device,
    EntryKind::Unreadable,
];
const IGNORED: u8 = 1;
const DOUBTFUL: u8 = 2;
const ENCODED: u8 = 4;
const OID: u8 = 8;
const CUT: u8 = 16;

/// A record under construction.
#[derive(Debug)]
pub(in crate::worktree) struct Writer(Vec<u8>);

impl Writer {
    pub(in crate::worktree) fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    pub(in crate::worktree) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    pub(in crate::worktree) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(in crate::worktree) fn oid(&mut self, oid: Oid) {
        self.0.extend_from_slice(oid.as_bytes());
    }

    /// Closes the record with its checksum.
    pub(in crate::worktree) fn finish(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.0);
        self.0.extend_from_slice(&sum.to_le_bytes());
        self.0
    }

    /// Adds a manifest; without `doubts`, two looks at the same files give the same bytes.
    pub(in crate::worktree) fn manifest(&mut self, manifest: &Manifest, doubts: bool) {
        self.number(manifest.folders.len() as u64);
        for folder in &manifest.folders {
            self.bytes(&folder.path);
            let cut = if folder.cut { CUT } else { 0 };
            self.0.push(cut | if folder.tree.is_some() { OID } else { 0 });
            folder.tree.into_iter().for_each(|oid| self.oid(oid));
            self.number(folder.entries.len() as u64);
            for entry in &folder.entries {
                self.entry(entry, doubts);
            }
        }
        let basis = manifest.basis.filter(|_| doubts);
        self.0.push(u8::from(basis.is_some()));
        if let Some(oid) = basis {
            self.oid(oid);
        }
        let top = manifest.top.filter(|_| doubts);
        self.0.push(u8::from(top.is_some()));
        if let Some(stat) = top {
            self.stat(&stat);
        }
    }

    fn entry(&mut self, entry: &Entry, doubts: bool) {
        self.bytes(&entry.name);
        let kind = KINDS
            .iter()
            .position(|kind| *kind == entry.kind)
            .unwrap_or_default();
        self.number(kind as u64);
        let flags = [
            (entry.ignored, IGNORED),
            (entry.doubtful && doubts, DOUBTFUL),
            (entry.encoded, ENCODED),
            (entry.oid.is_some(), OID),
        ];
        self.0
            .push(flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
        self.stat(&entry.stat);
        entry.oid.into_iter().for_each(|oid| self.oid(oid));
    }

    fn stat(&mut self, stat: &StatKey) {
        let times = [stat.mtime.cast_unsigned(), stat.ctime.cast_unsigned()];
        let numbers = [stat.dev, stat.ino, stat.size].into_iter().chain(times);
        numbers.for_each(|number| self.number(number));
        self.number(stat.mode.into());
    }
}

/// A record being read.
#[derive(Debug)]
pub(in crate::worktree) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::worktree) fn new(magic: &[u8], bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(Damaged)?;
        let rest = body.strip_prefix(magic).ok_or(Damaged)?;
        if crc32fast::hash(body) == u32::from_le_bytes(*sum) {
            Ok(Self(rest))
        } else {
            Err(Damaged)
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub(in crate::worktree) fn number(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(in crate::worktree) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        self.take(length)
    }

    pub(in crate::worktree) fn oid(&mut self) -> Result<Oid, Damaged> {
        Oid::from_bytes(self.take(20)?).map_err(|_| Damaged)
    }

    pub(in crate::worktree) fn manifest(&mut self) -> Result<Manifest, Damaged> {
        let folders = self.number()?;
        let folders = (0..folders)
            .map(|_| self.folder().map(Arc::new))
            .collect::<Result<_, _>>()?;
        let basis = (self.byte()? != 0).then(|| self.oid()).transpose()?;
        let top = (self.byte()? != 0).then(|| self.stat()).transpose()?;
        Ok(Manifest { folders, basis, top })
    }

    fn folder(&mut self) -> Result<Folder, Damaged> {
        let path = self.bytes()?.into();
        let flags = self.byte()?;
        let tree = (flags & OID != 0).then(|| self.oid()).transpose()?;
        let entries = self.number()?;
        Ok(Folder {
            path,
            entries: (0..entries).map(|_| self.entry()).collect::<Result<_, _>>()?,
            tree,
            cut: flags & CUT != 0,
        })
    }

    fn stat(&mut self) -> Result<StatKey, Damaged> {
        Ok(StatKey {
            dev: self.number()?,
            ino: self.number()?,
            size: self.number()?,
            mtime: self.number()?.cast_signed(),
            ctime: self.number()?.cast_signed(),
            mode: u32::try_from(self.number()?).map_err(|_| Damaged)?,
        })
    }

    fn entry(&mut self) -> Result<Entry, Damaged> {
        let name = self.bytes()?.into();
        let kind = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        let flags = self.byte()?;
        let stat = self.stat()?;
        Ok(Entry {
            name,
            kind: KINDS.get(kind).copied().ok_or(Damaged)?,
            ignored: flags & IGNORED != 0,
            stat,
            oid: (flags & OID != 0).then(|| self.oid()).transpose()?,
            doubtful: flags & DOUBTFUL != 0,
            encoded: flags & ENCODED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        let entry = |name: &str, kind| Entry {
            name: name.into(),
            kind,
            ignored: kind == EntryKind::Fifo,
            stat: StatKey {
                dev: 2049,
                ino: u64::MAX,
                size: 300,
                mtime: -5,
                ctime: 1_700_000_000_123_456_789,
                mode: 0o100_644,
            },
            oid: (kind == EntryKind::File).then_some(Oid::ZERO_SHA1),
            doubtful: kind == EntryKind::File,
            encoded: false,
        };
        let folder = Folder {
            path: "a/b".into(),
            entries: vec![entry("x", EntryKind::File), entry("y", EntryKind::Fifo)],
            tree: Some(Oid::ZERO_SHA1),
            cut: true,
        };
        Manifest {
            folders: vec![Arc::default(), Arc::new(folder)],
            basis: Some(Oid::ZERO_SHA1),
            top: Some(StatKey::default()),
        }
    }

    #[test]
    fn manifests_read_back() {
        let mut writer = Writer::new(b"m1");
        writer.manifest(&manifest(), true);
        let bytes = writer.finish();
        let read = Reader::new(b"m1", &bytes).and_then(|mut reader| reader.manifest());
        assert_eq!(read, Ok(manifest()));
        assert_eq!(Reader::new(b"m2", &bytes).unwrap_err(), Damaged);
        for cut in 0..bytes.len() {
            assert_eq!(Reader::new(b"m1", &bytes[..cut]).unwrap_err(), Damaged);
        }
    }

    proptest! {
        #[test]
        fn nonsense_is_damaged_and_never_panics(body: Vec<u8>) {
            let mut bytes = [b"m1", body.as_slice()].concat();
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            let _ = Reader::new(b"m1", &bytes).and_then(|mut reader| reader.manifest());
        }
    }
}
