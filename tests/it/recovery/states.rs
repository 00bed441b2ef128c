//! A task's state and the fields that follow from it agree, whichever way it came there.

use git_khlone::{
    process::machine_id,
    refs::{Ledger, LedgerError, Repo, Site, Update},
    task::{Move, Outcome},
};
use serde_json::Value;

use crate::stage::Stage;

/// Changes a task in the ledger, as another process would.
fn change(stage: &Stage, id: &str, change: impl Fn(&mut Update<'_>)) {
    let repo = Repo::open(&stage.work.0.join(".git")).unwrap();
    let site = Site::open(&repo, &machine_id()).unwrap();
    let by = |update: &mut Update<'_>| {
        change(update);
        Ok::<_, LedgerError>(())
    };
    Ledger::new(&repo, &site)
        .update(&id.parse().unwrap(), "test", by)
        .unwrap();
}

/// A task of another zone that waits for `before`, and is parked at a limit.
fn parked(stage: &Stage, before: &str) -> String {
    let act = [
        "act", "--zone", "feat", "--who", "@shell", "--after", before, "-m", "true",
    ];
    let id = stage.run(&act).ok();
    change(stage, &id, |update| {
        let why = "its provider is at its limit".to_owned();
        let until = Some(4_000_000_000);
        update.transition(Move::Park { until, why }, "").unwrap();
    });
    id
}

fn stage() -> (Stage, String) {
    let stage = Stage::new();
    stage.work.git(&["branch", "feat"]);
    let first = stage.start("sleep 600");
    (stage, first)
}

fn is_whole(stage: &Stage) {
    let checked = stage.run(&["fsck"]);
    assert_eq!(checked.code, 0, "{}", checked.out);
}

#[test]
fn a_parked_task_whose_zone_is_removed_is_cancelled_in_all_its_fields() {
    let (stage, first) = stage();
    let id = parked(&stage, &first);
    stage.run(&["zone", "remove", "feat"]).ok();
    let task = stage.task(&id);
    assert_eq!(
        (&task["status"], &task["outcome"]),
        (&"cancelled".into(), &"cancelled".into())
    );
    assert_eq!(task["parked_until"], Value::Null, "{task:#}");
    assert_eq!(stage.run(&["await", &id]).code, 6);
    is_whole(&stage);
    stage.run(&["cancel", &first]).ok();
}

#[test]
fn a_parked_task_that_is_skipped_has_no_limit_any_more() {
    let (stage, first) = stage();
    let id = parked(&stage, &first);
    stage.run(&["cancel", &first]).ok();
    let over = stage.run(&["await", &id]);
    let task = stage.task(&id);
    assert_eq!((&task["status"], over.code), (&"skipped".into(), 1), "{task:#}");
    assert_eq!(
        (&task["outcome"], &task["parked_until"]),
        (&Value::Null, &Value::Null),
        "{task:#}"
    );
    is_whole(&stage);
}

#[test]
fn a_contradictory_document_of_yesterday_is_read_by_its_state() {
    let (stage, first) = stage();
    let id = parked(&stage, &first);
    change(&stage, &id, |update| {
        let why = "its zone was removed".to_owned();
        update.transition(Move::Cancel { why }, "").unwrap();
        update.task.outcome = Some(Outcome::Limited);
        update.task.parked_until = Some(4_000_000_000);
    });
    assert_eq!(stage.task(&id)["outcome"], "cancelled");
    let listed: Value = serde_json::from_str(&stage.run(&["--json", "list", "tasks"]).ok()).unwrap();
    let listed = listed["tasks"].as_array().unwrap();
    let listed = listed.iter().find(|task| task["task"] == id.as_str()).unwrap();
    assert_eq!(listed["outcome"], "cancelled");
    assert_eq!(stage.run(&["await", &id]).code, 6);
    is_whole(&stage);
    stage.run(&["cancel", &first]).ok();
}
