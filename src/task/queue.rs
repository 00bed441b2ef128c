//! The order of a clone's queue. The daemon's plan, what `act` says of the tasks before, and every list follow it.

use std::cmp::Reverse;

use super::{Status, TaskId};

/// Where a task stands: the smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePosition<'a> {
    /// What has begun, or died with something begun, goes before all that waits.
    waits: bool,
    priority: Reverse<i32>,
    seq: u64,
    id: &'a TaskId,
}

impl<'a> QueuePosition<'a> {
    /// Where a task of this status, priority and number of arrival stands.
    pub fn new(status: Status, priority: i32, seq: u64, id: &'a TaskId) -> Self {
        Self {
            waits: status.is_waiting(),
            priority: Reverse(priority),
            seq,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_goes_first_then_priority_then_arrival() {
        let id: TaskId = "t-0000000000".parse().unwrap();
        let at = |status, priority, seq| QueuePosition::new(status, priority, seq, &id);
        let order = [
            at(Status::Interrupted, 0, 9),
            at(Status::Queued, 2, 8),
            at(Status::Parked, 1, 3),
            at(Status::Queued, 1, 7),
            at(Status::Queued, 0, 1),
        ];
        assert!(order.is_sorted());
        assert!(order.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
