//! The walk over a work tree: every folder listed, every entry looked at once, nothing followed, nothing opened
//! but folders and rule files. Two threads share the folders.
//!
//! Only the `.git` of the top is left out. A folder that git ignores is looked at afterwards, in a fixed order
//! and up to a limit, so that two walks over the same tree stop at the same place.

use std::{
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use bstr::BString;

use super::{
    beneath::Root,
    index::Index,
    manifest::{Folder, Manifest},
    rules::Rules,
};

const THREADS: usize = 2;

/// How a file's blob is known before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is not.
    Unread,
    /// The index has it.
    Index,
    /// The index has it, provided that its blob has the size of the file.
    IndexIfSize,
    /// The previous snapshot has it.
    Previous,
}

/// A folder as the walk found it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The folder; blobs are filled in where `known` says so.
    pub(super) folder: Folder,
    /// For every entry, how its blob is known.
    pub(super) known: Vec<Known>,
    /// It could not be opened or listed.
    pub(super) unreadable: bool,
}

/// What a walk looks at.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    /// The work tree.
    pub(super) root: &'a Root,
    /// Its index.
    pub(super) index: &'a Index,
    /// What was found the last time.
    pub(super) previous: Option<&'a Manifest>,
    /// When this snapshot began.
    pub(super) started: i64,
    /// How many ignored entries are looked at inside ignored folders.
    pub(super) ignored: usize,
}

/// A folder that waits to be looked at.
#[derive(Debug)]
pub(super) struct Job {
    /// Its path from the top.
    pub(super) path: BString,
    /// How far down it is.
    pub(super) depth: usize,
    /// Its entries in the index.
    pub(super) range: Range<usize>,
    /// The rules above it.
    pub(super) rules: Arc<Rules>,
    /// What is not tracked in it is ignored.
    pub(super) ignored: bool,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Vec<Job>,
    active: usize,
}

impl Walk<'_> {
    /// Walks the tree and gives its folders, sorted by path.
    pub(super) fn run(&self, rules: Arc<Rules>) -> Vec<Found> {
        let top = Job {
            path: BString::default(),
            depth: 0,
            range: self.index.all(),
            rules,
            ignored: false,
        };
        let queue = Mutex::new(Queue {
            jobs: vec![top],
            active: 0,
        });
        let wake = Condvar::new();
        let mut found = thread::scope(|scope| {
            let helpers: Vec<_> = (1..THREADS)
                .map(|_| scope.spawn(|| self.work(&queue, &wake)))
                .collect();
            let mut found = self.work(&queue, &wake);
            for helper in helpers {
                found.extend(helper.join().unwrap_or_default());
            }
            found
        });
        found.sort_unstable_by(|a, b| a.folder.path.cmp(&b.folder.path));
        self.look_at_ignored(&mut found);
        found
    }

    fn work(&self, queue: &Mutex<Queue>, wake: &Condvar) -> Vec<Found> {
        let mut found = Vec::new();
        let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(job) = state.jobs.pop() else {
                if state.active == 0 {
                    wake.notify_all();
                    return found;
                }
                state = wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.active += 1;
            drop(state);
            let mut inner = Vec::new();
            found.push(self.scan(&job, &mut inner));
            state = queue.lock().unwrap_or_else(PoisonError::into_inner);
            state.active -= 1;
            let more = inner.len() > 1;
            state.jobs.append(&mut inner);
            if more || state.jobs.is_empty() {
                wake.notify_all();
            }
        }
    }
}
