//! What has changed in the ledger since a caller last asked: which tasks, and which zones with their crew.
//!
//! Whoever tells counts the changes that it has seen; the cursor is that count, with a word for who counted. A cursor of
//! somebody else's, a daemon that is gone say, gets the answer that anything may have changed. So nothing is missed by
//! asking again, and nothing is kept for a caller.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fs,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    daemon::{Code, DaemonError, Line, RpcError},
    refs::{Ledger, LedgerError, Oid},
    task::{TaskId, ZoneId},
};

/// So many tasks and zones are told of by name; of more, that anything may have changed.
const MOST: usize = 1024;
/// How often refs are looked at where no daemon tells.
const LOOK: Duration = Duration::from_millis(50);

/// The answer to `changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Tasks that came, changed or went.
    pub tasks: Vec<TaskId>,
    /// Zones that did, or whose crew did.
    pub zones: Vec<ZoneId>,
    /// Anything may have changed: look at all of it.
    pub whole: bool,
    /// What to ask with next.
    pub next: String,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.zones.is_empty() && !self.whole
    }
}

/// The changes that were seen.
#[derive(Debug)]
pub(crate) struct History {
    /// Who counts.
    by: String,
    count: u64,
    /// Cursors before it are too old.
    floor: u64,
    tasks: BTreeMap<TaskId, u64>,
    zones: BTreeMap<ZoneId, u64>,
}

impl History {
    /// Of a teller with a name that no other has or had.
    pub(crate) fn new(by: String) -> Self {
        Self {
            by,
            count: 0,
            floor: 0,
            tasks: BTreeMap::new(),
            zones: BTreeMap::new(),
        }
    }

    /// Takes note of what has changed; gives whether anything has.
    pub(crate) fn note(&mut self, tasks: Vec<TaskId>, zones: Vec<ZoneId>) -> bool {
        if tasks.is_empty() && zones.is_empty() {
            return false;
        }
        self.count += 1;
        let count = self.count;
        self.tasks.extend(tasks.into_iter().map(|task| (task, count)));
        self.zones.extend(zones.into_iter().map(|zone| (zone, count)));
        if self.tasks.len() + self.zones.len() > MOST {
            self.tasks.clear();
            self.zones.clear();
            self.floor = count;
        }
        true
    }

    /// What has changed since `cursor`.
    pub(crate) fn since(&self, cursor: Option<&str>) -> Changes {
        let next = format!("{}.{}", self.by, self.count);
        let own = cursor.and_then(|cursor| cursor.rsplit_once('.'));
        let own = own.filter(|(by, _)| *by == self.by);
        let since = own.and_then(|(_, count)| count.parse::<u64>().ok());
        let Some(since) = since.filter(|since| (self.floor..=self.count).contains(since)) else {
            return Changes {
                whole: true,
                next,
                ..Changes::default()
            };
        };
        Changes {
            tasks: newer(&self.tasks, since),
            zones: newer(&self.zones, since),
            whole: false,
            next,
        }
    }
}

fn newer<K: Clone>(of: &BTreeMap<K, u64>, since: u64) -> Vec<K> {
    let newer = of.iter().filter(|(_, count)| **count > since);
    newer.map(|(key, _)| key.clone()).collect()
}

/// The keys of what is in one of two lists alone, or is not the same in both. Both are in the order of keys.
pub(crate) fn differing<T, K: Ord + Clone>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> &K,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<K> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => key(was).cmp(key(is)),
        };
        let was = old.next_if(|_| order.is_le());
        let is = new.next_if(|_| order.is_ge());
        let differs = match (was, is) {
            (Some(was), Some(is)) => !same(was, is),
            _ => true,
        };
        if differs && let Some(one) = was.or(is) {
            found.push(key(one).clone());
        }
    }
}

/// Follows the changes of a site, by its daemon where there is one, else by the refs themselves.
#[derive(Debug)]
pub struct ChangeFeed {
    cursor: Option<String>,
    line: Line,
    own: Own,
}

/// What is seen without a daemon.
#[derive(Debug)]
struct Own {
    history: History,
    tasks: Vec<(TaskId, Oid)>,
    zones: Vec<(ZoneId, Oid)>,
    stamps: [Option<SystemTime>; 3],
}

impl ChangeFeed {
    /// From now on. The first answer is that anything may have changed.
    pub fn new(line: Line) -> Self {
        Self {
            cursor: None,
            line,
            own: Own {
                history: History::new(format!("own-{}", std::process::id())),
                tasks: Vec::new(),
                zones: Vec::new(),
                stamps: [None; 3],
            },
        }
    }

    /// Waits for changes, at most for `patience`.
    ///
    /// # Errors
    /// The daemon's refusal, or that refs cannot be read.
    pub fn next(&mut self, ledger: &Ledger<'_>, patience: Duration) -> Result<Changes, DaemonError> {
        let params = json!({ "since": self.cursor, "wait": patience.as_secs_f64() });
        let changes = match self.line.call::<Changes>("changes", &params, patience) {
            // A daemon of an earlier build does not know the method.
            Some(Err(error)) if error.code != Code::Method.number() => return Err(error.into()),
            Some(Ok(changes)) => changes,
            Some(Err(_)) | None => self
                .own
                .wait(ledger, self.cursor.as_deref(), patience)
                .map_err(RpcError::from)?,
        };
        self.cursor = Some(changes.next.clone());
        Ok(changes)
    }
}

impl Own {
    fn wait(
        &mut self,
        ledger: &Ledger<'_>,
        cursor: Option<&str>,
        patience: Duration,
    ) -> Result<Changes, LedgerError> {
        let deadline = Instant::now() + patience;
        loop {
            self.look(ledger)?;
            let changes = self.history.since(cursor);
            if !changes.is_empty() || Instant::now() >= deadline {
                return Ok(changes);
            }
            std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
        }
    }

    fn look(&mut self, ledger: &Ledger<'_>) -> Result<(), LedgerError> {
        let common = ledger.repo().common_dir();
        let stamp = |name: &str| {
            fs::metadata(common.join(name))
                .and_then(|meta| meta.modified())
                .ok()
        };
        let stamps = ["refs/khlone/tasks", "refs/khlone/zones", "packed-refs"].map(stamp);
        // What changed within a tick of the file system's clock changes again unseen: only what is old enough counts.
        let is_settled = stamps.iter().flatten().all(|time| {
            SystemTime::now()
                .duration_since(*time)
                .is_ok_and(|age| age > LOOK)
        });
        if stamps == self.stamps && is_settled {
            return Ok(());
        }
        let (tasks, zones) = (ledger.tags()?, ledger.zone_tags()?);
        let changed = (
            differing(&self.tasks, &tasks, |(id, _)| id, PartialEq::eq),
            differing(&self.zones, &zones, |(id, _)| id, PartialEq::eq),
        );
        self.history.note(changed.0, changed.1);
        (self.tasks, self.zones, self.stamps) = (tasks, zones, stamps);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> TaskId {
        format!("t-{n:0>10}").parse().unwrap()
    }

    #[test]
    fn each_caller_is_told_all_that_changed_since_it_asked() {
        let mut history = History::new("a".to_owned());
        let first = history.since(None);
        assert!(first.whole);
        assert!(history.since(Some(&first.next)).is_empty());
        assert!(history.note(vec![id(1), id(2)], Vec::new()));
        assert!(history.note(vec![id(2)], vec![ZoneId::of_branch("main")]));
        assert!(!history.note(Vec::new(), Vec::new()));
        let all = history.since(Some(&first.next));
        assert_eq!(
            (all.tasks, all.zones.len(), all.whole),
            (vec![id(1), id(2)], 1, false)
        );
        assert_eq!(history.since(Some("a.1")).tasks, [id(2)]);
        for strange in ["", "a", "a.", "a.9", "b.1", "a.-1", "a.1.1"] {
            assert!(history.since(Some(strange)).whole, "{strange}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_too_old_a_cursor_is_told_to_look_at_all() {
        let mut history = History::new("a".to_owned());
        history.note(vec![id(0)], Vec::new());
        let old = history.since(None).next;
        for n in 0..=MOST {
            history.note(vec![id(n)], Vec::new());
        }
        assert!(history.tasks.len() <= MOST);
        assert!(history.since(Some(&old)).whole);
        let new = history.since(Some(&old)).next;
        history.note(vec![id(3)], Vec::new());
        assert_eq!(history.since(Some(&new)).tasks, [id(3)]);
    }

    #[test]
    fn what_came_went_or_changed_differs() {
        let old = [(1, 'a'), (2, 'b'), (4, 'd'), (7, 'g')];
        let new = [(0, 'z'), (2, 'b'), (4, 'x'), (5, 'e')];
        assert_eq!(
            differing(&old, &new, |(key, _)| key, PartialEq::eq),
            [0, 1, 4, 5, 7]
        );
        assert!(differing(&old, &old, |(key, _)| key, PartialEq::eq).is_empty());
    }
}
