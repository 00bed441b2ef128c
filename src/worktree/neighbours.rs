//! What was written in worktrees of other clones while they were at rest, which a brain without a sandbox can reach.
//!
//! One walk afterwards, and no look before: a writer cannot put back a file's `ctime`, and what was removed or renamed
//! leaves a young folder. So nothing is kept of how things stood but which worktrees there were.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bstr::{BString, ByteSlice};
use rustix::fs::AtFlags;

use super::{
    effects::path_text,
    snapshot::{StatKey, now},
};

/// How long the walk may take, over all worktrees.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many files of each are named.
const NAMED: usize = 10;
/// Entries between two looks at the clock.
const STEP: usize = 256;

/// The worktrees that are there at one moment, by the address of their clone.
#[derive(Debug)]
pub struct Neighbours {
    since: i64,
    there: BTreeMap<String, PathBuf>,
}

/// What was written in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Each with its clone and what became of it.
    pub files: Vec<String>,
    /// Time ran out before all was seen.
    pub cut: bool,
}

impl Neighbours {
    /// Of `worktrees`, those that are there.
    pub fn look(worktrees: BTreeMap<String, PathBuf>) -> Self {
        let there = worktrees.into_iter().filter(|(_, path)| path.is_dir());
        Self {
            since: now(),
            there: there.collect(),
        }
    }

    /// What was written since in those of them that `rested` for all that time.
    pub fn touched(&self, rested: impl Fn(&str) -> bool) -> Touched {
        self.touched_within(PATIENCE, rested)
    }

    fn touched_within(&self, patience: Duration, rested: impl Fn(&str) -> bool) -> Touched {
        let mut walk = Walk {
            since: self.since,
            deadline: Instant::now() + patience,
            seen: 0,
        };
        let mut touched = Touched::default();
        for (clone, top) in self.there.iter().filter(|(clone, _)| rested(clone)) {
            let mut young = Vec::new();
            if top.is_dir() {
                touched.cut |= walk.below(top, &mut young).is_none();
            } else {
                young.push("its worktree: removed".to_owned());
            }
            let more = young.len().saturating_sub(NAMED);
            young.sort();
            young.truncate(NAMED);
            if more > 0 {
                young.push(format!("and {more} more files"));
            }
            let named = young.into_iter().map(|what| format!("{clone}: {what}"));
            touched.files.extend(named);
        }
        touched
    }
}

struct Walk {
    since: i64,
    deadline: Instant,
    seen: usize,
}

impl Walk {
    /// Adds what is young below `top`; nothing if the time is over. Links are not followed.
    fn below(&mut self, top: &Path, young: &mut Vec<String>) -> Option<()> {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let mut explained = false;
            for entry in fs::read_dir(top.join(&folder)).into_iter().flatten().flatten() {
                self.seen += 1;
                if self.seen.is_multiple_of(STEP) && Instant::now() > self.deadline {
                    return None;
                }
                let name = folder.join(entry.file_name());
                let Some(stat) = stat(&top.join(&name)) else {
                    continue;
                };
                if stat.file_type().is_dir() {
                    folders.push(name);
                } else if stat.ctime >= self.since {
                    explained = true;
                    young.push(format!("{}: written", told(&name)));
                }
            }
            // Only its entries make a folder young; a new one is explained by them, too.
            let is_young = stat(&top.join(&folder)).is_some_and(|stat| stat.mtime >= self.since);
            if is_young && !explained {
                young.push(format!("{}: entries changed", told(&folder)));
            }
        }
        Some(())
    }
}

fn told(path: &Path) -> String {
    let bytes = <[u8]>::from_path(path).unwrap_or_default();
    let name = if bytes.is_empty() { b"." } else { bytes };
    path_text(&BString::from(name))
}

fn stat(path: &Path) -> Option<StatKey> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(StatKey::of(&stat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_young_is_named_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (worktree, name) in [("a", "in/x"), ("a", "out/y"), ("b", "z"), ("c", "z"), ("d", "z")] {
            let file = at(worktree).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "1").unwrap();
        }
        let all = ["a", "b", "c", "d", "never"].map(|name| (name.to_owned(), at(name)));
        // The clock of the file system ticks behind the one that is asked.
        let mut before = Neighbours::look(BTreeMap::from(all));
        while before.touched(|_| true) != Touched::default() {
            before = Neighbours::look(before.there);
        }
        assert_eq!(before.touched(|_| true), Touched::default());
        let write = |name: &str| {
            // Until the file system's clock has passed the look.
            while stat(&at(name)).is_none_or(|stat| stat.ctime < before.since) {
                fs::write(at(name), "2").unwrap();
            }
        };
        write("a/in/x");
        write("b/new\n\x1b");
        write("d/z");
        fs::remove_file(at("a/out/y")).unwrap();
        fs::remove_dir_all(at("c")).unwrap();
        let touched = before.touched(|clone| clone != "d");
        assert_eq!(
            touched.files,
            [
                "a: in/x: written",
                "a: out: entries changed",
                "b: new\n\x1b: written",
                "c: its worktree: removed"
            ]
        );
        assert!(!touched.cut);
    }

    #[test]
    fn many_are_counted_and_time_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let before = Neighbours {
            since: 0,
            there: BTreeMap::from([("a".to_owned(), dir.path().to_owned())]),
        };
        for n in 0..STEP {
            fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let touched = before.touched(|_| true);
        assert_eq!(touched.files.len(), NAMED + 1);
        assert_eq!(
            touched.files[NAMED],
            format!("a: and {} more files", STEP - NAMED)
        );
        assert!(before.touched_within(Duration::ZERO, |_| true).cut);
    }
}
