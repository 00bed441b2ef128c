//! An attempt in figures, cheaply: `figures.json` in its folder sums its events up to an offset, and a reader counts
//! what came after.
//!
//! The runner writes it anew after every [`STRIDE`] bytes, so nobody ever reads more than about that. A cache: losing
//! it loses nothing.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::capped::piece_at;
use crate::{
    brain::{Figures, Record},
    process::file::replace,
    task::{FORMAT, parse_versioned},
};

/// Bytes of events between two sums.
const STRIDE: u64 = 256 << 10;
/// Most bytes that are counted on top of a sum.
const REST: u64 = 4 << 20;
const NAME: &str = "figures.json";

/// `figures.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sum {
    format: u32,
    /// Bytes of events that it sums.
    offset: u64,
    figures: Figures,
}

/// The runner's own count.
#[derive(Debug, Default)]
pub(super) struct Counter(Sum);

impl Counter {
    /// Counts an event that ends at `offset`; now and then, the sum is written to `dir`.
    pub(super) fn count(&mut self, record: &Record, offset: u64, dir: &Path) {
        self.0.figures.count(&record.event);
        if offset < self.0.offset + STRIDE {
            return;
        }
        (self.0.format, self.0.offset) = (FORMAT, offset);
        let written = serde_json::to_vec(&self.0).map_err(io::Error::from);
        if let Err(error) = written.and_then(|sum| replace(&dir.join(NAME), &sum)) {
            tracing::debug!(%error, "the attempt's figures are not summed up");
        }
    }
}

/// The figures of the attempt in `dir` so far.
pub fn figures(dir: &Path) -> Figures {
    let sum: Option<Sum> = fs::read(dir.join(NAME))
        .ok()
        .and_then(|bytes| parse_versioned(NAME, &bytes).ok());
    let Sum {
        offset, mut figures, ..
    } = sum.unwrap_or_default();
    let rest = rest(&dir.join("events.jsonl"), offset).unwrap_or_default();
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        if let Ok(record) = serde_json::from_slice::<Record>(line) {
            figures.count(&record.event);
        }
    }
    figures
}

fn rest(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let Some((begin, path)) = piece_at(path, offset)? else {
        return Ok(Vec::new());
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset.saturating_sub(begin)))?;
    let mut rest = Vec::new();
    file.take(REST).read_to_end(&mut rest)?;
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brain::Event;

    #[test]
    fn a_sum_and_what_came_after_count_everything_once() {
        let dir = tempfile::tempdir().unwrap();
        let (mut counter, mut all) = (Counter::default(), Vec::new());
        for n in 0..5000_u64 {
            let event = Event::ToolCall {
                id: n.to_string(),
                tool: "Edit".to_owned(),
                paths: vec![format!("src/file-{}.rs", n % 7)],
                input: "x".repeat(100),
            };
            let record = Record {
                seq: Some(n),
                time: 0,
                event,
            };
            serde_json::to_writer(&mut all, &record).unwrap();
            all.push(b'\n');
            counter.count(&record, all.len() as u64, dir.path());
        }
        fs::write(dir.path().join("events.jsonl"), &all).unwrap();
        let summed = fs::read(dir.path().join(NAME)).unwrap();
        let summed: Sum = serde_json::from_slice(&summed).unwrap();
        assert!(summed.offset + STRIDE > all.len() as u64 && summed.offset < all.len() as u64);
        let seen = figures(dir.path());
        assert_eq!((seen.tools, seen.files.len()), (5000, 7));
        // Without the sum nothing is lost but time.
        fs::remove_file(dir.path().join(NAME)).unwrap();
        assert_eq!(figures(dir.path()), seen);
        // Past the head of the spool the sum stands alone.
        let sum = Sum {
            format: 1,
            offset: u64::MAX >> 1,
            figures: seen.clone(),
        };
        fs::write(dir.path().join(NAME), serde_json::to_vec(&sum).unwrap()).unwrap();
        assert_eq!(figures(dir.path()).tools, 5000);
    }
}
