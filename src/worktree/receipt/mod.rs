//! Receipts: what the world looked like at one moment, as far as a brain could change it.
//!
//! A receipt is a snapshot, all refs but our own, the HEAD of every worktree of the repository, and hashes of
//! the files that decide what git runs: configuration, hooks, `info`. Two of them give the effects of an
//! attempt. The ledger keeps [`ReceiptDocument`], which proves without listing; the full form is local.
//!
//! Everything is read as bytes beneath the common folder: nothing is opened by discovery, no link is followed,
//! and a broken ref is recorded as it lies there.

mod document;
mod watched;

use std::collections::BTreeMap;

use bstr::BString;

pub use document::ReceiptDocument;

use super::snapshot::{
    Damaged, Limits, Manifest, Snapshot, SnapshotError, Source,
    codec::{Reader, Writer},
    snapshot,
};
use crate::refs::ObjectSink;

const MAGIC: &[u8] = b"khlone receipt 1\n";

/// The state of a clone's work tree and of the repository around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The files of the work tree.
    pub snapshot: Snapshot,
    /// All refs but `refs/khlone/*` and `refs/notes/khlone`, with what they hold.
    pub refs: BTreeMap<BString, BString>,
    /// The HEAD of every worktree by its id; the main one's id is empty.
    pub heads: BTreeMap<BString, BString>,
    /// The files that decide what git runs, by path in the common folder, with mode and hash.
    pub config: BTreeMap<BString, BString>,
}

/// Takes a receipt of a clone's work tree; its snapshot's objects go to `sink`.
///
/// With `previous`, as in [`snapshot`], whose objects the caller keeps.
///
/// # Errors
/// As [`snapshot`]. What cannot be read outside the work tree is left out, and so shows as a difference.
pub fn take_receipt(
    source: &Source<'_>,
    limits: &Limits,
    previous: Option<&Manifest>,
    sink: &mut dyn ObjectSink,
) -> Result<Receipt, SnapshotError> {
    let snapshot = snapshot(source, limits, previous, sink)?;
    let around = watched::look(source.repo.common_dir(), source.work_dir);
    Ok(Receipt {
        snapshot,
        refs: around.refs,
        heads: around.heads,
        config: around.config,
    })
}

impl Receipt {
    /// The full local form, for the spool.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC);
        writer.oid(self.snapshot.tree);
        for map in [&self.refs, &self.heads, &self.config] {
            writer.number(map.len() as u64);
            for (name, value) in map {
                writer.bytes(name);
                writer.bytes(value);
            }
        }
        writer.manifest(&self.snapshot.manifest, true);
        writer.finish()
    }

    /// Reads the local form.
    ///
    /// # Errors
    /// [`Damaged`] if it does not read back whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(MAGIC, bytes)?;
        let tree = reader.oid()?;
        let refs = read_map(&mut reader)?;
        let heads = read_map(&mut reader)?;
        let config = read_map(&mut reader)?;
        let manifest = reader.manifest()?;
        Ok(Self {
            snapshot: Snapshot { tree, manifest },
            refs,
            heads,
            config,
        })
    }
}

fn read_map(reader: &mut Reader<'_>) -> Result<BTreeMap<BString, BString>, Damaged> {
    let length = reader.number()?;
    (0..length)
        .map(|_| Ok((reader.bytes()?.into(), reader.bytes()?.into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::worktree::testing::Lab;

    #[test]
    fn a_receipt_reads_back_and_repeats_itself() {
        let mut lab = Lab::new(&[("a", "1\n")]);
        lab.write("new", "2\n");
        let first = lab.receipt(None);
        assert_eq!(Receipt::from_bytes(&first.to_bytes()), Ok(first.clone()));
        let second = lab.receipt(Some(&first.snapshot.manifest));
        assert_eq!(second.document(), first.document());
        assert_eq!(first.heads[&BString::from("work")], "ref: refs/heads/work");
    }

    #[test]
    fn what_lies_around_the_work_tree_is_in_it() {
        let mut lab = Lab::new(&[("a", "1\n")]);
        let common = lab.repo.common_dir().to_owned();
        let first = lab.receipt(None);
        lab.git(&["update-ref", "refs/khlone/tasks/x", "HEAD"]);
        lab.git(&["update-ref", "refs/notes/khlone", "HEAD"]);
        // As `git gc` does, killed or not.
        for name in ["info/refs", "info/refs_a1B2c3"] {
            fs::write(common.join(name), "x\n").unwrap();
        }
        assert_eq!(lab.receipt(None).document(), first.document());
        fs::write(common.join("refs/heads/broken"), "nonsense\n").unwrap();
        fs::write(common.join("hooks/post-checkout"), "#!/bin/sh\n").unwrap();
        fs::write(common.join("objects/info/alternates"), "/x\n").unwrap();
        lab.git(&["pack-refs", "--all"]);
        lab.git(&["config", "core.fsmonitor", "false"]);
        let second = lab.receipt(None);
        assert_eq!(second.refs[&BString::from("refs/heads/broken")], "nonsense");
        assert_eq!(second.refs.len(), first.refs.len() + 1);
        let differ: Vec<_> = second
            .config
            .iter()
            .filter(|(name, value)| first.config.get(*name) != Some(value))
            .collect();
        let names: Vec<_> = differ.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(
            names,
            ["config", "hooks/post-checkout", "objects/info/alternates"]
        );
    }
}
