//! What to do next: the whole of the scheduling, pure.
//!
//! - A task whose attempt died is started even where it has to wait: its runner looks after what was left. After that
//!   it waits for its pause, or for a person, and keeps its clone meanwhile: what is in doubt is not built upon. Where
//!   that recovery failed, it is started again after a pause of its own.
//! - Only the owner's tasks are touched; a synced or copied repository schedules nothing.
//! - A clone does one task at a time, in the order of priority, then arrival. A died attempt goes on first. What
//!   is parked keeps its place; what waits for another task (`after`) lets others pass, or two clones' queues
//!   could wait for each other for ever.
//! - A task whose provider is at its limit is parked until the reset instead of being started. One that the user's
//!   own limits of a provider hold back waits in the queue, and tasks of other providers pass it.
//! - Clones run side by side up to the limit; what does not fit waits for the next round.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::providers::Room;
use crate::{
    brain::Provider,
    task::{CloneName, Need, Outcome, QueuePosition, Status, TaskId, ZoneId, pending},
};

/// What scheduling needs to know of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: TaskId,
    pub(crate) status: Status,
    pub(crate) outcome: Option<Outcome>,
    /// What it needs a person for.
    pub(crate) need: Option<Need>,
    pub(crate) zone: ZoneId,
    pub(crate) clone: CloneName,
    /// Whose limits it runs into; known while it is not over.
    pub(crate) provider: Option<Provider>,
    pub(crate) priority: i32,
    pub(crate) seq: u64,
    pub(crate) after: Vec<TaskId>,
    pub(crate) parked_until: Option<i64>,
    /// Until when its attempt under way waits for its provider by itself.
    pub(crate) limited_until: Option<i64>,
    /// How many attempts it has had.
    pub(crate) attempts: u32,
    /// It waits for a person.
    pub(crate) on_hold: bool,
    /// Grows with each claim.
    pub(crate) generation: u64,
    /// Whether this site on this machine owns it.
    pub(crate) ours: bool,
}

/// How much may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Attempts under way at once.
    pub(crate) running: usize,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start a runner for it.
    Start(TaskId),
    /// Its time has come.
    Unpark(TaskId),
    /// `because` was not done, or is no more.
    Skip { task: TaskId, because: TaskId },
    /// Its state says that a runner is at work, and we know of none: look at its locks.
    Examine(TaskId),
    /// Its provider is to be left alone until then.
    Park { task: TaskId, until: i64 },
    /// It ran into a limit of which nobody said when it ends.
    BackOff(TaskId),
    /// It is to be stopped, and its runner may not have heard.
    Urge(TaskId),
}

/// What is known besides the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    /// Tasks that a living runner holds, or is about to claim.
    pub(crate) held: &'a HashSet<TaskId>,
    /// Tasks whose last start failed and whose pause is not over.
    pub(crate) resting: &'a HashSet<TaskId>,
    /// What may be asked of each provider; any number of attempts of one that is not here.
    pub(crate) rooms: &'a BTreeMap<Provider, Room>,
    /// Seconds since the epoch.
    pub(crate) now: i64,
}

/// The plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) decisions: Vec<Decision>,
    /// When the next time comes that something waits for, seconds since the epoch.
    pub(crate) next: Option<i64>,
    /// Whether any task of ours is not over: the daemon stays.
    pub(crate) pending: bool,
    /// Whether something is waited for that nobody tells of.
    pub(crate) crowded: bool,
}

impl Plan {
    fn wait_until(&mut self, until: i64) {
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
    }
}

type Line<'a> = (&'a ZoneId, &'a CloneName);

/// The task `id` among `tasks`, which are in the order of ids.
pub(crate) fn find<'a>(tasks: &'a [Arc<Known>], id: &TaskId) -> Option<&'a Arc<Known>> {
    let at = tasks.binary_search_by(|known| known.id.cmp(id)).ok()?;
    tasks.get(at)
}

/// Decides what to do.
pub(crate) fn plan<T: Borrow<Known>>(tasks: &[T], limits: Limits, situation: Situation<'_>) -> Plan {
    let all = || tasks.iter().map(Borrow::borrow);
    let mut open: Vec<&Known> = all().filter(|task| task.ours && !task.status.is_over()).collect();
    open.sort_by_key(|task| (task.seq, &task.id));
    // What is over is looked at only where something waits for it.
    let statuses: HashMap<&TaskId, Status> = if open.iter().all(|task| task.after.is_empty()) {
        HashMap::new()
    } else {
        all().map(|task| (&task.id, task.status)).collect()
    };
    let mut plan = Plan::default();
    let mut heads: HashMap<Line<'_>, &Known> = HashMap::new();
    let mut busy: HashSet<Line<'_>> = HashSet::new();
    let mut running = situation.held.len();
    for task in open {
        plan.pending |= !task.on_hold;
        let line = (&task.zone, &task.clone);
        if situation.held.contains(&task.id) {
            busy.insert(line);
            if task.status == Status::Cancelling {
                plan.decisions.push(Decision::Urge(task.id.clone()));
                plan.crowded = true;
            }
            continue;
        }
        match task.status {
            Status::Running | Status::Finishing | Status::Cancelling | Status::Paused => {
                busy.insert(line);
                running += 1;
                plan.decisions.push(Decision::Examine(task.id.clone()));
                continue;
            }
            Status::Queued | Status::Parked => match waits_for(task, &statuses) {
                Wait::Nothing => {}
                Wait::Another => continue,
                Wait::Forever(because) => {
                    plan.decisions.push(Decision::Skip {
                        task: task.id.clone(),
                        because,
                    });
                    continue;
                }
            },
            Status::Interrupted => {
                if let Some(until) = pending(task.parked_until, situation.now) {
                    plan.wait_until(until);
                }
            }
            Status::Done | Status::Failed | Status::Cancelled | Status::Skipped => {}
        }
        if task.status == Status::Parked {
            match task.parked_until {
                Some(until) if until > situation.now => plan.wait_until(until),
                None if task.outcome == Some(Outcome::Limited) => {
                    plan.decisions.push(Decision::BackOff(task.id.clone()));
                }
                _ => plan.decisions.push(Decision::Unpark(task.id.clone())),
            }
        }
        let head = heads.entry(line).or_insert(task);
        if rank(task) < rank(head) {
            *head = task;
        }
    }
    let mut ready: Vec<&Known> = heads
        .into_iter()
        .filter(|(line, head)| !busy.contains(line) && is_ready(head, situation))
        .map(|(_, head)| head)
        .collect();
    ready.sort_by_key(|task| rank(task));
    start(
        &mut plan,
        &ready,
        limits.running.saturating_sub(running),
        situation,
    );
    plan
}

/// Starts as many of `ready`, in their order, as there are `places` and the providers have room.
fn start(plan: &mut Plan, ready: &[&Known], mut places: usize, situation: Situation<'_>) {
    let mut rooms = situation.rooms.clone();
    for task in ready {
        let room = task
            .provider
            .as_ref()
            .and_then(|provider| rooms.get_mut(provider));
        match room {
            Some(Room {
                parked_until: Some(until),
                ..
            }) if task.status == Status::Queued => {
                plan.decisions.push(Decision::Park {
                    task: task.id.clone(),
                    until: *until,
                });
            }
            Some(Room {
                parked_until: Some(until),
                ..
            }) => plan.wait_until(*until),
            Some(Room { starts: 0, next, .. }) => match next {
                Some(next) => plan.wait_until(*next),
                None => plan.crowded = true,
            },
            room if places > 0 => {
                places -= 1;
                if let Some(room) = room {
                    room.starts -= 1;
                }
                plan.decisions.push(Decision::Start(task.id.clone()));
            }
            _ => {}
        }
    }
}

fn rank(task: &Known) -> QueuePosition<'_> {
    QueuePosition::new(task.status, task.priority, task.seq, &task.id)
}

fn is_ready(task: &Known, situation: Situation<'_>) -> bool {
    let is_due = match task.status {
        Status::Queued => true,
        // Its runner looks after what died, whatever then becomes of the task.
        Status::Interrupted => !task.on_hold && pending(task.parked_until, situation.now).is_none(),
        _ => false,
    };
    is_due && !situation.resting.contains(&task.id)
}

enum Wait {
    Nothing,
    Another,
    Forever(TaskId),
}

fn waits_for(task: &Known, statuses: &HashMap<&TaskId, Status>) -> Wait {
    let mut wait = Wait::Nothing;
    for before in &task.after {
        match statuses.get(before) {
            Some(Status::Done) => {}
            Some(Status::Failed | Status::Cancelled | Status::Skipped) | None => {
                return Wait::Forever(before.clone());
            }
            Some(
                Status::Queued
                | Status::Parked
                | Status::Running
                | Status::Finishing
                | Status::Paused
                | Status::Cancelling
                | Status::Interrupted,
            ) => wait = Wait::Another,
        }
    }
    wait
}

#[cfg(test)]
mod tests;
