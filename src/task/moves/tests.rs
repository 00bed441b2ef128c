use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::task::{Attempt, Death, TaskId};

fn task(status: &str, more: serde_json::Value) -> Task {
    let mut document = json!({
        "format": 1, "id": TaskId::from_entropy(1), "mode": "act", "status": status, "zone": "main",
        "branch": "main", "clone": "foreman.1", "role": "foreman", "brain": "shell", "prompt_sha": "",
        "title": "x", "seq": 1, "owner": {"site_uuid": "s", "machine": "m"}, "created": 1, "updated": 1,
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn any_move() -> impl Strategy<Value = Move> {
    let why = || "why".to_owned();
    let ending = |outcome| {
        Move::End(Ending {
            outcome,
            reasons: vec!["why".to_owned()],
            question: Some("Which?".to_owned()),
            import: Some(Import {
                name: "refs/heads/x".to_owned(),
                old: "1".to_owned(),
                new: "2".to_owned(),
            }),
            limited_until: Some(9),
        })
    };
    prop_oneof![
        Just(Move::Start),
        Just(Move::Park {
            until: Some(5),
            why: why()
        }),
        Just(Move::ParkUntil(7)),
        Just(Move::Unpark),
        Just(Move::Skip { why: why() }),
        Just(Move::Cancel { why: why() }),
        Just(Move::CancelRecovered),
        Just(ending(Outcome::Done)),
        Just(ending(Outcome::Limited)),
        Just(ending(Outcome::Cancelled)),
        Just(ending(Outcome::Failed)),
        Just(Move::Conclude { diverged: None }),
        Just(Move::Conclude {
            diverged: Some(why())
        }),
        Just(Move::Fail {
            outcome: Outcome::Crashed,
            reasons: vec![why()]
        }),
        Just(Move::Die),
        Just(Move::Again(How::Resume)),
        Just(Move::Recover(100)),
        Just(Move::RecoverLater { now: 100, why: why() }),
        Just(Move::Recovered),
        Just(Move::GoOn),
        Just(Move::Rest {
            until: 200,
            why: why()
        }),
        Just(Move::Hold { why: why() }),
    ]
}

/// What a runner and recovery write beside a move.
fn beside(task: &mut Task, to: &Move) {
    match to {
        Move::Start => task.attempts.push(Attempt {
            n: u32::try_from(task.attempts.len()).unwrap() + 1,
            ..Attempt::default()
        }),
        Move::GoOn | Move::Rest { .. } | Move::Recovered => {
            if let Some(last) = task.attempts.last_mut() {
                last.died = Some(Death::default());
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_moves_lead_to_a_contradiction(moves in prop::collection::vec(any_move(), 0..40)) {
        let mut task = task("queued", json!({}));
        for to in moves {
            let before = task.clone();
            match task.make(to.clone()) {
                Ok(_) => beside(&mut task, &to),
                Err(_) => prop_assert_eq!(&task, &before, "a refused move changes nothing"),
            }
            prop_assert_eq!(task.contradiction(), None, "{:?} → {:?}", before, to);
            let is_over = task.status.is_over();
            prop_assert!(!is_over || task.recovery().is_none() && task.import.is_none());
            prop_assert_eq!(task.status == Status::Parked, task.outcome == Some(Outcome::Limited) && !task.ended());
        }
    }
}

#[test]
fn what_is_parked_and_cancelled_is_cancelled_in_all_its_fields() {
    let mut parked = task(
        "parked",
        json!({"outcome": "limited", "parked_until": 77, "reasons": ["at its limit"]}),
    );
    let passed = parked
        .make(Move::Cancel {
            why: "its zone was removed".to_owned(),
        })
        .unwrap();
    assert_eq!(passed, [Status::Cancelled]);
    assert_eq!(
        (parked.outcome, parked.parked_until),
        (Some(Outcome::Cancelled), None)
    );
    assert_eq!(parked.reasons, ["its zone was removed"]);
}

#[test]
fn documents_of_yesterday_are_mended_by_their_state() {
    let mut old = task(
        "cancelled",
        json!({"outcome": "limited", "parked_until": 77, "hold": "x", "cancel": true}),
    );
    assert!(old.contradiction().is_some());
    old.mend();
    assert_eq!(
        (old.outcome, old.contradiction()),
        (Some(Outcome::Cancelled), None)
    );
    let mut skipped = task("skipped", json!({"outcome": "limited", "reasons": ["x"]}));
    skipped.mend();
    assert_eq!((skipped.outcome, skipped.contradiction()), (None, None));
}

#[test]
fn a_completion_passes_through_the_states_that_were_missing() {
    let mut died = task(
        "interrupted",
        json!({"outcome": "done", "reasons": ["a"], "attempts": [{"n": 1}]}),
    );
    let passed = died
        .make(Move::Conclude {
            diverged: Some("moved".to_owned()),
        })
        .unwrap();
    assert_eq!(passed, [Status::Running, Status::Finishing, Status::Failed]);
    assert_eq!((died.outcome, died.reasons.len()), (Some(Outcome::Diverged), 2));
}

#[test]
fn a_person_who_resumes_what_is_not_recovered_loses_no_branch_move() {
    let import = json!({"ref": "refs/heads/x", "old": "1", "new": "2"});
    let dead = json!([{"n": 1, "died": {"began": true, "fresh": true, "open": true}}]);
    let mut held = task(
        "interrupted",
        json!({"hold": "recovery failed", "import": import, "attempts": dead}),
    );
    assert_eq!(held.make(Move::Again(How::Resume)).unwrap(), []);
    assert_eq!((held.hold.is_some(), held.import.is_some()), (false, true));
}
