//! A task's tree without what is to be taken out of it.
//!
//! Documents are changed string by string, so that they stay documents; files of snapshots byte by byte. Where a
//! snapshot gets another id, the documents that name it follow.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use serde_json::Value;

use super::{Redactor, Tainted};
use crate::{
    refs::{Kind, ObjectSink, Oid, Pack, Repo, Stored, TreeEntry, Update, encode_tree},
    task::Task,
};

const FOLDER: u32 = 0o040_000;
const GITLINK: u32 = 0o160_000;

/// Writes a task's tree anew.
pub(super) struct Rewriter<'a> {
    repo: &'a Repo,
    redactor: &'a Redactor,
    tainted: &'a Tainted,
    pack: &'a mut Pack,
    /// Trees that were looked at, with what became of them.
    trees: HashMap<Oid, Oid>,
    /// Ids that documents name, as they are now.
    renamed: BTreeMap<String, String>,
    pub(super) taken: BTreeMap<String, u64>,
    pub(super) files: usize,
}

/// What is different.
#[derive(Default)]
pub(super) struct Changed {
    files: Vec<(String, Vec<u8>)>,
    folders: Vec<(String, Oid)>,
    task: Option<Task>,
}

impl Changed {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && self.task.is_none()
    }

    pub(super) fn apply(&self, update: &mut Update<'_>) {
        for (path, bytes) in &self.files {
            update.edit.file(path, bytes.as_slice());
        }
        for (path, tree) in &self.folders {
            update.edit.graft(path, *tree);
        }
        if let Some(task) = &self.task {
            update.task.clone_from(task);
        }
    }
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        repo: &'a Repo,
        redactor: &'a Redactor,
        tainted: &'a Tainted,
        pack: &'a mut Pack,
    ) -> Self {
        Self {
            repo,
            redactor,
            tainted,
            pack,
            trees: HashMap::new(),
            renamed: BTreeMap::new(),
            taken: BTreeMap::new(),
            files: 0,
        }
    }

    /// What of a task must be written anew.
    pub(super) fn task(&mut self, stored: &Stored) -> io::Result<Changed> {
        let (mut documents, mut snapshots) = (Vec::new(), Vec::new());
        self.sort(stored.tree, "", &mut documents, &mut snapshots)?;
        let mut changed = Changed::default();
        for (path, tree) in snapshots {
            let clean = self.tree(tree)?;
            if clean != tree {
                self.renamed.insert(tree.to_string(), clean.to_string());
                changed.folders.push((path, clean));
            }
        }
        let mut task = stored.task.clone();
        for (path, oid) in documents {
            let bytes = self.blob(oid)?;
            let clean = self.document(&path, &bytes);
            let Some(clean) = clean.filter(|clean| *clean != bytes) else {
                continue;
            };
            self.files += 1;
            if path == "task.json" {
                task = serde_json::from_slice(&clean)?;
                continue;
            }
            if path == "prompt.md" {
                task.prompt_sha = Kind::Blob.hash(&clean)?.to_string();
            }
            changed.files.push((path, clean));
        }
        // The document may have come after the prompt.
        if let Some((_, prompt)) = changed.files.iter().find(|(path, _)| path == "prompt.md") {
            task.prompt_sha = Kind::Blob.hash(prompt)?.to_string();
        }
        changed.task = (task != stored.task).then_some(task);
        Ok(changed)
    }

    /// Tells documents of ours from snapshots of files.
    fn sort(
        &self,
        tree: Oid,
        above: &str,
        documents: &mut Vec<(String, Oid)>,
        snapshots: &mut Vec<(String, Oid)>,
    ) -> io::Result<()> {
        for entry in self.entries(tree)? {
            let path = format!("{above}{}", String::from_utf8_lossy(&entry.name));
            if entry.mode != FOLDER {
                documents.push((path, entry.oid));
            } else if holds_documents(&path) {
                self.sort(entry.oid, &format!("{path}/"), documents, snapshots)?;
            } else {
                snapshots.push((path, entry.oid));
            }
        }
        Ok(())
    }

    fn tree(&mut self, oid: Oid) -> io::Result<Oid> {
        if let Some(known) = self.trees.get(&oid) {
            return Ok(*known);
        }
        let mut entries = self.entries(oid)?;
        let mut differs = false;
        for entry in &mut entries {
            let clean = match entry.mode {
                FOLDER => self.tree(entry.oid)?,
                GITLINK => entry.oid,
                _ if self.tainted.contains_key(&entry.oid) => self.file(entry.oid)?,
                _ => entry.oid,
            };
            differs |= clean != entry.oid;
            entry.oid = clean;
        }
        let clean = if differs {
            self.pack.put(Kind::Tree, &encode_tree(&mut entries))?
        } else {
            oid
        };
        self.trees.insert(oid, clean);
        Ok(clean)
    }

    fn file(&mut self, oid: Oid) -> io::Result<Oid> {
        let bytes = self.blob(oid)?;
        match self.redactor.redact_bytes(&bytes) {
            Some((clean, counts)) => {
                self.files += 1;
                self.count(counts);
                self.pack.put(Kind::Blob, &clean)
            }
            None => Ok(oid),
        }
    }

    /// `None` where nothing is to be changed.
    fn document(&mut self, path: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let kind = path.rsplit_once('.').map(|(_, kind)| kind);
        if kind == Some("json")
            && let Ok(mut value) = serde_json::from_slice(bytes)
        {
            self.value(&mut value);
            let mut text = serde_json::to_vec_pretty(&value).ok()?;
            text.push(b'\n');
            return Some(text);
        }
        if kind == Some("jsonl") {
            let mut out = Vec::with_capacity(bytes.len());
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(mut value) => {
                        self.value(&mut value);
                        out.extend(serde_json::to_vec(&value).ok()?);
                        out.push(b'\n');
                    }
                    Err(_) => out.extend(self.bytes(line).unwrap_or_else(|| line.to_vec())),
                }
            }
            return Some(out);
        }
        self.bytes(bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (clean, counts) = self.redactor.redact_bytes(bytes)?;
        self.count(counts);
        Some(clean)
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(now) = self.renamed.get(text.as_str()) {
                    text.clone_from(now);
                }
                let (clean, counts) = self.redactor.redact(text);
                let clean = clean.into_owned();
                self.count(counts);
                *text = clean;
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn count(&mut self, counts: BTreeMap<String, u64>) {
        for (name, count) in counts {
            *self.taken.entry(name).or_default() += count;
        }
    }

    fn blob(&self, oid: Oid) -> io::Result<Vec<u8>> {
        let blob = self.repo.git().find_blob(oid).map_err(io::Error::other)?;
        Ok(blob.content().to_vec())
    }

    fn entries(&self, oid: Oid) -> io::Result<Vec<TreeEntry>> {
        let tree = self.repo.git().find_tree(oid).map_err(io::Error::other)?;
        let entries = tree.iter().map(|entry| {
            Ok(TreeEntry {
                mode: u32::try_from(entry.filemode_raw()).map_err(io::Error::other)?,
                name: entry.name_bytes().to_vec(),
                oid: entry.id(),
            })
        });
        entries.collect()
    }
}

/// True for a folder of a task's tree that holds documents of ours; any other is somebody's files.
fn holds_documents(path: &str) -> bool {
    let steps: Vec<&str> = path.split('/').collect();
    matches!(
        steps.as_slice(),
        ["attempts" | "artifacts"]
            | ["attempts", _]
            | ["attempts", _, "transcript" | "checkpoints"]
            | ["attempts", _, "checkpoints", _]
    )
}
