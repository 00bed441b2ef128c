//! What has changed in the ledger: the daemon and the refs give the same answer, and nothing is missed between them.

use std::{collections::BTreeSet, time::Duration};

use git_khlone::{
    daemon::{ChangeFeed, Line, Place},
    process::Cmd,
    task::{TaskId, ZoneId},
};
use serde_json::{Value, json};

use super::site::{BOUND, Site, Talk, until};

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
    // One whose daemon is gone goes on by the refs, from where it was.
    drop(caller);
    site.run(&["daemon", "stop"]);
    let same = site.with_ledger(|ledger| by_daemon.next(ledger, Duration::ZERO).unwrap());
    assert_eq!(same, quiet);
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

#[test]
fn a_cursor_outlives_its_daemon_and_the_refs_say_the_same() {
    let site = Site::new();
    site.done("@shell", "true");
    let git = |input: &str| {
        let git = Cmd::new("git").dir(site.common()).args(["update-ref", "--stdin"]);
        git.input(input).output().unwrap();
    };
    let tag = |commands: &dyn Fn(String) -> String| {
        let ids = (0..1000).map(|n| format!("refs/khlone/tasks/t-{n:0>10}"));
        git(&ids.map(commands).collect::<String>());
    };
    // A thousand more, which no daemon has a use for.
    site.run(&["daemon", "stop"]);
    tag(&|name| format!("create {name} HEAD\n"));
    site.run(&["daemon", "start"]);
    let mut caller = site.greeted();
    let settled = |caller: &mut Talk, since: &Value| {
        until("a look", || {
            let answer = caller.ask("changes", &json!({ "since": since }))["result"].clone();
            (!answer["next"].as_str().unwrap().is_empty()).then_some(answer)
        })
    };
    let first = settled(&mut caller, &Value::Null);
    let (next, mut feed) = (&first["next"], site.changes());
    assert!(first["whole"].as_bool().unwrap());
    let before = site.with_ledger(|ledger| feed.next(ledger, BOUND).unwrap());
    assert_eq!(json!(before), first);
    // What moves while no daemon is there is told by the next one, and by the refs, in the same words.
    site.kill();
    git(
        "delete refs/khlone/tasks/t-0000000003\nupdate refs/khlone/tasks/t-0000000500 HEAD^{tree}\n\
         create refs/khlone/tasks/t-zzzzzzzzzz HEAD\n",
    );
    let by_refs = site.with_ledger(|ledger| feed.next(ledger, BOUND).unwrap());
    let moved = ["t-0000000003", "t-0000000500", "t-zzzzzzzzzz"].map(|id| id.parse::<TaskId>().unwrap());
    assert_eq!((by_refs.tasks.as_slice(), by_refs.whole), (&moved[..], false));
    site.run(&["daemon", "start"]);
    let (mut one, mut other) = (site.greeted(), site.greeted());
    assert_eq!(settled(&mut one, next), json!(by_refs));
    // Two wait for the next.
    let call = |since: &str, wait: f64| {
        let params = json!({ "since": since, "wait": wait });
        format!(
            "{}\n",
            json!({ "jsonrpc": "2.0", "id": 7, "method": "changes", "params": params })
        )
    };
    for caller in [&mut one, &mut other] {
        caller.say(call(&by_refs.next, 60.0).as_bytes());
    }
    git("delete refs/khlone/tasks/t-zzzzzzzzzz\n");
    let (told, too) = (one.hear().unwrap(), other.hear().unwrap());
    assert_eq!(told["result"]["tasks"], json!(["t-zzzzzzzzzz"]), "{told}");
    assert_eq!(told["result"], too["result"]);
    // A wait has its bound; so has what somebody made up.
    let last = told["result"]["next"].as_str().unwrap();
    for wait in [0.0, -1.0, 0.05] {
        one.say(call(last, wait).as_bytes());
        assert_eq!(one.hear().unwrap()["result"]["tasks"], json!([]));
    }
    for made_up in [
        last.replace('0', "f"),
        last[1..].to_owned(),
        last.repeat(9),
        "\u{1}".to_owned(),
    ] {
        one.say(call(&made_up, 60.0).as_bytes());
        let answer = one.hear().unwrap();
        assert!(answer["result"]["whole"].as_bool().unwrap() || answer["result"]["tasks"].is_array());
    }
    // More than a cursor can tell.
    git("create refs/khlone/tasks/t-0000000003 HEAD\n");
    tag(&|name| format!("update {name} HEAD^{{tree}}\n"));
    let all = until("the many", || {
        let answer = one.ask("changes", &json!({ "since": last, "wait": 1 }))["result"].clone();
        answer["whole"].as_bool().unwrap().then_some(answer)
    });
    assert!(all["next"].as_str().unwrap().len() < 8 << 10);
}
