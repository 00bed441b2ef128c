//! What has changed in the ledger since a caller last asked: which tasks, and which zones with their crew.
//!
//! The cursor says what all refs stood at ([`super::sketch`]), so that whoever can read the refs can tell what has moved
//! since: this daemon, the next one, or a caller without any. Nothing is kept for a caller, and nothing is missed by
//! asking again. Of more changes than the cursor can tell, or by a cursor of another form, the answer is that anything
//! may have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::sketch::{Entry, Sketch};
use crate::{
    daemon::{Code, DaemonError, Line, RpcError},
    refs::{Ledger, LedgerError, Oid},
    task::{TaskId, ZoneId},
};

/// The form of a cursor.
const FORM: &str = "1.";
/// A key with this bit is a zone's.
const ZONE: u64 = 1 << 63;
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
    /// The answer of one who has not looked yet.
    pub(crate) fn unknown() -> Self {
        Self {
            whole: true,
            ..Self::default()
        }
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.zones.is_empty() && !self.whole
    }
}

/// What all tasks and zones stood at in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stood {
    zones: BTreeMap<u64, ZoneId>,
    sketch: Sketch,
    cursor: String,
}

impl Stood {
    /// Looks at the refs.
    pub(crate) fn look(ledger: &Ledger<'_>) -> Result<Self, LedgerError> {
        Ok(Self::of(&ledger.tags()?, &ledger.zone_tags()?))
    }

    /// These, with the tags that their refs point at.
    pub(crate) fn of(tasks: &[(TaskId, Oid)], zones: &[(ZoneId, Oid)]) -> Self {
        let value = |tag: &Oid| {
            let bytes = tag.as_bytes().first_chunk().copied().unwrap_or_default();
            u64::from_be_bytes(bytes)
        };
        let entry = |key, tag| Entry {
            key,
            value: value(tag),
        };
        let tasks = tasks.iter().map(|(id, tag)| entry(id.entropy(), tag));
        let sketch = Sketch::of(tasks.chain(zones.iter().map(|(id, tag)| entry(key(id), tag))));
        Self {
            cursor: format!("{FORM}{}", sketch.write()),
            zones: zones.iter().map(|(id, _)| (key(id), id.clone())).collect(),
            sketch,
        }
    }

    /// What has changed since `cursor`.
    pub(crate) fn since(&self, cursor: Option<&str>) -> Changes {
        let next = self.cursor.clone();
        if cursor == Some(&self.cursor) {
            return Changes {
                next,
                ..Changes::default()
            };
        }
        let told = cursor.and_then(|cursor| self.moved(cursor));
        let whole = told.is_none();
        let (tasks, zones) = told.unwrap_or_default();
        Changes {
            tasks: tasks.into_iter().collect(),
            zones: zones.into_iter().collect(),
            whole,
            next,
        }
    }

    /// The tasks and zones that have moved since; `None` if it cannot be told.
    fn moved(&self, cursor: &str) -> Option<(BTreeSet<TaskId>, BTreeSet<ZoneId>)> {
        let then = Sketch::read(cursor.strip_prefix(FORM)?)?;
        let (mut tasks, mut zones) = (BTreeSet::new(), BTreeSet::new());
        for key in self.sketch.differing(&then)? {
            if key & ZONE == 0 {
                tasks.insert(TaskId::from_entropy(key));
            } else {
                // Of one that is gone nothing tells its name.
                zones.insert(self.zones.get(&key)?.clone());
            }
        }
        Some((tasks, zones))
    }
}

/// The key of a zone: FNV-1a of its id.
fn key(zone: &ZoneId) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    zone.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, fold) | ZONE
}

/// Follows the changes of a site, by its daemon where there is one, else by the refs themselves.
#[derive(Debug)]
pub struct ChangeFeed {
    cursor: Option<String>,
    line: Line,
    own: Own,
}

/// What is seen without a daemon.
#[derive(Debug, Default)]
struct Own {
    seen: Option<Stood>,
    stamps: [Option<SystemTime>; 3],
}

impl ChangeFeed {
    /// From now on. The first answer is that anything may have changed.
    pub fn new(line: Line) -> Self {
        Self {
            cursor: None,
            line,
            own: Own::default(),
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
            let changes = self.look(ledger)?.since(cursor);
            if !changes.is_empty() || Instant::now() >= deadline {
                return Ok(changes);
            }
            std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
        }
    }

    fn look(&mut self, ledger: &Ledger<'_>) -> Result<&Stood, LedgerError> {
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
        let is_same = stamps == self.stamps && is_settled;
        let seen = match self.seen.take().filter(|_| is_same) {
            Some(seen) => seen,
            None => Stood::look(ledger)?,
        };
        self.stamps = stamps;
        Ok(self.seen.insert(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> TaskId {
        format!("t-{n:0>10}").parse().unwrap()
    }

    fn at(n: u8) -> Oid {
        Oid::from_bytes(&[n; 20]).unwrap()
    }

    #[test]
    fn whoever_looks_tells_the_same_since_any_look() {
        let zones = ["main", "feat/auth"].map(ZoneId::of_branch);
        let mut tasks: Vec<_> = (0..1000).map(|n| (id(n), at(1))).collect();
        let stood = [(zones[0].clone(), at(1)), (zones[1].clone(), at(1))];
        let first = Stood::of(&tasks, &stood);
        let all = first.since(None);
        assert!(all.whole && all.tasks.is_empty());
        assert!(first.since(Some(&all.next)).is_empty());
        tasks[7].1 = at(2);
        tasks.remove(3);
        tasks.push((id(1000), at(1)));
        let moved = [(zones[0].clone(), at(1)), (zones[1].clone(), at(2))];
        let second = Stood::of(&tasks, &moved);
        let told = second.since(Some(&all.next));
        assert_eq!(told.tasks, [id(3), id(7), id(1000)]);
        assert_eq!((told.zones.as_slice(), told.whole), (&zones[1..], false));
        // And back.
        assert_eq!(first.since(Some(&told.next)).tasks, told.tasks);
        // A zone that is gone is told by looking at all.
        assert!(Stood::of(&tasks, &moved[..1]).since(Some(&told.next)).whole);
        let every: Vec<_> = tasks.iter().map(|(id, _)| (id.clone(), at(9))).collect();
        assert!(Stood::of(&every, &moved).since(Some(&told.next)).whole);
    }

    #[test]
    fn a_cursor_of_another_form_gets_everything() {
        let seen = Stood::of(&[(id(1), at(1))], &[]);
        let cut = &seen.cursor[..seen.cursor.len() - 1];
        let torn = seen.cursor.replace('0', "g");
        for strange in [
            "",
            "a",
            "1.",
            "9-9-9.1",
            "1.\u{e9}",
            cut,
            &torn,
            &"1.f".repeat(9000),
        ] {
            assert!(seen.since(Some(strange)).whole, "{strange}");
        }
        // One that somebody made up costs what any costs.
        let made_up = format!("{FORM}{}", "f".repeat(seen.cursor.len() - FORM.len()));
        assert!(seen.since(Some(&made_up)).tasks.len() < 200);
    }
}
