//! The reconciler over a ledger in memory and a clock that is set by hand.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::LocalSet,
};

use super::*;
use crate::{
    config::Config,
    daemon::{
        events::changes::Stood,
        schedule::{
            keeper::Keeper,
            runners::Launcher,
            settings::{InForce, Limits},
        },
        server::{again::AgainParams, enqueue::EnqueueParams, reading::Reading},
    },
    task::{Event, How, Outcome, Status, ZoneId},
    upkeep::retention::Keep,
    zone::Caller,
};

static CLOCK: AtomicI64 = AtomicI64::new(1000);

/// A ledger in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    tasks: Vec<Known>,
    /// Until when finished tasks were looked through.
    retained: Vec<i64>,
    /// Whether looks fail.
    fails: bool,
}

impl Memory {
    fn task(&self) -> Known {
        self.0.lock().unwrap().tasks[0].clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap().tasks[0]);
    }
}

impl Store for Memory {
    fn scan(&mut self) -> Result<Vec<Arc<Known>>, RpcError> {
        let memory = self.0.lock().unwrap();
        if memory.fails {
            return Err(RpcError::new(Code::Failed, "no"));
        }
        Ok(memory.tasks.iter().cloned().map(Arc::new).collect())
    }

    fn look(&mut self) -> Result<Stood, RpcError> {
        Ok(Stood::of(&[], &[]))
    }

    fn limits(&mut self) -> Option<InForce> {
        None
    }

    fn list(&mut self, _most: usize) -> Result<Vec<Value>, RpcError> {
        Ok(Vec::new())
    }

    fn show(&mut self, _id: &TaskId) -> Result<Value, RpcError> {
        Ok(Value::Null)
    }

    fn find(&mut self, _id: &TaskId) -> Result<Known, RpcError> {
        Ok(self.task())
    }

    fn enqueue(&mut self, _params: &EnqueueParams, _by: Caller) -> Result<Value, RpcError> {
        Ok(Value::Null)
    }

    fn again(&mut self, _params: &AgainParams, _how: How) -> Result<Value, RpcError> {
        Ok(Value::Null)
    }

    fn cancel(&mut self, _id: &TaskId) -> Result<(), RpcError> {
        Ok(())
    }

    fn urge(&mut self, _id: &TaskId) -> Result<(), RpcError> {
        Ok(())
    }

    fn apply(&mut self, _id: &TaskId, step: Step) -> Result<(), RpcError> {
        self.change(|task| {
            let (event, outcome, until) = match step.to {
                Move::Park { until, .. } => (Event::Park, Some(Outcome::Limited), until),
                Move::Unpark => (Event::Unpark, None, None),
                Move::Skip { .. } => (Event::Skip, None, None),
                Move::Die => (Event::Die, task.outcome, None),
                Move::Fail { outcome, .. } => (Event::Fail, Some(outcome), None),
                other => panic!("no daemon makes {other:?}"),
            };
            task.status = task.status.next(event).unwrap();
            task.outcome = outcome;
            task.parked_until = until;
        });
        Ok(())
    }

    fn park_until(&mut self, _id: &TaskId, until: i64) -> Result<(), RpcError> {
        self.change(|task| task.parked_until = Some(until));
        Ok(())
    }

    fn retain(&mut self, _keep: Keep, now: i64, _from: usize) -> Result<Option<usize>, RpcError> {
        self.0.lock().unwrap().retained.push(now);
        Ok(None)
    }

    fn is_attempt_held(&mut self, _known: &Known) -> bool {
        false
    }
}

/// A daemon of `memory`, as it is after a start. Its runners end at once and claim nothing.
fn engine(memory: &Memory, dir: &std::path::Path) -> Engine {
    std::fs::create_dir_all(dir.join("khlone")).unwrap();
    let place = Place::new(dir).unwrap();
    let store = memory.clone();
    let shared = Rc::new(Shared {
        record: place.write_record(dir.join("socket")).unwrap(),
        keeper: Keeper::start(move || Ok(Box::new(store) as _)).unwrap(),
        table: watch::Sender::new(Arc::new(Table::default())),
        seen: watch::Sender::new(None),
        reading: Reading::new(|_, _, _| None, dir),
        wake: Notify::new(),
        stopping: watch::Sender::new(false),
        attendants: None,
        connections: Cell::new(0),
        active: Cell::new(Instant::now()),
        requests: Cell::new(0),
        attempts: place.attempts(),
        limits: Cell::new(Limits::of(&Config::default())),
        watchers: RefCell::default(),
        started: Instant::now(),
        troubles: RefCell::default(),
    });
    let machine = Machine::new(&dir.join("home")).unwrap();
    let (runners, ended) = Runners::new(Launcher {
        program: "true".into(),
        common: dir.to_owned(),
        machine: Some(machine.clone()),
    });
    Engine {
        shared,
        runners,
        ended,
        refs: RefWatch::new(dir),
        machine: Some(machine),
        idle: None,
        notices: Notices::start(&place, dir.join("config.yml")),
        crowded: false,
        upkeep: Upkeep::new(dir),
        place,
        lock: None,
        exits: Vec::new(),
        beaten: None,
        retained: None,
        retaining: 0,
        rates: Rates::new(),
        clock: || CLOCK.load(Ordering::Relaxed),
    }
}

fn limited() -> Known {
    Known {
        id: TaskId::from_entropy(1),
        need: None,
        status: Status::Parked,
        outcome: Some(Outcome::Limited),
        zone: ZoneId::of_branch("main"),
        clone: "foreman.1".parse().unwrap(),
        provider: Some(serde_json::from_str("\"openai/0123\"").unwrap()),
        priority: 0,
        seq: 1,
        after: Vec::new(),
        parked_until: None,
        limited_until: None,
        attempts: 1,
        generation: 1,
        on_hold: false,
        ours: true,
    }
}

#[test]
fn a_limit_is_waited_for_by_the_clock_and_over_a_restart_and_old_tasks_are_looked_through_when_idle() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::default();
    memory.0.lock().unwrap().tasks.push(limited());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut first = engine(&memory, dir.path());
        first.round().await;
        assert_eq!(
            (memory.task().status, memory.task().parked_until),
            (Status::Parked, Some(1030))
        );
        // The next daemon knows no more than the ledger, and the clock has gone on.
        let mut second = engine(&memory, dir.path());
        CLOCK.store(1029, Ordering::Relaxed);
        second.round().await;
        assert_eq!(memory.task().status, Status::Parked);
        CLOCK.store(1030, Ordering::Relaxed);
        second.round().await;
        assert_eq!(
            (memory.task().status, memory.task().outcome),
            (Status::Queued, None)
        );
        assert!(
            second.runners.held().contains(&memory.task().id),
            "it starts by itself"
        );
        // The same limit again, soon after: the pause doubles.
        let mut third = engine(&memory, dir.path());
        memory.change(|task| *task = limited());
        third.round().await;
        assert_eq!(memory.task().parked_until, Some(1030 + 60));
        memory.change(|task| task.status = Status::Done);
        assert!(!third.round().await.pending);
        third.retain().await;
        assert_eq!(memory.0.lock().unwrap().retained, [1030]);
    });
}

#[test]
fn an_ended_runner_is_known_to_have_ended_though_the_ledger_cannot_be_read_in_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::default();
    let queued = Known {
        status: Status::Queued,
        outcome: None,
        provider: None,
        ..limited()
    };
    memory.0.lock().unwrap().tasks.push(queued);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut engine = engine(&memory, dir.path());
        engine.round().await;
        assert!(engine.runners.held().contains(&memory.task().id));
        let exit = engine.ended.recv().await;
        engine.exits.extend(exit);
        memory.0.lock().unwrap().fails = true;
        assert!(engine.round().await.pending);
        assert!(engine.shared.problem().is_some());
        memory.0.lock().unwrap().fails = false;
        engine.round().await;
        assert!(engine.runners.held().is_empty() && engine.exits.is_empty());
        assert_eq!(engine.shared.problem(), None);
        assert!(
            engine.runners.next_start().is_some(),
            "it claimed nothing and is tried again"
        );
    });
}
