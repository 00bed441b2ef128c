//! What the status tells, gathered from the ledger, the spools of running tasks and the disk.

use std::{thread, time::Duration};

use jiff::{Timestamp, Zoned};

use super::super::{
    cx::Cx,
    error::{CliError, CmdError},
    list,
};
use crate::{
    delivery::merged::Judge,
    refs::{Ledger, LedgerError, TaskHead, branch_ref, now, pin_ref},
    render::{
        ShortIds,
        view::{CrewLine, RunningLine, StatusView, StrangerLine, TaskLine, WaitingLine},
    },
    runner,
    task::{FORMAT, Status, Task},
    worktree::disk::{Disk, measure},
    zone::owners::waiting_elsewhere,
};

/// How long the disk is measured.
const MEASURE: Duration = Duration::from_millis(60);
/// How long it is looked into what has landed; what is found out is remembered for the next time.
const JUDGE: Duration = Duration::from_millis(300);

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
        format: FORMAT,
        needs_you: Vec::new(),
        under_way: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
        cost_today: cost_since(&ledger, &heads, midnight()),
        disk: Disk::default(),
        brains: Vec::new(),
        damaged: Vec::new(),
        lost_tasks: 0,
        elsewhere: waiting_elsewhere(&ledger, &heads)
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
    let ids = ShortIds::of(heads.iter().map(|head| &head.id));
    let mut judge = Judge::within(&ledger, JUDGE);
    for head in &heads {
        let line = TaskLine::new(head, &ids);
        match part(cx, &ledger, head, &crew, &mut judge)? {
            Some(Part::NeedsYou) => view.needs_you.push(line),
            Some(Part::UnderWay) => {
                let running = running(cx, &ledger.task(&head.id)?.task, line);
                if let Some(cost) = running.cost {
                    *view.cost_today.get_or_insert(0.0) += cost;
                }
                view.under_way.push(running);
            }
            Some(Part::Waiting) => {
                let task = ledger.task(&head.id)?.task;
                let waits = cx.waits(&task, &heads);
                view.waiting.push(WaitingLine::new(line, waits, &task.reasons));
            }
            None => {}
        }
    }
    // The last of each part are shown first.
    view.needs_you.sort_by_key(|line| urgency(line.status()));
    view.waiting.sort_by_key(|line| urgency(line.task().status()));
    if crew.is_empty() {
        view.brains = list::brains(cx)?;
    }
    view.crew = crew;
    view.disk = disk.join().unwrap_or_default();
    Ok(view)
}

/// Where a task stands in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Failed, on hold, or done and not landed.
    NeedsYou,
    /// A runner is at it.
    UnderWay,
    /// It goes on by itself.
    Waiting,
}

/// Where a task stands; `None` for one that is over and done with.
pub(super) fn part(
    cx: &Cx,
    ledger: &Ledger<'_>,
    head: &TaskHead,
    crew: &[CrewLine],
    judge: &mut Judge<'_>,
) -> Result<Option<Part>, CmdError> {
    Ok(match head.status {
        status if status.is_active() => Some(Part::UnderWay),
        status if status.is_waiting() => Some(Part::Waiting),
        Status::Interrupted if ledger.task(&head.id)?.task.hold.is_none() => Some(Part::Waiting),
        Status::Failed | Status::Interrupted => Some(Part::NeedsYou),
        Status::Done => {
            let of = |clone: &&CrewLine| clone.zone_id == head.zone && clone.name == head.clone;
            let clone = crew.iter().find(of).filter(|clone| clone.ahead.unwrap_or(0) > 0);
            let unlanded = clone.map_or(Ok(false), |clone| is_unlanded(cx, (head, clone), judge))?;
            unlanded.then_some(Part::NeedsYou)
        }
        _ => None,
    })
}

/// What keeps its clone's other tasks from their turn comes before what has failed, and that before all else.
fn urgency(status: Status) -> u8 {
    match status {
        Status::Interrupted => 2,
        Status::Failed => 1,
        _ => 0,
    }
}

fn running(cx: &Cx, task: &Task, line: TaskLine) -> RunningLine {
    let Some(attempt) = task.last_attempt() else {
        return RunningLine::new(line, None, &crate::brain::Figures::default(), now());
    };
    let figures = runner::figures(&cx.site.attempt_dir(&task.id, attempt.n));
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
        .ref_target(&branch_ref(&clone.zone))
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
