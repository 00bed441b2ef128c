//! The checkpoints of one attempt on disk: the objects in its quarantine, one line a checkpoint in
//! `checkpoints.jsonl`, and in `checkpoint` the whole receipt of the last.
//!
//! Objects first, then the receipt, then the line: a line has all that it names. At most [`MOST`] are kept: the
//! first, the last, and those between that lie furthest from each other.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    process::{Tried, fault::point, file::replace_durably},
    refs::{Oid, Pack, Quarantine},
    task::{Checkpoint, parse_versioned},
    worktree::receipt::Receipt,
};

/// So many checkpoints of an attempt are kept.
const MOST: usize = 50;
/// So many packs stand in the quarantine before they are joined.
const PACKS: usize = 32;
/// The lines.
const LINES: &str = "checkpoints.jsonl";
/// The last receipt.
const LAST: &str = "checkpoint";

/// See the module.
#[derive(Debug)]
pub(in crate::runner) struct Store {
    dir: PathBuf,
    pub(super) quarantine: Quarantine,
}

impl Store {
    /// The checkpoints of the attempt in `dir`.
    pub(in crate::runner) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            quarantine: Quarantine::at(dir.join("quarantine")),
        }
    }

    /// Keeps a checkpoint whose objects are durable; its receipt unless that is the one of the last.
    pub(super) fn keep(&self, checkpoint: &Checkpoint, receipt: Option<&Receipt>) -> io::Result<()> {
        point("checkpoint", "");
        if let Some(receipt) = receipt {
            let last = self.dir.join(LAST);
            replace_durably(&last, &receipt.to_bytes()).tried("write", &last)?;
        }
        let mut lines = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.dir.join(LINES))?;
        // A torn line of a runner that was killed must not swallow this one.
        let mut line = b"\n".to_vec();
        serde_json::to_writer(&mut line, checkpoint)?;
        line.push(b'\n');
        lines.write_all(&line)?;
        lines.sync_data()?;
        point("checkpointed", "");
        if self.quarantine.len() > PACKS {
            self.thin()?;
        }
        Ok(())
    }

    /// The checkpoints, the oldest first.
    pub(in crate::runner) fn all(&self) -> io::Result<Vec<Checkpoint>> {
        let text = match fs::read(self.dir.join(LINES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let lines = text.split(|byte| *byte == b'\n');
        let mut all: Vec<Checkpoint> = lines
            .filter_map(|line| parse_versioned("checkpoint.json", line).ok())
            .collect();
        thin(&mut all, MOST);
        Ok(all)
    }

    /// The whole receipt of the last checkpoint, if there is one.
    pub(in crate::runner) fn last(&self) -> Option<Receipt> {
        Receipt::from_bytes(&fs::read(self.dir.join(LAST)).ok()?).ok()
    }

    /// Puts the objects of all checkpoints into `pack`, and gives the checkpoints.
    pub(in crate::runner) fn give(&self, pack: &mut Pack) -> io::Result<Vec<Checkpoint>> {
        let all = self.all()?;
        self.quarantine.give(&trees(&all), pack)?;
        Ok(all)
    }

    /// Throws the quarantine away, once the ledger has what is kept of it.
    pub(in crate::runner) fn clear(&self) {
        if let Err(error) = self.quarantine.clear() {
            tracing::debug!(%error, "the quarantine stays until retention");
        }
    }

    fn thin(&self) -> io::Result<()> {
        let all = self.all()?;
        let mut lines = Vec::new();
        for checkpoint in &all {
            serde_json::to_writer(&mut lines, checkpoint)?;
            lines.push(b'\n');
        }
        let place = self.dir.join(LINES);
        replace_durably(&place, &lines).tried("write", &place)?;
        self.quarantine.join(&trees(&all))
    }
}

fn trees(all: &[Checkpoint]) -> Vec<Oid> {
    all.iter().filter_map(|it| it.tree.parse().ok()).collect()
}

/// Drops the ones whose neighbours are closest to each other, until `most` are left.
fn thin(all: &mut Vec<Checkpoint>, most: usize) {
    while all.len() > most.max(2) {
        let gap = |at: &usize| all[at + 1].time - all[at - 1].time;
        let Some(least) = (1..all.len() - 1).min_by_key(gap) else {
            return;
        };
        all.remove(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_stay_and_the_rest_is_spread() {
        let at = |k: u32, time: i64| Checkpoint {
            format: 1,
            k,
            time,
            transcript: crate::task::Position::default(),
            session: None,
            branch: None,
            head: None,
            tree: "0".repeat(40),
            refs: String::new(),
            tools: Vec::new(),
            ended: 0,
            results: Vec::new(),
            unknown: serde_json::Map::new(),
        };
        let mut all: Vec<_> = (1..=1000).map(|k| at(k, i64::from(k) * 100)).collect();
        thin(&mut all, 50);
        assert_eq!((all.len(), all[0].k, all[49].k), (50, 1, 1000));
        let gaps = all.windows(2).map(|pair| pair[1].k - pair[0].k);
        assert!(
            gaps.max().unwrap() <= 64,
            "{:?}",
            all.iter().map(|it| it.k).collect::<Vec<_>>()
        );
    }
}
