//! The walk over a work tree: every folder listed, every entry looked at once, nothing followed, nothing opened
//! but folders and rule files. Two threads share the folders.
//!
//! Only the `.git` of the top is left out. A folder that git ignores is looked at afterwards, in a fixed order
//! and up to a limit, so that two walks over the same tree stop at the same place.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use bstr::BString;

use super::{
    beneath::Root,
    index::Index,
    manifest::{Folder, Manifest},
    rules::Rules,
    stat::StatKey,
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
    pub(super) folder: Arc<Folder>,
    /// For every entry, how its blob is known; nothing where the folder is the previous one, untouched.
    pub(super) known: Option<Vec<Known>>,
    /// Its tree is built.
    pub(super) built: bool,
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
    /// The rules above the top.
    pub(super) rules: &'a Arc<Rules>,
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
    /// The rules above it, where somebody has read them.
    pub(super) above: Option<Above>,
    /// Its listing is that of the previous manifest, as its own stat proves.
    pub(super) listed: bool,
    /// No rule that holds here has changed since the previous manifest.
    pub(super) quiet: bool,
}

/// The rules above a folder.
#[derive(Debug, Clone)]
pub(super) struct Above {
    /// The rules.
    pub(super) rules: Arc<Rules>,
    /// What is not tracked in the folder is ignored.
    pub(super) ignored: bool,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Vec<Job>,
    active: usize,
}

impl Walk<'_> {
    /// Walks the tree and gives its folders, sorted by path. With `quiet`, what decides over ignoring besides the
    /// tree itself is as it was in the previous manifest; `top` is the top folder's stat where it proves its listing.
    pub(super) fn run(&self, quiet: bool, top: Option<StatKey>) -> Vec<Found> {
        let top = Job {
            path: BString::default(),
            depth: 0,
            above: None,
            listed: quiet && top.is_some() && self.previous.is_some_and(|previous| previous.top == top),
            quiet,
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
            found.push(
                self.glance(&job, &mut inner)
                    .unwrap_or_else(|| self.scan(&job, &mut inner)),
            );
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
