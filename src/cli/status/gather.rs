//! What the status tells, gathered from the ledger, the spools of running tasks and the disk.

use std::{collections::HashSet, thread, time::Duration};

use jiff::{Timestamp, Zoned};

use super::super::{
    cx::Cx,
    error::{CliError, CmdError},
    list,
};
use crate::{
    delivery::merged::Judge,
    query::{Look, Needed, needs},
    refs::{Ledger, LedgerError, Oid, TaskHead, branch_ref, now, pin_ref},
    render::view::{
        CrewLine, NeedsLine, RunningLine, Shown, StatusView, StrangerLine, TaskLine, WaitingLine,
    },
    runner,
    task::{Need, Status, Task},
    worktree::disk::{Disk, measure},
    zone::owners::waiting_elsewhere,
};

/// How long the disk is measured.
const MEASURE: Duration = Duration::from_millis(60);
/// How long it is looked into what has landed; what is found out is remembered for the next time.
pub(in crate::cli) const JUDGE: Duration = Duration::from_millis(300);

/// The whole status.
pub(super) fn status(cx: &Cx) -> Result<StatusView, CmdError> {
    let ledger = cx.ledger();
    let (heads, zones) = (ledger.heads()?, ledger.readable_zones()?);
    let members = zones.iter().flat_map(|zone| zone.crew.values());
    let trees = members.filter_map(|member| member.path.as_ref().map(Into::into));
    let folders = trees.chain([cx.site.dir().to_owned()]).collect();
    // Beside the rest, which takes about as long.
    let disk = thread::spawn(move || measure(folders, MEASURE));
    let crew = list::crew(cx, &zones, &heads)?;
    let mut view = StatusView {
        needs_you: Vec::new(),
        running: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
        cost_today: cost_since(&ledger, &heads, midnight()),
        disk: Disk::default(),
        brains: Vec::new(),
        damaged: Vec::new(),
        lost_tasks: 0,
        other_sites: waiting_elsewhere(&ledger, &heads)
            .iter()
            .map(StrangerLine::of)
            .collect(),
    };
    view.damaged = ledger.damaged(&heads, &zones)?;
    view.lost_tasks = ledger.lost_tasks();
    // One whose objects are gone stops only itself.
    let mut heads = heads;
    heads.retain(|head| {
        let read = (!head.status.is_over()).then(|| ledger.task(&head.id));
        let Some(Err(LedgerError::Damaged(damaged))) = read else {
            return true;
        };
        view.damaged.push(damaged);
        false
    });
    let parts = Parts::of(cx, &heads, &crew, &mut Judge::within(&ledger, JUDGE))?;
    let shown = Shown::of(&heads, &zones);
    for needed in &parts.needs_you {
        let asked = needed.need == Need::Question;
        let task = (!asked).then(|| ledger.task(&needed.head.id)).transpose()?;
        view.needs_you.push(NeedsLine::new(
            needed,
            task.map(|stored| stored.task).as_ref(),
            &shown,
        ));
    }
    for head in parts.under_way {
        let running = running(cx, &ledger.task(&head.id)?.task, shown.line(head));
        if let Some(cost) = running.cost {
            *view.cost_today.get_or_insert(0.0) += cost;
        }
        view.running.push(running);
    }
    for head in parts.waiting {
        let task = ledger.task(&head.id)?.task;
        let waits = cx.waits(&task, &heads);
        view.waiting
            .push(WaitingLine::new(shown.line(head), waits, &task.reasons));
    }
    if crew.is_empty() {
        view.brains = list::brains(cx);
    }
    view.crew = crew;
    view.disk = disk.join().unwrap_or_default();
    Ok(view)
}

/// Where the tasks stand that are not over and done with.
pub(in crate::cli) struct Parts<'a> {
    /// The most urgent first.
    pub(in crate::cli) needs_you: Vec<Needed<'a>>,
    /// A runner is at it; the newest first.
    pub(super) under_way: Vec<&'a TaskHead>,
    /// It goes on by itself; in the order in which they will run.
    pub(super) waiting: Vec<&'a TaskHead>,
}

impl<'a> Parts<'a> {
    /// Sorts all tasks.
    pub(in crate::cli) fn of(
        cx: &Cx,
        heads: &'a [TaskHead],
        crew: &[CrewLine],
        judge: &mut Judge<'_>,
    ) -> Result<Self, CmdError> {
        let needs_you = needs(heads, &mut Ground { cx, crew, judge })?;
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
struct Ground<'a, 'l> {
    cx: &'a Cx,
    crew: &'a [CrewLine],
    judge: &'a mut Judge<'l>,
}

impl<'a> Ground<'a, '_> {
    fn clone_of(&self, head: &TaskHead) -> Option<&'a CrewLine> {
        let of = |clone: &&CrewLine| clone.zone == head.zone && clone.clone == head.clone;
        self.crew.iter().find(of)
    }

    fn pins(&self, head: &TaskHead, side: &str) -> Result<Vec<Oid>, CliError> {
        let git = self.cx.repo.git();
        let pins = git.references_glob(&format!("refs/khlone/pins/{}/*-head-{side}", head.id))?;
        Ok(pins.flatten().filter_map(|pin| pin.target()).collect())
    }
}

impl Look for Ground<'_, '_> {
    type Error = CmdError;

    fn is_on_hold(&mut self, head: &TaskHead) -> Result<bool, CmdError> {
        Ok(self.cx.ledger().task(&head.id)?.task.hold.is_some())
    }

    fn has_work(&mut self, head: &TaskHead) -> Result<bool, CmdError> {
        let (before, after) = (self.pins(head, "before")?, self.pins(head, "after")?);
        Ok(after.last().is_some_and(|after| before.first() != Some(after)))
    }

    fn is_unlanded(&mut self, head: &TaskHead) -> Result<bool, CmdError> {
        let clone = self.clone_of(head).filter(|clone| clone.ahead.unwrap_or(0) > 0);
        match clone {
            Some(clone) => is_unlanded(self.cx, (head, clone), self.judge),
            None => Ok(false),
        }
    }
}

fn running(cx: &Cx, task: &Task, line: TaskLine) -> RunningLine {
    let Some(attempt) = task.last_attempt() else {
        return RunningLine::new(line, None, &crate::brain::Figures::default(), now());
    };
    let figures = runner::figures(&cx.site.layout().attempt(&task.id, attempt.n));
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

/// When the day began here.
fn midnight() -> i64 {
    let today = Zoned::now().start_of_day().map(|start| start.timestamp());
    today.unwrap_or(Timestamp::now()).as_second()
}

/// Whether a task's work is not in its zone's branch yet.
fn is_unlanded(
    cx: &Cx,
    (head, clone): (&TaskHead, &CrewLine),
    judge: &mut Judge<'_>,
) -> Result<bool, CmdError> {
    let tip = cx
        .repo
        .ref_target(&branch_ref(&clone.branch))
        .map_err(CliError::from)?;
    let Some(tip) = tip else {
        return Ok(false);
    };
    let task = cx.ledger().task(&head.id)?.task;
    let last = task.last_attempt().map_or(0, |last| last.n);
    let end = cx.repo.ref_target(&pin_ref(&task.id, last, "head-after"));
    match end.map_err(CliError::from)? {
        Some(end) => Ok(!judge.has_task(&task, end, tip)?),
        None => Ok(false),
    }
}
