//! What the verbs about zones answer.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::{View, ago};
use crate::{
    refs::{Undo, now},
    task::{CloneName, Explain, TaskId, ZoneId},
    upkeep::{
        prune::Pruned,
        removal::Removed,
        repair::{Lock, Mended, Mending},
        undo::Undone,
    },
    worktree::create::Made,
    zone::open::Opened,
};

/// `zone new`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpenedView {
    /// The zone's id.
    zone: ZoneId,
    /// The zone's branch.
    branch: String,
    /// The commit that it is at.
    tip: String,
    /// Whether the branch was made.
    new_branch: bool,
    /// Whether the zone is new.
    new_zone: bool,
}

impl OpenedView {
    /// The documented form.
    pub fn of(branch: &str, opened: &Opened) -> Self {
        Self {
            zone: opened.id.clone(),
            branch: branch.to_owned(),
            tip: opened.tip.to_string(),
            new_branch: opened.is_new_branch,
            new_zone: opened.is_new_zone,
        }
    }
}

impl View for OpenedView {
    fn plain(&self) -> String {
        format!("{}\n", self.zone)
    }
}

/// `zone remove`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RemovedView {
    /// The zone's id.
    zone: ZoneId,
    /// The zone's branch.
    branch: String,
    /// The clones that went.
    clones: Vec<CloneName>,
    /// The tasks that were cancelled.
    cancelled: Vec<TaskId>,
    /// The number for `git khlone undo`.
    undo: u64,
    /// Ignored paths that are not saved.
    lost: Vec<String>,
}

impl From<Removed> for RemovedView {
    fn from(removed: Removed) -> Self {
        Self {
            zone: ZoneId::of_branch(&removed.branch),
            branch: removed.branch,
            clones: removed.clones,
            cancelled: removed.cancelled,
            undo: removed.undo,
            lost: removed.lost,
        }
    }
}

impl View for RemovedView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for clone in &self.clones {
            let _ = writeln!(text, "removed {clone} of {}", self.branch);
        }
        for task in &self.cancelled {
            let _ = writeln!(text, "cancelled {task}");
        }
        for path in &self.lost {
            let _ = writeln!(text, "not saved, being ignored and large: {path}");
        }
        text
    }
}

/// `zone repair`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RepairView {
    /// The clones.
    clones: Vec<MendingLine>,
    /// Stale locks of git.
    locks: Vec<LockLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MendingLine {
    /// The zone's id.
    zone: ZoneId,
    /// The clone.
    clone: CloneName,
    /// `whole`, `unmade`, `unlocked`, `mended`, `rebuilt` or `failed`.
    state: &'static str,
    /// What was the matter; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The next step; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LockLine {
    /// The path.
    path: String,
    /// Whether it was removed.
    cleared: bool,
}

impl RepairView {
    /// The documented form.
    pub fn of(mendings: &[Mending], locks: &[Lock]) -> Self {
        let lines = mendings.iter().map(|mending| {
            let (state, detail) = match &mending.result {
                Ok(Mended::Whole) => ("whole", None),
                Ok(Mended::Unmade) => ("unmade", Some("its first task makes the worktree".to_owned())),
                Ok(Mended::Unlocked) => ("unlocked", None),
                Ok(Mended::Put(Made::Mended(why))) => ("mended", Some((*why).to_owned())),
                Ok(Mended::Put(Made::Rebuilt(why))) => ("rebuilt", Some((*why).to_owned())),
                Ok(Mended::Put(Made::New | Made::Reused)) => ("rebuilt", None),
                Err(error) => ("failed", Some(error.to_string())),
            };
            MendingLine {
                zone: mending.zone.clone(),
                clone: mending.clone.clone(),
                state,
                detail,
                next: mending.result.as_ref().err().and_then(Explain::hint),
            }
        });
        let locks = locks.iter().map(|lock| LockLine {
            path: lock.path.display().to_string(),
            cleared: lock.cleared,
        });
        Self {
            clones: lines.collect(),
            locks: locks.collect(),
        }
    }
}

impl View for RepairView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for line in &self.clones {
            let _ = write!(text, "{} {}: {}", line.zone, line.clone, line.state);
            let _ = match &line.detail {
                Some(detail) => writeln!(text, ", {detail}"),
                None => writeln!(text),
            };
            if let Some(next) = &line.next {
                let _ = writeln!(text, "  next: {next}");
            }
        }
        for lock in &self.locks {
            let _ = if lock.cleared {
                writeln!(text, "cleared the stale lock {}", lock.path)
            } else {
                writeln!(text, "locked, perhaps by a git that still runs: {}", lock.path)
            };
        }
        text
    }
}

/// `zone prune`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PrunedView {
    /// Whether nothing was done.
    dry_run: bool,
    /// The zones that went, or would.
    zones: Vec<ZoneId>,
    /// The zones that stay though their branch is gone.
    kept_zones: Vec<KeptZone>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct KeptZone {
    /// The zone's id.
    zone: ZoneId,
    /// Why it stays.
    why: String,
}

impl PrunedView {
    /// The documented form.
    pub fn of(pruned: Pruned, dry_run: bool) -> Self {
        let kept = pruned.kept.into_iter().map(|(zone, why)| KeptZone { zone, why });
        Self {
            dry_run,
            zones: pruned.removed,
            kept_zones: kept.collect(),
        }
    }
}

impl View for PrunedView {
    fn plain(&self) -> String {
        let word = if self.dry_run { "would remove" } else { "removed" };
        let mut text = String::new();
        for zone in &self.zones {
            let _ = writeln!(text, "{word} {zone}: its branch is gone");
        }
        for kept in &self.kept_zones {
            let _ = writeln!(text, "kept {}: {}", kept.zone, kept.why);
        }
        text
    }
}

/// `undo`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UndoneView {
    /// What was undone, in the words of the command line.
    verb: String,
    /// The zone's id.
    zone: ZoneId,
    /// The clones that are as they were.
    clones: Vec<CloneName>,
    /// Paths that were not brought back, with the reason.
    kept: Vec<String>,
    /// Paths that had not been saved.
    lost: Vec<String>,
    /// How the zone's branch moved; absent where it stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    landing: Option<MovedLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MovedLine {
    /// The zone's branch.
    branch: String,
    /// The commit that it was at.
    from: String,
    /// The commit that it is at.
    to: String,
    /// The tasks that are not landed any more.
    tasks: Vec<TaskId>,
}

impl From<Undone> for UndoneView {
    fn from(undone: Undone) -> Self {
        Self {
            verb: undone.verb,
            zone: undone.zone,
            clones: undone.clones,
            kept: undone.kept,
            lost: undone.lost,
            landing: undone.landing.map(|back| MovedLine {
                branch: back.branch,
                from: back.from.to_string(),
                to: back.to.to_string(),
                tasks: back.tasks,
            }),
        }
    }
}

impl View for UndoneView {
    fn plain(&self) -> String {
        let mut text = String::new();
        if let Some(moved) = &self.landing {
            let (from, to) = (&moved.from[..9], &moved.to[..9]);
            let _ = writeln!(text, "{} {from}..{to} ({} undone)", moved.branch, self.verb);
        }
        for clone in &self.clones {
            let _ = writeln!(text, "brought back {clone} of {}", self.zone);
        }
        for path in &self.kept {
            let _ = writeln!(text, "not brought back: {path}");
        }
        for path in &self.lost {
            let _ = writeln!(text, "had not been saved: {path}");
        }
        text
    }
}

/// `undo --list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UndoList {
    /// What can be brought back, the newest first.
    saved: Vec<SavedLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SavedLine {
    /// The number for `git khlone undo`.
    undo: u64,
    /// What was done, in the words of the command line.
    verb: String,
    /// Seconds since the epoch.
    at: i64,
    /// The zone's id.
    zone: ZoneId,
    /// The clones that it touched.
    clones: Vec<CloneName>,
}

impl UndoList {
    /// The documented form.
    pub fn of(saved: impl IntoIterator<Item = Undo>) -> Self {
        let line = |undo: Undo| SavedLine {
            undo: undo.n,
            verb: undo.verb,
            at: undo.at,
            zone: undo.zone.id,
            clones: undo.clones.into_iter().map(|kept| kept.crew.name).collect(),
        };
        Self {
            saved: saved.into_iter().map(line).collect(),
        }
    }
}

impl View for UndoList {
    fn plain(&self) -> String {
        let mut text = String::new();
        for line in &self.saved {
            let clones: Vec<_> = line.clones.iter().map(ToString::to_string).collect();
            let clones = clones.join(" ");
            let told = format!(
                "{:>3}  {}  {} {}  {clones}",
                line.undo,
                ago(line.at, now()),
                line.verb,
                line.zone
            );
            let _ = writeln!(text, "{}", told.trim_end());
        }
        text
    }
}
