//! How much disk folders take, within a bound of time.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Folders between two looks at the clock.
const STEP: usize = 16;

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disk {
    /// Bytes on disk.
    pub bytes: u64,
    /// Whether that is all; with many files the time may run out before.
    pub complete: bool,
}

/// Measures what is below `roots` for at most `patience`. Links are not followed; what cannot be read counts as
/// nothing.
pub fn measure(roots: Vec<PathBuf>, patience: Duration) -> Disk {
    let deadline = Instant::now() + patience;
    let (mut folders, mut bytes, mut seen) = (roots, 0, 0_usize);
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen.is_multiple_of(STEP) && Instant::now() > deadline {
            return Disk {
                bytes,
                complete: false,
            };
        }
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Disk {
        bytes,
        complete: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_summed_until_the_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..100 {
            let folder = dir.path().join(n.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("file"), vec![1; 10_000]).unwrap();
        }
        let all = measure(vec![dir.path().to_owned()], Duration::from_secs(60));
        assert!(all.complete && all.bytes >= 1_000_000, "{all:?}");
        let some = measure(vec![dir.path().to_owned()], Duration::ZERO);
        assert!(!some.complete && some.bytes < all.bytes, "{some:?}");
    }
}
