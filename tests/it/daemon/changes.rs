//! What has changed in the ledger: the daemon and the refs give the same answer, and nothing is missed between them.

use std::{collections::BTreeSet, time::Duration};

use git_khlone::{
    daemon::{ChangeFeed, Line, Place},
    task::{TaskId, ZoneId},
};
use serde_json::json;

use super::site::{BOUND, Site, until};

impl Site {
    fn changes(&self) -> ChangeFeed {
        ChangeFeed::new(Line::new(Place::new(&self.common()).unwrap(), false))
    }
}

/// Asks until the task and the zone have both been told; gives all that was.
fn told(site: &Site, feed: &mut ChangeFeed, task: &TaskId, zone: &ZoneId) -> (BTreeSet<TaskId>, bool) {
    let (mut tasks, mut zones, mut whole) = (BTreeSet::new(), BTreeSet::new(), false);
    until("the changes", || {
        let changes = site.with_ledger(|ledger| feed.next(ledger, Duration::from_secs(1)).unwrap());
        tasks.extend(changes.tasks);
        zones.extend(changes.zones);
        whole |= changes.whole;
        (whole || tasks.contains(task) && zones.contains(zone)).then_some(())
    });
    (tasks, whole)
}

#[test]
fn changes_are_told_with_a_daemon_and_without_and_none_is_missed() {
    let site = Site::new();
    let zone = ZoneId::of_branch("main");
    let other = site.act("@shell", "true");
    let mut caller = site.greeted();
    caller.ask("await", &json!({ "tasks": [other] }));
    let (mut by_daemon, mut by_refs) = (site.changes(), site.changes());
    let first = |feed: &mut ChangeFeed| site.with_ledger(|ledger| feed.next(ledger, BOUND).unwrap());
    assert!(first(&mut by_daemon).whole);
    // A new clone is a change of its zone.
    let task = site.act("@shell++", "true");
    caller.ask("await", &json!({ "tasks": [task] }));
    let (tasks, whole) = told(&site, &mut by_daemon, &task, &zone);
    assert!(!whole && !tasks.contains(&other), "{tasks:?}");
    let quiet = site.with_ledger(|ledger| {
        until("quiet", || {
            let changes = by_daemon.next(ledger, Duration::from_millis(1)).unwrap();
            changes.is_empty().then_some(changes)
        })
    });
    assert!(!quiet.next.is_empty());
    // One whose daemon is gone looks at all of it once, then goes on by the refs.
    drop(caller);
    site.run(&["daemon", "stop"]);
    let cursor = site.with_ledger(|ledger| by_daemon.next(ledger, Duration::ZERO).unwrap());
    assert!(cursor.whole, "{cursor:?}");
    assert!(first(&mut by_refs).whole);
    let last = site.act("@shell++", "true");
    site.run(&["daemon", "stop"]);
    for feed in [&mut by_daemon, &mut by_refs] {
        told(&site, feed, &last, &zone);
    }
}

#[test]
fn a_cursor_of_nobody_gets_everything_at_once_and_a_wait_ends_with_the_daemon() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let mut caller = site.greeted();
    for since in [json!(null), json!("x"), json!("1-2-3.9")] {
        let answer = caller.ask("changes", &json!({ "since": since, "wait": 60 }));
        assert_eq!(answer["result"]["whole"], true, "{answer}");
    }
    let answer = caller.ask("changes", &json!({ "since": 7 }));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let next = caller.ask("changes", &json!({}))["result"]["next"].clone();
    let call =
        json!({ "jsonrpc": "2.0", "id": 9, "method": "changes", "params": { "since": next, "wait": 60 } });
    caller.say(format!("{call}\n").as_bytes());
    site.run(&["daemon", "stop"]);
    let last = caller.hear();
    assert!(last.is_none_or(|answer| answer["result"]["tasks"] == json!([])));
}
