//! What the status tells, gathered from the ledger, the spools of running tasks and the disk.

use std::{collections::HashSet, thread, time::Duration};

use super::{
    CrewLine, Ground, Look, Needed, NeedsLine, QueryError, RunningLine, StatusView, StrangerLine, TaskLine,
    WaitingLine, brains::brains, needs,
};
use crate::{
    brain::Figures,
    delivery::{advance::standing, merged::Judge},
    refs::{Ledger, LedgerError, Oid, RepoError, StoredZone, TaskHead, branch_ref, now, pin_ref},
    runner,
    task::{Need, Status, Task},
    worktree::disk::{Disk, measure},
    zone::owners::waiting_elsewhere,
};

/// How long the disk is measured.
const MEASURE: Duration = Duration::from_millis(60);
/// How long it is looked into what has landed; what is found out is remembered for the next time.
pub const JUDGE: Duration = Duration::from_millis(300);

/// The whole status; costs are those since `day`.
pub(super) fn status(ground: &Ground<'_>, day: i64) -> Result<StatusView, QueryError> {
    let ledger = ground.ledger();
    let (heads, zones) = (ground.heads()?, ground.zones()?);
    let members = zones.iter().flat_map(|zone| zone.crew.values());
    let trees = members.filter_map(|member| member.path.as_ref().map(Into::into));
    let folders = trees.chain([ground.site.dir().to_owned()]).collect();
    // Beside the rest, which takes about as long.
    let disk = thread::spawn(move || measure(folders, MEASURE));
    let clones = crew(ground, zones)?;
    let mut view = StatusView {
        needs_you: Vec::new(),
        running: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
        cost_today: cost_since(&ledger, heads, day),
        disk: Disk::default(),
        brains: Vec::new(),
        damaged: Vec::new(),
        lost_tasks: 0,
        stored_tasks: heads.len(),
        other_sites: waiting_elsewhere(&ledger, heads)
            .iter()
            .map(StrangerLine::of)
            .collect(),
    };
    view.damaged = ledger.damaged(heads, zones)?;
    view.lost_tasks = ledger.lost_tasks();
    // One whose objects are gone stops only itself.
    let mut heads = heads.to_vec();
    heads.retain(|head| {
        let read = (!head.status.is_over()).then(|| ledger.task(&head.id));
        let Some(Err(LedgerError::Damaged(damaged))) = read else {
            return true;
        };
        view.damaged.push(damaged);
        false
    });
    let parts = Parts::of(ground, &heads, &clones, &mut Judge::within(&ledger, JUDGE))?;
    for needed in &parts.needs_you {
        let asked = needed.need == Need::Question;
        let task = (!asked).then(|| ledger.task(&needed.head.id)).transpose()?;
        view.needs_you
            .push(NeedsLine::new(needed, task.map(|stored| stored.task).as_ref()));
    }
    for head in parts.under_way {
        let running = running(ground, &ledger.task(&head.id)?.task, TaskLine::of(head));
        if let Some(cost) = running.cost {
            *view.cost_today.get_or_insert(0.0) += cost;
        }
        view.running.push(running);
    }
    for head in parts.waiting {
        let task = ledger.task(&head.id)?.task;
        let waits = ground.waits(&task, &heads);
        view.waiting
            .push(WaitingLine::new(TaskLine::of(head), waits, &task.reasons));
    }
    if clones.is_empty() {
        view.brains = brains(ground);
    }
    view.crew = clones;
    view.disk = disk.join().unwrap_or_default();
    Ok(view)
}

/// Where the tasks stand that are not over and done with.
pub struct Parts<'a> {
    /// The most urgent first.
    pub needs_you: Vec<Needed<'a>>,
    /// A runner is at it; the newest first.
    pub under_way: Vec<&'a TaskHead>,
    /// It goes on by itself; in the order in which they will run.
    pub waiting: Vec<&'a TaskHead>,
}

impl<'a> Parts<'a> {
    /// Sorts the tasks of a site. It is looked for so long into what has landed.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn within(ground: &'a Ground<'_>, time: Duration) -> Result<Self, QueryError> {
        let ledger = ground.ledger();
        let clones = crew(ground, ground.zones()?)?;
        Self::of(
            ground,
            ground.heads()?,
            &clones,
            &mut Judge::within(&ledger, time),
        )
    }

    /// Sorts these.
    fn of(
        ground: &Ground<'_>,
        heads: &'a [TaskHead],
        crew: &[CrewLine],
        judge: &mut Judge<'_>,
    ) -> Result<Self, QueryError> {
        let needs_you = needs(heads, &mut Branches { ground, crew, judge })?;
        let held: HashSet<_> = needs_you.iter().map(|needed| &needed.head.id).collect();
        let is_waiting = |head: &&TaskHead| {
            let recovers = head.status == Status::Interrupted && !held.contains(&head.id);
            head.status.is_waiting() || recovers
        };
        let mut waiting: Vec<_> = heads.iter().filter(is_waiting).collect();
        waiting.sort_by_key(|head| head.queue_position());
        let under_way = heads.iter().rev().filter(|head| head.status.is_active());
        Ok(Self {
            under_way: under_way.collect(),
            waiting,
            needs_you,
        })
    }
}

/// Answers from the ledger and the branches.
struct Branches<'a, 'l> {
    ground: &'a Ground<'a>,
    crew: &'a [CrewLine],
    judge: &'a mut Judge<'l>,
}

impl<'a> Branches<'a, '_> {
    fn clone_of(&self, head: &TaskHead) -> Option<&'a CrewLine> {
        let of = |clone: &&CrewLine| clone.zone == head.zone && clone.clone == head.clone;
        self.crew.iter().find(of)
    }

    fn pins(&self, head: &TaskHead, side: &str) -> Result<Vec<Oid>, QueryError> {
        let git = self.ground.repo.git();
        let pins = git.references_glob(&format!("refs/khlone/pins/{}/*-head-{side}", head.id))?;
        Ok(pins.flatten().filter_map(|pin| pin.target()).collect())
    }
}

impl Look for Branches<'_, '_> {
    type Error = QueryError;

    fn is_on_hold(&mut self, head: &TaskHead) -> Result<bool, QueryError> {
        Ok(self.ground.ledger().task(&head.id)?.task.hold.is_some())
    }

    fn has_work(&mut self, head: &TaskHead) -> Result<bool, QueryError> {
        let (before, after) = (self.pins(head, "before")?, self.pins(head, "after")?);
        Ok(after.last().is_some_and(|after| before.first() != Some(after)))
    }

    fn is_unlanded(&mut self, head: &TaskHead) -> Result<bool, QueryError> {
        let clone = self.clone_of(head).filter(|clone| clone.ahead.unwrap_or(0) > 0);
        match clone {
            Some(clone) => is_unlanded(self.ground, (head, clone), self.judge),
            None => Ok(false),
        }
    }
}

fn running(ground: &Ground<'_>, task: &Task, line: TaskLine) -> RunningLine {
    let Some(attempt) = task.last_attempt() else {
        return RunningLine::new(line, None, &Figures::default(), now());
    };
    let figures = runner::figures(&ground.site.layout().attempt(&task.id, attempt.n));
    RunningLine::new(line, Some(attempt), &figures, now())
}

/// What attempts that have ended since then cost, as their brains say; `None` if none said.
fn cost_since(ledger: &Ledger<'_>, heads: &[TaskHead], since: i64) -> Option<f64> {
    let mut sum = None;
    for head in heads.iter().filter(|head| head.updated >= since) {
        let Ok(stored) = ledger.task(&head.id) else {
            continue;
        };
        for attempt in stored.task.attempts {
            let today = attempt.ended.is_some_and(|ended| ended >= since);
            if let Some(cost) = attempt.cost.filter(|_| today) {
                *sum.get_or_insert(0.0) += cost;
            }
        }
    }
    sum
}

/// Whether a task's work is not in its zone's branch yet.
fn is_unlanded(
    ground: &Ground<'_>,
    (head, clone): (&TaskHead, &CrewLine),
    judge: &mut Judge<'_>,
) -> Result<bool, QueryError> {
    let tip = ground
        .repo
        .ref_target(&branch_ref(&clone.branch))
        .map_err(RepoError::from)?;
    let Some(tip) = tip else {
        return Ok(false);
    };
    let task = ground.ledger().task(&head.id)?.task;
    let last = task.last_attempt().map_or(0, |last| last.n);
    let end = ground.repo.ref_target(&pin_ref(&task.id, last, "head-after"));
    match end.map_err(RepoError::from)? {
        Some(end) => Ok(!judge.has_task(&task, end, tip)?),
        None => Ok(false),
    }
}

/// Every clone of these zones, with what it does and how its branch stands.
///
/// # Errors
/// If the ledger or a branch cannot be read.
pub fn crew<'a>(
    ground: &Ground<'_>,
    zones: impl IntoIterator<Item = &'a StoredZone>,
) -> Result<Vec<CrewLine>, QueryError> {
    let (repo, heads) = (ground.repo, ground.heads()?);
    let tip_of = |branch: &str| repo.ref_target(&branch_ref(branch));
    let mut lines = Vec::new();
    for zone in zones {
        let zone_tip = tip_of(&zone.zone.branch)?;
        for member in zone.crew.values() {
            let mut line = CrewLine::of(member, &zone.zone);
            let mine = |head: &&TaskHead| head.zone == zone.zone.id && head.clone == member.name;
            line.task = heads
                .iter()
                .filter(mine)
                .find(|head| head.status.is_active())
                .map(|head| head.id.clone());
            line.queued = heads
                .iter()
                .filter(mine)
                .filter(|head| head.status.is_waiting())
                .count();
            if let (Some(tip), Some(zone_tip)) = (tip_of(&member.branch)?, zone_tip) {
                let stands = standing(repo, tip, zone_tip)?;
                line.ahead = Some(stands.ahead);
                line.behind = Some(stands.behind);
            }
            lines.push(line);
        }
    }
    Ok(lines)
}
