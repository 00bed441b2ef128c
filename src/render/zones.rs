//! What the verbs about zones answer.

use std::fmt::Write;

use serde::Serialize;

use super::{View, ago};
use crate::{
    refs::{Undo, now},
    task::{CloneName, Explain, FORMAT, TaskId, ZoneId},
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
#[derive(Debug, Serialize)]
pub struct OpenedView {
    format: u32,
    zone: ZoneId,
    branch: String,
    tip: String,
    new_branch: bool,
    new_zone: bool,
}

impl OpenedView {
    /// The documented form.
    pub fn of(branch: &str, opened: &Opened) -> Self {
        Self {
            format: FORMAT,
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
#[derive(Debug, Serialize)]
pub struct RemovedView {
    format: u32,
    branch: String,
    clones: Vec<CloneName>,
    cancelled: Vec<TaskId>,
    undo: u64,
    lost: Vec<String>,
}

impl From<Removed> for RemovedView {
    fn from(removed: Removed) -> Self {
        Self {
            format: FORMAT,
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
#[derive(Debug, Serialize)]
pub struct RepairView {
    format: u32,
    clones: Vec<MendingLine>,
    locks: Vec<LockLine>,
}

#[derive(Debug, Serialize)]
struct MendingLine {
    zone: ZoneId,
    clone: CloneName,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct LockLine {
    path: String,
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
                hint: mending.result.as_ref().err().and_then(Explain::hint),
            }
        });
        let locks = locks.iter().map(|lock| LockLine {
            path: lock.path.display().to_string(),
            cleared: lock.cleared,
        });
        Self {
            format: FORMAT,
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
            if let Some(hint) = &line.hint {
                let _ = writeln!(text, "  next: {hint}");
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
#[derive(Debug, Serialize)]
pub struct PrunedView {
    format: u32,
    dry_run: bool,
    removed: Vec<ZoneId>,
    kept: Vec<KeptLine>,
}

#[derive(Debug, Serialize)]
struct KeptLine {
    zone: ZoneId,
    why: String,
}

impl PrunedView {
    /// The documented form.
    pub fn of(pruned: Pruned, dry_run: bool) -> Self {
        let kept = pruned.kept.into_iter().map(|(zone, why)| KeptLine { zone, why });
        Self {
            format: FORMAT,
            dry_run,
            removed: pruned.removed,
            kept: kept.collect(),
        }
    }
}

impl View for PrunedView {
    fn plain(&self) -> String {
        let word = if self.dry_run { "would remove" } else { "removed" };
        let mut text = String::new();
        for zone in &self.removed {
            let _ = writeln!(text, "{word} {zone}: its branch is gone");
        }
        for kept in &self.kept {
            let _ = writeln!(text, "kept {}: {}", kept.zone, kept.why);
        }
        text
    }
}

/// `undo`.
#[derive(Debug, Serialize)]
pub struct UndoneView {
    format: u32,
    verb: String,
    zone: ZoneId,
    clones: Vec<CloneName>,
    kept: Vec<String>,
    lost: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landing: Option<MovedLine>,
}

#[derive(Debug, Serialize)]
struct MovedLine {
    branch: String,
    from: String,
    to: String,
    tasks: Vec<TaskId>,
}

impl From<Undone> for UndoneView {
    fn from(undone: Undone) -> Self {
        Self {
            format: FORMAT,
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
#[derive(Debug, Serialize)]
pub struct UndoList {
    format: u32,
    saved: Vec<SavedLine>,
}

#[derive(Debug, Serialize)]
struct SavedLine {
    n: u64,
    verb: String,
    at: i64,
    zone: ZoneId,
    clones: Vec<CloneName>,
}

impl UndoList {
    /// The documented form.
    pub fn of(saved: impl IntoIterator<Item = Undo>) -> Self {
        let line = |undo: Undo| SavedLine {
            n: undo.n,
            verb: undo.verb,
            at: undo.at,
            zone: undo.zone.id,
            clones: undo.clones.into_iter().map(|kept| kept.crew.name).collect(),
        };
        Self {
            format: FORMAT,
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
            let _ = writeln!(
                text,
                "{:>3}  {}  {} {}  {clones}",
                line.n,
                ago(line.at, now()),
                line.verb,
                line.zone
            );
        }
        text
    }
}
