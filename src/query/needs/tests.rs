use std::convert::Infallible;

use serde_json::{Value, json};

use super::*;

/// Tasks by number that are on hold, have work, and have work that has not landed.
#[derive(Default)]
struct Told {
    held: Vec<u64>,
    work: Vec<u64>,
    unlanded: Vec<u64>,
}

impl Look for Told {
    type Error = Infallible;

    fn is_on_hold(&mut self, head: &TaskHead) -> Result<bool, Infallible> {
        Ok(self.held.contains(&head.seq))
    }

    fn is_unlanded(&mut self, head: &TaskHead) -> Result<bool, Infallible> {
        Ok(self.unlanded.contains(&head.seq))
    }

    fn has_work(&mut self, head: &TaskHead) -> Result<bool, Infallible> {
        Ok(self.work.contains(&head.seq))
    }
}

fn id(n: u64) -> TaskId {
    TaskId::from_entropy(n)
}

/// Task `n`, dispatched when all before it were over, ended at second `n`.
fn head(n: u64, status: &str, outcome: Option<&str>, more: Value) -> TaskHead {
    let mut document = json!({
        "id": id(n), "status": status, "outcome": outcome, "mode": "act", "zone": "main", "clone": "foreman.1",
        "seq": n, "priority": 0, "updated": n, "site_uuid": "s", "title": "x", "follows": n,
    });
    let object = document.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

fn question(n: u64, more: Value) -> TaskHead {
    let mut head = head(n, "done", Some("no-op"), more);
    head.question = Some("Which?".to_owned());
    head
}

fn failed(n: u64, more: Value) -> TaskHead {
    head(n, "failed", Some("failed"), more)
}

fn done(n: u64, more: Value) -> TaskHead {
    head(n, "done", Some("done"), more)
}

fn listed(heads: &[TaskHead], mut told: Told) -> Vec<u64> {
    let Ok(needs) = needs(heads, &mut told);
    needs.iter().map(|needed| needed.head.seq).collect()
}

/// A clone of its own for each task.
fn of(clone: &str) -> Value {
    json!({ "clone": clone })
}

#[test]
fn the_order_is_blocked_failed_questions_work() {
    let heads = [
        done(1, of("foreman.1")),
        question(2, of("foreman.2")),
        failed(3, of("foreman.3")),
        failed(4, of("foreman.4")),
        head(5, "failed", Some("denied"), of("foreman.5")),
        head(6, "interrupted", None, of("foreman.6")),
        head(7, "queued", None, of("foreman.6")),
        head(8, "done", Some("no-op"), of("foreman.8")),
        head(9, "running", None, of("foreman.9")),
    ];
    let told = Told {
        held: vec![6],
        unlanded: vec![1],
        ..Told::default()
    };
    // What keeps another from its turn comes first, then the newest.
    assert_eq!(listed(&heads, told), [6, 5, 4, 3, 2, 1]);
}

#[test]
fn a_question_leaves_when_it_is_answered_dismissed_or_its_clone_goes_on() {
    let none = json!({});
    let asked = || question(1, json!({}));
    assert_eq!(listed(&[asked()], Told::default()), [1]);
    let answer = json!({"reply_to": id(1), "follows": 0});
    assert!(
        listed(
            &[asked(), head(2, "queued", None, answer.clone())],
            Told::default()
        )
        .is_empty()
    );
    // A reply that was called off is none.
    assert_eq!(
        listed(&[asked(), head(2, "cancelled", None, answer)], Told::default()),
        [1]
    );
    assert!(listed(&[asked(), head(2, "queued", None, none)], Told::default()).is_empty());
    // One that was queued before it was asked, or is another clone's, says nothing of it.
    for other in [json!({"follows": 1}), of("foreman.2"), json!({"zone": "other"})] {
        assert_eq!(
            listed(
                &[asked(), head(2, "queued", None, other.clone())],
                Told::default()
            ),
            [1],
            "{other}"
        );
    }
    let dismissed = question(1, json!({"dismissed": true}));
    assert!(listed(&[dismissed], Told::default()).is_empty());
}

#[test]
fn a_failure_stays_until_its_clone_has_done_something_since() {
    let failed = || failed(1, json!({}));
    assert_eq!(
        listed(&[failed(), head(2, "queued", None, json!({}))], Told::default()),
        [1]
    );
    assert!(listed(&[failed(), done(2, json!({}))], Told::default()).is_empty());
    // Queued in one go: nobody had seen the failure.
    assert_eq!(
        listed(&[failed(), done(2, json!({"follows": 1}))], Told::default()),
        [1]
    );
    // Tried again after the other was done, and failed again.
    let again = super::tests::failed(1, json!({"updated": 9}));
    assert_eq!(listed(&[again, done(2, json!({}))], Told::default()), [1]);
    // Its work has landed.
    let told = |unlanded| Told {
        work: vec![1],
        unlanded,
        ..Told::default()
    };
    assert!(listed(&[failed()], told(vec![])).is_empty());
    assert_eq!(listed(&[failed()], told(vec![1])), [1]);
}

#[test]
fn answers_and_landed_work_need_nobody() {
    let told = || Told {
        unlanded: vec![1],
        ..Told::default()
    };
    let mut answer = done(1, json!({}));
    assert_eq!(listed(std::slice::from_ref(&answer), told()), [1]);
    assert!(listed(std::slice::from_ref(&answer), Told::default()).is_empty());
    answer.mode = crate::task::Mode::Ask;
    assert!(listed(&[answer], told()).is_empty());
    let nothing = head(1, "done", Some("no-op"), json!({}));
    assert!(listed(&[nothing], told()).is_empty());
}
