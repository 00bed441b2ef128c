//! `receipt.json`: what the ledger keeps of a receipt. Small whatever the repository's size.

use std::collections::BTreeMap;

use bstr::BString;
use serde::{Deserialize, Serialize};

use super::Receipt;
use crate::{
    refs::{Kind, Repo},
    worktree::snapshot::{Manifest, Snapshot},
};

/// `attempts/<n>/receipt-before.json` and `receipt-after.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptDocument {
    /// Version of the document.
    pub format: u32,
    /// The snapshot's tree.
    pub tree: String,
    /// Digest of the manifest: paths, stat keys and hashes of all entries, ignored ones too.
    pub manifest: String,
    /// How many entries the manifest has.
    pub entries: usize,
    /// Digest of all refs but our own.
    pub refs: String,
    /// The HEAD of every worktree by its id; the main one's id is empty.
    pub heads: BTreeMap<String, String>,
    /// Mode and hash of the files that decide what git runs.
    pub config: BTreeMap<String, String>,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

impl Receipt {
    /// What the ledger keeps of it.
    pub fn document(&self) -> ReceiptDocument {
        let manifest = &self.snapshot.manifest;
        ReceiptDocument {
            format: 1,
            tree: self.snapshot.tree.to_string(),
            manifest: manifest.digest(),
            entries: manifest.folders().iter().map(|folder| folder.entries.len()).sum(),
            refs: self.refs_digest(),
            heads: text(&self.heads),
            config: text(&self.config),
            unknown: serde_json::Map::new(),
        }
    }

    /// A digest of all refs in it.
    pub fn refs_digest(&self) -> String {
        let line = |(name, value): (&BString, &BString)| [value.as_slice(), b" ", name, b"\n"].concat();
        let refs: Vec<u8> = self.refs.iter().flat_map(line).collect();
        Kind::Blob
            .hash(&refs)
            .map(|oid| oid.to_string())
            .unwrap_or_default()
    }
}

impl ReceiptDocument {
    /// The receipt, as far as the ledger has it: no ignored files, no stat keys, and no refs.
    ///
    /// # Errors
    /// If its tree cannot be read.
    pub fn receipt(&self, repo: &Repo) -> Result<Receipt, git2::Error> {
        let tree = self.tree.parse()?;
        Ok(Receipt {
            snapshot: Snapshot {
                tree,
                manifest: Manifest::of_tree(repo, tree)?,
            },
            refs: BTreeMap::new(),
            heads: bytes(&self.heads),
            config: bytes(&self.config),
        })
    }
}

fn bytes(map: &BTreeMap<String, String>) -> BTreeMap<BString, BString> {
    map.iter()
        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
        .collect()
}

fn text(map: &BTreeMap<BString, BString>) -> BTreeMap<String, String> {
    map.iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}
