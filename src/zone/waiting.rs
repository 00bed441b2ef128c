//! What a task that has not begun waits for. Pure; the daemon's plan decides, this tells.

use serde::{Deserialize, Serialize};

use crate::{
    refs::TaskHead,
    task::{QueuePosition, Status, Task, TaskId},
};

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "for", rename_all = "kebab-case")]
pub enum Waits {
    /// A limit, or a pause after its attempt died.
    Limit {
        /// Until then, where that is known; seconds since the epoch.
        until: Option<i64>,
    },
    /// Its recovery after a death, which is under way or is tried again.
    Recovery {
        /// Tried again then; `null` while it is under way. Seconds since the epoch.
        until: Option<i64>,
        /// What stopped it last.
        reason: String,
    },
    /// Another task, which must be done first.
    After {
        /// Which.
        task: TaskId,
    },
    /// Tasks of its clone that go before it.
    Behind {
        /// How many.
        #[serde(rename = "count")]
        tasks: usize,
        /// The first of them.
        first: TaskId,
    },
    /// A place to run: all that the machine has are taken (`limits.running`).
    Machine {
        /// So many.
        places: u32,
    },
    /// Its provider, which is not asked for more at present.
    Provider {
        /// Its name.
        provider: String,
        /// The user's limit; `null` where it is the provider's own.
        key: Option<String>,
        /// Until then, where that is known; seconds since the epoch.
        until: Option<i64>,
    },
    /// The site that owns it: it does not run here.
    Owner {
        /// Its id.
        site: String,
    },
    /// Nothing but a daemon that starts it.
    Turn,
}

/// What a task waits for whose last attempt is being recovered, or that rests after its death; `None` if it is not.
pub fn recovering(task: &Task) -> Option<Waits> {
    if let Some(retry) = task.recovery() {
        return Some(Waits::Recovery {
            until: Some(retry.until).filter(|_| !retry.reason.is_empty()),
            reason: retry.reason.clone(),
        });
    }
    let until = task
        .rests_until()
        .filter(|_| task.status == Status::Interrupted)?;
    Some(Waits::Recovery {
        until: Some(until),
        reason: task.reasons.last().cloned().unwrap_or_default(),
    })
}

/// The tasks of `heads` that its clone does before `task`, in their order.
pub(super) fn ahead<'a>(task: &Task, heads: &'a [TaskHead]) -> Vec<&'a TaskHead> {
    let own = QueuePosition::new(task.status, task.priority, task.seq, &task.id);
    let same = |head: &&TaskHead| head.zone == task.zone && head.clone == task.clone && head.id != task.id;
    let open = heads.iter().filter(same).filter(|head| !head.status.is_over());
    let mut before: Vec<_> = open.filter(|head| head.queue_position() < own).collect();
    before.sort_by_key(|head| head.queue_position());
    before
}

/// What `task` waits for among the tasks of `heads`; `None` if it does not wait.
pub fn waits_for(task: &Task, heads: &[TaskHead]) -> Option<Waits> {
    if !task.status.is_waiting() {
        return recovering(task);
    }
    let is_done = |id: &TaskId| {
        heads
            .iter()
            .any(|head| head.id == *id && head.status == Status::Done)
    };
    if let Some(before) = task.after.iter().find(|before| !is_done(before)) {
        return Some(Waits::After { task: before.clone() });
    }
    if task.status == Status::Parked {
        return Some(Waits::Limit {
            until: task.parked_until,
        });
    }
    let before = ahead(task, heads);
    Some(match before.first() {
        Some(first) => Waits::Behind {
            tasks: before.len(),
            first: first.id.clone(),
        },
        None => Waits::Turn,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(n: u64, status: &str, more: serde_json::Value) -> Task {
        let mut document = json!({
            "format": 1, "id": TaskId::from_entropy(n), "mode": "act", "status": status, "zone": "main",
            "branch": "main", "clone": "foreman.1", "role": "foreman", "brain": "shell", "prompt_sha": "",
            "title": "x", "seq": n, "owner": {"site_uuid": "s", "machine": "m"}, "created": 1, "updated": 1,
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn waits(about: &Task, others: &[&Task]) -> Option<Waits> {
        let heads: Vec<_> = others.iter().filter_map(|task| TaskHead::of(task)).collect();
        waits_for(about, &heads)
    }

    #[test]
    fn what_goes_before_is_told() {
        let running = task(1, "running", json!({}));
        let early = task(2, "queued", json!({}));
        let urgent = task(9, "queued", json!({"priority": 1}));
        let elsewhere = task(3, "queued", json!({"clone": "foreman.2"}));
        let own = task(4, "queued", json!({}));
        let all = [&running, &early, &urgent, &elsewhere, &own];
        let behind = |tasks, first: &Task| Waits::Behind {
            tasks,
            first: first.id.clone(),
        };
        assert_eq!(waits(&own, &all), Some(behind(3, &running)));
        assert_eq!(waits(&early, &all[1..]), Some(behind(1, &urgent)));
        assert_eq!(waits(&elsewhere, &all), Some(Waits::Turn));
        assert_eq!(waits(&running, &all), None);
    }

    #[test]
    fn a_pause_after_a_death_tells_when_it_is_over() {
        let died = json!({"n": 1, "died": {"began": true, "fresh": false}});
        let more = json!({"attempts": [died], "parked_until": 99, "reasons": ["its attempt died"]});
        let resting = task(1, "interrupted", more);
        let until = Waits::Recovery {
            until: Some(99),
            reason: "its attempt died".to_owned(),
        };
        assert_eq!(waits(&resting, &[&resting]), Some(until));
    }

    #[test]
    fn limits_and_other_tasks_come_first() {
        let before = task(1, "running", json!({"clone": "foreman.2"}));
        let after = task(2, "queued", json!({"after": [before.id]}));
        let parked = task(3, "parked", json!({"parked_until": 77}));
        assert_eq!(
            waits(&after, &[&before, &after]),
            Some(Waits::After {
                task: before.id.clone()
            })
        );
        let done = task(1, "done", json!({"clone": "foreman.2"}));
        assert_eq!(waits(&after, &[&done, &after]), Some(Waits::Turn));
        assert_eq!(waits(&parked, &[&parked]), Some(Waits::Limit { until: Some(77) }));
    }
}
