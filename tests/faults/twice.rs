//! Recovery that is struck itself, twice: it is tried again until it comes to its end, and no task waits for a person.

use std::sync::Mutex;

use git_khlone::{refs::now, task::Status};

use crate::{
    inject::{Fault, Place, places},
    oracle::{Journal, gather, judge},
    rig::Rig,
    sweep::{in_parallel, shuffle},
    tools::has,
    transitions::transition,
    verbs::{Scene, Verb},
};

/// Faults for each verb and kind; `KHLONE_TWICE` wants another number.
const SHORT: usize = 3;

fn wanted() -> usize {
    let set = std::env::var("KHLONE_TWICE").ok();
    set.and_then(|set| set.parse().ok()).unwrap_or(SHORT)
}

/// Strikes at `place` in two recoveries in a row, and lets a daemon finish; gives what is wrong then.
fn strike_twice(rig: &Rig, scene: &Scene, place: &Place) -> Vec<String> {
    rig.restore();
    let mut journal = scene.journal.clone();
    for _ in 0..2 {
        let (struck, _) = scene.strike(rig, Some(place), &mut journal);
        if !struck.hit {
            break;
        }
    }
    let mut wrong = scene.again(rig);
    rig.stop();
    let held = std::mem::take(&mut *rig.held.lock().unwrap());
    wrong.extend(held.into_iter().map(|why| format!("a person was asked: {why}")));
    wrong.extend(judge(&journal, &gather(rig, scene.untouched.as_ref())));
    wrong
}

#[test]
fn a_recovery_that_is_struck_twice_asks_nobody() {
    if !has("strace") {
        return;
    }
    let wrong = Mutex::new(Vec::new());
    let verbs = vec![Verb::Recover, Verb::CancelDead, Verb::Complete];
    in_parallel(verbs, |verb| {
        let rig = Rig::new();
        let scene = Scene::set(&rig, verb);
        let (calm, _) = scene.strike(&rig, None, &mut Journal::default());
        rig.stop();
        for fault in [
            Fault::Kill,
            Fault::KillAny,
            Fault::Full,
            Fault::Quota,
            Fault::Broken,
        ] {
            let mut found = places(&calm, &[fault]);
            let at = |passed: usize| {
                let passed = &calm.passed[..passed.min(calm.passed.len())];
                transition(verb, scene.task.as_ref(), passed)
            };
            // After that the next attempt is under way.
            found.retain(|(_, passed)| verb != Verb::Recover || at(*passed) == "recover");
            shuffle(&mut found, 7);
            for (place, _) in found.into_iter().take(wanted()) {
                let found = strike_twice(&rig, &scene, &place);
                let found = found.into_iter().map(|what| format!("{verb:?} {place}: {what}"));
                wrong.lock().unwrap().extend(found);
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the disk is full, and where the user's quota is used up: the same is done, and the cause is told.
#[test]
fn a_recovery_that_is_struck_again_and_again_pauses_longer_each_time() {
    if !has("strace") {
        return;
    }
    let causes = [(Fault::Full, "No space left"), (Fault::Quota, "quota exceeded")];
    in_parallel(causes.into(), |(fault, words)| {
        let rig = Rig::new();
        let scene = Scene::set(&rig, Verb::Recover);
        let (calm, _) = scene.strike(&rig, None, &mut Journal::default());
        rig.stop();
        rig.restore();
        let mut pauses = Vec::new();
        let mut found = places(&calm, &[fault]);
        found.retain(|(_, passed)| {
            let passed = &calm.passed[..(*passed).min(calm.passed.len())];
            transition(Verb::Recover, scene.task.as_ref(), passed) == "recover"
        });
        shuffle(&mut found, 7);
        for (place, _) in found {
            let before = now();
            scene.strike(&rig, Some(&place), &mut Journal::default());
            let task = rig.task(scene.task.as_ref().unwrap());
            assert_eq!(task.hold, None, "{place}: {task:?}");
            let Some(retry) = task.recovery().filter(|retry| !retry.reason.is_empty()) else {
                // It came to its end for all that, or could not write down why not.
                if task.status != Status::Interrupted {
                    rig.stop();
                    rig.restore();
                    pauses.clear();
                }
                continue;
            };
            assert!(
                retry.reason.to_lowercase().contains(&words.to_lowercase()),
                "{place}: {retry:?}"
            );
            let least = 4_i64.pow(retry.tries - 1).min(600);
            assert!(
                (before + least..=now() + least).contains(&retry.until),
                "{place}: {retry:?}"
            );
            pauses.push(least);
            if pauses.len() == 2 {
                break;
            }
        }
        rig.stop();
        assert!(
            pauses.is_sorted_by(|a, b| a < b) && pauses.len() == 2,
            "{fault}: {pauses:?}"
        );
    });
}
