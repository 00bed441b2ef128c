//! What `gc` has dropped, and what there is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    render::{View, bytes, one_line},
    task::{TaskId, ZoneId},
    upkeep::gc::{Collected, Stray},
};

/// A collection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GcView {
    /// Whether nothing was done.
    dry_run: bool,
    /// What was dropped, or would be.
    dropped: Dropped,
    /// What would go but holds work that is nowhere else.
    held: Dropped,
    /// Pins of no task, on commits that are nowhere else.
    strays: Vec<String>,
    /// Worktrees that no clone has.
    worktrees: Vec<StrayLine>,
    /// Locks of others.
    locks: Vec<String>,
    /// The packs of the ledger before.
    packs_before: Size,
    /// The packs of the ledger now.
    packs: Size,
    /// What the worktrees of each zone take.
    zones: Vec<ZoneSize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dropped {
    /// Tasks, by id.
    tasks: Vec<TaskId>,
    /// Saved states, by their number.
    undos: Vec<u64>,
    /// Folders of finished attempts.
    folders: Vec<String>,
    /// Pins of commits of submodules that nothing needs any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    submodules: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StrayLine {
    /// The path.
    path: String,
    /// What is in it that is nowhere else; absent where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The next step with one that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl StrayLine {
    fn of(stray: Stray) -> Self {
        let (why, next) = stray.held.map(|held| (held.why, held.next)).unzip();
        Self {
            path: stray.path.display().to_string(),
            why,
            next,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Size {
    /// How many.
    count: usize,
    /// How many bytes they take.
    bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ZoneSize {
    /// The zone's id.
    zone: ZoneId,
    /// How many bytes it takes.
    bytes: u64,
}

impl GcView {
    /// The documented form.
    pub fn of(collected: Collected, dry_run: bool) -> Self {
        let text =
            |paths: Vec<std::path::PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
        let size = |(count, bytes)| Size { count, bytes };
        let others = collected.locks.iter().filter(|lock| !lock.cleared);
        Self {
            dry_run,
            locks: others.map(|lock| lock.path.display().to_string()).collect(),
            strays: collected.tasks.strays,
            worktrees: collected.worktrees.into_iter().map(StrayLine::of).collect(),
            dropped: Dropped {
                tasks: collected.tasks.dropped,
                undos: collected.undos,
                folders: text(collected.folders),
                submodules: collected.submodules.iter().map(ToString::to_string).collect(),
            },
            held: Dropped {
                tasks: collected.tasks.held,
                undos: collected.held_undos,
                folders: text(collected.held_folders),
                submodules: Vec::new(),
            },
            packs_before: size(collected.before),
            packs: size(collected.after),
            zones: collected
                .zones
                .into_iter()
                .map(|(zone, bytes)| ZoneSize { zone, bytes })
                .collect(),
        }
    }
}

impl View for GcView {
    fn plain(&self) -> String {
        let mut text = String::new();
        let verb = if self.dry_run { "would drop" } else { "dropped" };
        for (word, what) in [(verb, &self.dropped), ("kept, holds work:", &self.held)] {
            for task in &what.tasks {
                text.push_str(&format!("{word} task {task}\n"));
            }
            for n in &what.undos {
                text.push_str(&format!("{word} saved state {n}\n"));
                if word != verb {
                    text.push_str(&format!(
                        "  next: git khlone undo {n}    # or, to delete it for good, git khlone gc --forget {n}\n"
                    ));
                }
            }
            for folder in &what.folders {
                text.push_str(&format!("{word} {}\n", one_line(folder)));
            }
            for commit in &what.submodules {
                text.push_str(&format!("{word} the pin of commit {commit:.10} of a submodule\n"));
            }
        }
        for pin in &self.strays {
            text.push_str(&format!("kept, holds work: {}\n", one_line(pin)));
        }
        for stray in &self.worktrees {
            let path = one_line(&stray.path);
            text.push_str(&match (&stray.why, &stray.next) {
                (Some(why), Some(next)) => {
                    format!("kept {path}: {}\n  next: {}\n", one_line(why), one_line(next))
                }
                _ => format!("{verb} {path}\n"),
            });
        }
        for lock in &self.locks {
            text.push_str(&format!(
                "left alone: {0}\n  next: rm {0}    # if no git runs there\n",
                one_line(lock)
            ));
        }
        for zone in &self.zones {
            text.push_str(&format!("{:>9}  zone {}\n", bytes(zone.bytes), zone.zone));
        }
        let packs = &self.packs;
        text.push_str(&format!(
            "{:>9}  ledger, packs: {}",
            bytes(packs.bytes),
            packs.count
        ));
        if packs.count != self.packs_before.count {
            text.push_str(&format!(" instead of {}", self.packs_before.count));
        }
        text.push('\n');
        text
    }
}
