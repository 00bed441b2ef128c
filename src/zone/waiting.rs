//! What a task that has not begun waits for. Pure; the daemon's plan decides, this tells.

use crate::{
    refs::TaskHead,
    task::{Status, Task, TaskId},
};

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// A limit: until then, where that is known.
    Limit(Option<i64>),
    /// Another task, which must be done first.
    After(TaskId),
    /// Tasks of its clone that go before it; the first of them.
    Behind(usize, TaskId),
    /// Nothing but a place to run, and a daemon that starts it.
    Turn,
}

/// What `task` waits for among the tasks of `heads`; `None` if it does not wait.
pub fn waits_for(task: &Task, heads: &[TaskHead]) -> Option<Waits> {
    if !task.status.is_waiting() {
        return None;
    }
    let is_done = |id: &TaskId| {
        heads
            .iter()
            .any(|head| head.id == *id && head.status == Status::Done)
    };
    if let Some(before) = task.after.iter().find(|before| !is_done(before)) {
        return Some(Waits::After(before.clone()));
    }
    if task.status == Status::Parked {
        return Some(Waits::Limit(task.parked_until));
    }
    let own = (std::cmp::Reverse(task.priority), task.seq);
    let goes_before = |head: &&TaskHead| {
        let same = head.zone == task.zone && head.clone == task.clone && head.id != task.id;
        let rank = (std::cmp::Reverse(head.priority), head.seq);
        same && !head.status.is_over() && (!head.status.is_waiting() || rank < own)
    };
    let mut before: Vec<_> = heads.iter().filter(goes_before).collect();
    before.sort_by_key(|head| {
        (
            head.status.is_waiting(),
            std::cmp::Reverse(head.priority),
            head.seq,
        )
    });
    Some(match before.first() {
        Some(first) => Waits::Behind(before.len(), first.id.clone()),
        None => Waits::Turn,
    })
}
