use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { running: 4 };

fn id(n: u64) -> TaskId {
    TaskId::from_entropy(n)
}

fn task(n: u64, clone: &str) -> Known {
    Known {
        id: id(n),
        status: Status::Queued,
        outcome: None,
        need: None,
        zone: ZoneId::of_branch("main"),
        clone: clone.parse().unwrap(),
        provider: Some(provider("openai/0123")),
        priority: 0,
        seq: n,
        after: Vec::new(),
        parked_until: None,
        limited_until: None,
        attempts: 0,
        on_hold: false,
        generation: 0,
        ours: true,
    }
}

fn provider(name: &str) -> Provider {
    serde_json::from_value(name.into()).unwrap()
}

fn decide(tasks: &[Known]) -> Vec<Decision> {
    decide_with(tasks, &[], &[])
}

fn decide_with(tasks: &[Known], held: &[u64], resting: &[u64]) -> Vec<Decision> {
    let held = held.iter().map(|n| id(*n)).collect();
    let resting = resting.iter().map(|n| id(*n)).collect();
    plan(
        tasks,
        LIMITS,
        Situation {
            held: &held,
            resting: &resting,
            rooms: &BTreeMap::new(),
            now: 1000,
        },
    )
    .decisions
}

fn starts(ids: &[u64]) -> Vec<Decision> {
    ids.iter().map(|n| Decision::Start(id(*n))).collect()
}

#[test]
fn one_task_a_clone_in_order_and_clones_side_by_side() {
    let tasks = [task(3, "a.1"), task(1, "a.1"), task(2, "b.1")];
    assert_eq!(decide(&tasks), starts(&[1, 2]));
    assert_eq!(decide_with(&tasks, &[1], &[]), starts(&[2]));
    assert_eq!(decide_with(&tasks, &[1, 2], &[]), []);
}

#[test]
fn the_same_clone_name_in_two_zones_is_two_clones() {
    let other = Known {
        zone: ZoneId::of_branch("feat"),
        ..task(2, "a.1")
    };
    assert_eq!(decide(&[task(1, "a.1"), other]), starts(&[1, 2]));
}

#[test]
fn priority_goes_before_arrival() {
    let urgent = Known {
        priority: 1,
        ..task(9, "a.1")
    };
    assert_eq!(decide(&[task(1, "a.1"), urgent]), starts(&[9]));
}

#[test]
fn the_limit_holds_and_counts_what_others_started() {
    let tasks: Vec<_> = (1..=9).map(|n| task(n, &format!("a.{n}"))).collect();
    assert_eq!(decide(&tasks), starts(&[1, 2, 3, 4]));
    assert_eq!(decide_with(&tasks, &[1, 2, 3], &[]), starts(&[4]));
    let mut adopted = tasks.clone();
    adopted[8].status = Status::Running;
    let mut expected = vec![Decision::Examine(id(9))];
    expected.extend(starts(&[1, 2, 3]));
    assert_eq!(decide(&adopted), expected);
}

#[test]
fn other_owners_tasks_are_left_alone() {
    let theirs = Known {
        ours: false,
        ..task(1, "a.1")
    };
    let held = HashSet::new();
    let situation = Situation {
        held: &held,
        resting: &held,
        rooms: &BTreeMap::new(),
        now: 0,
    };
    assert_eq!(plan(&[theirs], LIMITS, situation), Plan::default());
}

#[test]
fn after_waits_skips_and_lets_others_pass() {
    let mut second = Known {
        after: vec![id(5)],
        ..task(1, "a.1")
    };
    let mut first = task(5, "a.1");
    assert_eq!(decide(&[second.clone(), first.clone()]), starts(&[5]));
    first.status = Status::Done;
    assert_eq!(decide(&[second.clone(), first.clone()]), starts(&[1]));
    for status in [Status::Failed, Status::Cancelled, Status::Skipped] {
        first.status = status;
        let skip = Decision::Skip {
            task: id(1),
            because: id(5),
        };
        assert_eq!(decide(&[second.clone(), first.clone()]), [skip]);
    }
    second.after = vec![id(77)];
    assert_eq!(
        decide(&[second]),
        [Decision::Skip {
            task: id(1),
            because: id(77)
        }]
    );
}

#[test]
fn parked_tasks_keep_their_place_until_their_time() {
    let parked = Known {
        status: Status::Parked,
        parked_until: Some(1500),
        ..task(1, "a.1")
    };
    let tasks = [parked.clone(), task(2, "a.1")];
    let none = HashSet::new();
    let at = |now| {
        plan(
            &tasks,
            LIMITS,
            Situation {
                held: &none,
                resting: &none,
                rooms: &BTreeMap::new(),
                now,
            },
        )
    };
    assert_eq!(
        at(1000),
        Plan {
            decisions: vec![],
            next: Some(1500),
            pending: true,
            crowded: false
        }
    );
    assert_eq!(at(1500).decisions, [Decision::Unpark(id(1))]);
}

#[test]
fn the_interrupted_go_on_first() {
    let died = Known {
        status: Status::Interrupted,
        attempts: 7,
        ..task(9, "a.1")
    };
    let urgent = Known {
        priority: 5,
        ..task(1, "a.1")
    };
    assert_eq!(decide(&[urgent, died]), starts(&[9]));
}

#[test]
fn what_is_on_hold_keeps_its_clone_and_no_daemon() {
    let held = Known {
        status: Status::Interrupted,
        attempts: 1,
        on_hold: true,
        ..task(1, "a.1")
    };
    assert_eq!(
        decide(&[held.clone(), task(2, "a.1"), task(3, "b.1")]),
        starts(&[3])
    );
    let plan = |parked_until, on_hold| {
        let task = Known {
            parked_until,
            on_hold,
            ..held.clone()
        };
        plan(
            &[task],
            LIMITS,
            Situation {
                held: &HashSet::new(),
                resting: &HashSet::new(),
                rooms: &BTreeMap::new(),
                now: 1000,
            },
        )
    };
    assert!(!plan(None, true).pending);
    let unmended = Known { ..held.clone() };
    assert_eq!(
        decide(&[unmended]),
        [],
        "what cannot be looked after is not tried for ever"
    );
    let resting = plan(Some(1005), false);
    assert_eq!(
        (resting.decisions.len(), resting.next, resting.pending),
        (0, Some(1005), true)
    );
    assert_eq!(plan(Some(1000), false).decisions, starts(&[1]));
}

#[test]
fn a_failed_start_rests_without_losing_its_place() {
    assert_eq!(decide_with(&[task(1, "a.1"), task(2, "a.1")], &[], &[1]), []);
}

#[test]
fn a_limited_provider_parks_its_tasks_and_no_others() {
    let other = Known {
        provider: None,
        ..task(2, "b.1")
    };
    let died = Known {
        status: Status::Interrupted,
        ..task(3, "c.1")
    };
    let tasks = [task(1, "a.1"), other, died];
    let at = |parked_until| with_room(&tasks, room(parked_until, 9, None));
    let park = Decision::Park {
        task: id(1),
        until: 1500,
    };
    assert_eq!(
        at(Some(1500)),
        Plan {
            decisions: vec![park, Decision::Start(id(2))],
            next: Some(1500),
            pending: true,
            crowded: false
        }
    );
    assert_eq!(at(None).decisions, starts(&[3, 1, 2]));
}

fn room(parked_until: Option<i64>, starts: usize, next: Option<i64>) -> Room {
    Room {
        lifted: 0,
        parked_until,
        starts,
        next,
    }
}

fn with_room(tasks: &[Known], room: Room) -> Plan {
    let none = HashSet::new();
    let situation = Situation {
        held: &none,
        resting: &none,
        rooms: &BTreeMap::from([(provider("openai/0123"), room)]),
        now: 1000,
    };
    plan(tasks, LIMITS, situation)
}

#[test]
fn a_full_provider_lets_others_pass_and_is_asked_again() {
    let mut tasks: Vec<_> = (1..=3).map(|n| task(n, &format!("a.{n}"))).collect();
    tasks.push(Known {
        provider: None,
        ..task(9, "b.1")
    });
    let two = with_room(&tasks, room(None, 2, None));
    assert_eq!((two.decisions, two.crowded), (starts(&[1, 2, 9]), true));
    let minute = with_room(&tasks, room(None, 0, Some(1030)));
    assert_eq!(
        (minute.decisions, minute.next, minute.crowded),
        (starts(&[9]), Some(1030), false)
    );
}

#[test]
fn a_limit_without_a_reset_is_backed_off_and_a_reset_that_has_passed_is_over() {
    let parked = |parked_until, outcome| Known {
        status: Status::Parked,
        outcome,
        parked_until,
        ..task(1, "a.1")
    };
    let limited = Some(Outcome::Limited);
    assert_eq!(decide(&[parked(None, limited)]), [Decision::BackOff(id(1))]);
    assert_eq!(decide(&[parked(Some(900), limited)]), [Decision::Unpark(id(1))]);
    assert_eq!(decide(&[parked(Some(1001), limited)]), []);
    assert_eq!(decide(&[parked(None, None)]), [Decision::Unpark(id(1))]);
}

proptest! {
    #[test]
    fn never_two_of_a_clone_never_over_the_limit(
        shapes in proptest::collection::vec((0_usize..11, 1_u32..5, -2_i32..3), 0..60),
        held in proptest::collection::hash_set(0_u64..60, 0..6),
    ) {
        const ALL: [Status; 11] = [
            Status::Queued, Status::Parked, Status::Running, Status::Finishing, Status::Paused,
            Status::Cancelling, Status::Interrupted, Status::Done, Status::Failed, Status::Cancelled,
            Status::Skipped,
        ];
        let tasks: Vec<Known> = shapes.iter().zip(0..).map(|(&(status, clone, priority), n)| Known {
            status: ALL[status], priority, ..task(n, &format!("a.{clone}"))
        }).collect();
        let held: HashSet<TaskId> = held.into_iter().map(id).collect();
        let none = HashSet::new();
        let plan = plan(&tasks, LIMITS, Situation { held: &held, resting: &none, rooms: &BTreeMap::new(), now: 0 });
        let by_id: HashMap<_, _> = tasks.iter().map(|task| (task.id.clone(), task)).collect();
        let mut lines = HashSet::new();
        for task in tasks.iter().filter(|task| task.status.is_active() || held.contains(&task.id)) {
            if !task.status.is_over() {
                lines.insert(task.clone.clone());
            }
        }
        let mut count = held.len();
        for decision in &plan.decisions {
            if let Decision::Start(task) = decision {
                count += 1;
                prop_assert!(lines.insert(by_id[task].clone.clone()), "two at once in a clone");
            }
        }
        prop_assert!(count <= LIMITS.running.max(held.len()));
    }
}
