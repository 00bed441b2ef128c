//! Where things are in a site's folder, `<common git folder>/khlone`. These names stand here and nowhere else.

use std::path::{Path, PathBuf};

use crate::task::{CloneName, TaskId, ZoneId};

/// The folder of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// That of the repository whose common git folder is `common`.
    pub fn of(common: &Path) -> Self {
        Self {
            dir: common.join("khlone"),
        }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The site's identity.
    pub fn site_file(&self) -> PathBuf {
        self.dir.join("site.json")
    }

    /// What was kept of `packed-refs` while brains without a sandbox run, a file for each attempt.
    pub fn kept_packed_refs(&self) -> PathBuf {
        self.dir.join("packed-refs")
    }

    /// Every task's attempts.
    pub fn attempts(&self) -> PathBuf {
        self.dir.join("attempts")
    }

    /// The attempts of a task.
    pub fn attempts_of(&self, task: &TaskId) -> PathBuf {
        self.attempts().join(task.as_str())
    }

    /// Where attempt `n` of a task keeps its locks, spool and sockets' names.
    pub fn attempt(&self, task: &TaskId, n: u32) -> PathBuf {
        self.attempts_of(task).join(n.to_string())
    }

    /// The private git folders of all clones, each named as [`Layout::clone_key`] says.
    pub fn private_gits(&self) -> PathBuf {
        self.dir.join("gitdirs")
    }

    /// That of a clone.
    pub fn private_git(&self, zone: &ZoneId, clone: &CloneName) -> PathBuf {
        self.private_gits().join(Self::clone_key(zone, clone))
    }

    /// What saved states have besides objects, a folder a state.
    pub fn apart(&self) -> PathBuf {
        self.dir.join("apart")
    }

    /// What saved state `n` has of a clone.
    pub fn apart_of(&self, n: u64, clone: &CloneName) -> PathBuf {
        self.apart().join(n.to_string()).join(clone.to_string())
    }

    /// What brains keep between tasks, a folder a clone.
    pub fn brains(&self) -> PathBuf {
        self.dir.join("brains")
    }

    /// What the brain of a clone keeps.
    pub fn brain(&self, zone: &ZoneId, clone: &CloneName) -> PathBuf {
        self.brains().join(Self::clone_key(zone, clone))
    }

    /// How a clone's files and folders are named.
    pub fn clone_key(zone: &ZoneId, clone: &CloneName) -> String {
        format!("{zone}.{clone}")
    }

    /// The folder of clones' locks.
    pub fn clone_locks(&self) -> PathBuf {
        self.dir.join("clones")
    }

    /// Held while a task of the clone runs, or something else changes its worktree.
    pub fn clone_lock(&self, zone: &ZoneId, clone: &CloneName) -> PathBuf {
        self.clone_locks()
            .join(format!("{}.lock", Self::clone_key(zone, clone)))
    }

    /// Held while a clone's waiting tasks are counted and one is added.
    pub fn queue_lock(&self, zone: &ZoneId, clone: &CloneName) -> PathBuf {
        self.clone_locks()
            .join(format!("{}.queue", Self::clone_key(zone, clone)))
    }

    /// Held while a free clone of a zone is looked for and gets its task.
    pub fn any_lock(&self, zone: &ZoneId) -> PathBuf {
        self.clone_locks().join(format!("{zone}.any"))
    }

    /// Files that are not in their place yet.
    pub fn temp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// A marker for each pack of ours.
    pub fn packs(&self) -> PathBuf {
        self.dir.join("packs")
    }

    /// Shared by who writes a pack, exclusive for who removes some.
    pub fn packs_lock(&self) -> PathBuf {
        self.dir.join("packs.lock")
    }

    /// Held by who joins packs.
    pub fn join_lock(&self) -> PathBuf {
        self.dir.join("compact.lock")
    }

    /// For which sharing of the repository the modes of what is ours were made.
    pub fn shared(&self) -> PathBuf {
        self.dir.join("shared")
    }

    /// Where versions before the pack markers kept the pack of what was left over.
    pub fn remainder(&self) -> PathBuf {
        self.dir.join("remainder")
    }

    /// The order of arrival: a counter, and the lock of who raises it.
    pub fn counter(&self) -> PathBuf {
        self.dir.join("seq")
    }

    /// What was read of every task's tag.
    pub fn heads(&self) -> PathBuf {
        self.dir.join("heads")
    }

    /// The tags of tasks that are over.
    pub fn over(&self) -> PathBuf {
        self.dir.join("over")
    }

    /// Which tasks are not over.
    pub fn unfinished(&self) -> PathBuf {
        self.dir.join("unfinished")
    }

    /// What is known to be merged.
    pub fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    /// Held while work is landed.
    pub fn land_lock(&self) -> PathBuf {
        self.dir.join("land.lock")
    }

    /// Held by the daemon for its life.
    pub fn daemon_lock(&self) -> PathBuf {
        self.dir.join("daemon.lock")
    }

    /// Which process the daemon is, and its socket.
    pub fn daemon_record(&self) -> PathBuf {
        self.dir.join("daemon.json")
    }

    /// The daemon's log.
    pub fn daemon_log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// The daemon's last sign of life.
    pub fn daemon_beat(&self) -> PathBuf {
        self.dir.join("daemon.beat")
    }

    /// The tasks of which the user is yet to be notified.
    pub fn notices(&self) -> PathBuf {
        self.dir.join("open.json")
    }

    /// What the shell's prompt showed last.
    pub fn prompt(&self) -> PathBuf {
        self.dir.join("prompt")
    }
}
