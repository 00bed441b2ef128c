//! The reconciler: look at the ledger, decide, act, wait for a reason to look again.
//!
//! Reasons are a wake, an ended runner, a changed ref, a time that was waited for, and a coarse tick for whatever
//! was missed. Nothing is remembered that the next daemon could not find out.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Code, RpcError,
    plan::{Decision, Known, Limits, Plan, Situation, plan},
    ref_watch::RefWatch,
    runners::{Exit, Runners},
    shared::{Shared, Table},
    store::Step,
};
use crate::task::{Event, Outcome, TaskId};

/// A look at the ledger is never further away than this.
const TICK: Duration = Duration::from_secs(30);
/// How often the locks of adopted runners are looked at: they are nobody's children here.
const ADOPTED_TICK: Duration = Duration::from_millis(500);
/// A look takes its time; the next one keeps this distance at least.
const MIN_DISTANCE: Duration = Duration::from_millis(5);

/// The reconciler of one site.
pub(crate) struct Engine {
    pub(crate) shared: Rc<Shared>,
    pub(crate) limits: Limits,
    pub(crate) runners: Runners,
    pub(crate) ended: mpsc::UnboundedReceiver<Exit>,
    pub(crate) refs: RefWatch,
    /// How long the daemon stays without work.
    pub(crate) idle: Duration,
}

/// What a round left to wait for.
struct Outlook {
    /// When to look again.
    at: Instant,
    /// Whether any task of ours is not over.
    pending: bool,
}

impl Engine {
    /// Runs until the daemon is told to stop or has been idle for long enough.
    pub(crate) async fn run(&mut self) {
        let mut stopping = self.shared.stopping.subscribe();
        loop {
            let began = Instant::now();
            let outlook = self.round().await;
            if self.shared.is_stopping() {
                return;
            }
            let idle_at = self.idle_exit(&outlook);
            if idle_at.is_some_and(|at| at <= Instant::now()) {
                tracing::info!("idle, leaving");
                return;
            }
            let until = idle_at.map_or(outlook.at, |at| at.min(outlook.at));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = self.refs.changed() => {}
                () = tokio::time::sleep_until(until) => {}
                exit = self.ended.recv() => self.note(exit).await,
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            // Many changes in a row are one look; a slow ledger is not looked at without pause.
            tokio::time::sleep(MIN_DISTANCE.max((Instant::now() - began).min(MIN_DISTANCE * 20) / 4)).await;
        }
    }

    /// The look after the socket is gone: whoever reached the daemon has written the ledger before. Gives whether
    /// there is work after all.
    pub(crate) async fn last_look(&mut self) -> bool {
        self.round().await.pending
    }

    /// When the daemon leaves for lack of work; `None` while there is some.
    fn idle_exit(&self, outlook: &Outlook) -> Option<Instant> {
        let busy = outlook.pending || !self.runners.held().is_empty() || self.shared.connections.get() > 0;
        (!busy).then(|| self.shared.active.get() + self.idle)
    }

    /// Takes note of ended runners: what became of a task is in the ledger, so look before judging.
    async fn note(&mut self, exit: Option<Exit>) {
        let Some(exit) = exit else { return };
        if let Ok(tasks) = self.scan().await {
            self.runners.ended(&exit, &tasks);
            while let Ok(exit) = self.ended.try_recv() {
                self.runners.ended(&exit, &tasks);
            }
        }
    }

    async fn scan(&self) -> Result<Vec<Known>, RpcError> {
        self.shared.keeper.with(|store| store.scan()).await?
    }

    async fn round(&mut self) -> Outlook {
        loop {
            let tasks = match self.scan().await {
                Ok(tasks) => tasks,
                Err(error) => {
                    tracing::warn!(%error, "the ledger cannot be read");
                    self.shared.table.send_modify(|table| {
                        *table = Arc::new(Table {
                            problem: Some(error.message),
                            ..Table::default()
                        });
                    });
                    return Outlook {
                        at: Instant::now() + Duration::from_secs(2),
                        pending: true,
                    };
                }
            };
            self.release_the_dead(&tasks).await;
            let (held, resting) = (self.runners.held(), self.runners.resting());
            let plan = plan(
                &tasks,
                self.limits,
                Situation {
                    held: &held,
                    resting: &resting,
                    now: now(),
                },
            );
            let moved = self.follow(&plan, &tasks).await;
            let pending = plan.pending;
            let at = self.next_look(&plan);
            self.publish(tasks);
            if !moved || self.shared.is_stopping() {
                return Outlook { at, pending };
            }
        }
    }

    /// Does what the plan says; gives whether the ledger is another one now.
    async fn follow(&mut self, plan: &Plan, tasks: &[Known]) -> bool {
        let mut moved = false;
        for decision in &plan.decisions {
            moved |= match decision {
                Decision::Start(task) => {
                    if let Some(known) = find(tasks, task) {
                        self.runners.start(known);
                    }
                    false
                }
                Decision::Examine(task) => self.examine(task, tasks).await,
                Decision::Unpark(task) => self.apply(task, Event::Unpark, None, "its time has come").await,
                Decision::Skip { task, because } => {
                    let reason = format!("{because}, which it waits for, was not done");
                    self.apply(task, Event::Skip, None, &reason).await
                }
                Decision::GiveUp(task) => {
                    let reason = format!("died in {} attempts", self.limits.attempts);
                    self.apply(task, Event::Fail, Some(Outcome::Crashed), &reason)
                        .await
                }
            };
        }
        for task in self.runners.hopeless() {
            let reason = "its runner cannot be started; see `git khlone daemon logs`";
            moved |= self
                .apply(&task, Event::Fail, Some(Outcome::Crashed), reason)
                .await;
        }
        moved
    }

    /// A task that should have a runner and has none of ours: another daemon's, or it died.
    async fn examine(&mut self, task: &TaskId, tasks: &[Known]) -> bool {
        let Some(known) = find(tasks, task) else {
            return false;
        };
        if self.is_attempt_held(known).await {
            self.runners.adopt(task);
            return false;
        }
        self.apply(task, Event::Die, None, "its runner died").await
    }

    async fn release_the_dead(&mut self, tasks: &[Known]) {
        let adopted: Vec<TaskId> = self.runners.adopted().cloned().collect();
        for task in adopted {
            let held = match find(tasks, &task) {
                Some(known) => self.is_attempt_held(known).await,
                None => false,
            };
            if !held {
                self.runners.release(&task);
            }
        }
    }

    async fn is_attempt_held(&self, known: &Known) -> bool {
        let known = known.clone();
        // When in doubt it lives: a second runner is worse than a late one.
        self.shared
            .keeper
            .with(move |store| store.is_attempt_held(&known))
            .await
            .unwrap_or(true)
    }

    async fn apply(&self, task: &TaskId, event: Event, outcome: Option<Outcome>, reason: &str) -> bool {
        let (id, step) = (
            task.clone(),
            Step {
                event,
                outcome,
                reason: reason.to_owned(),
            },
        );
        tracing::info!(%task, %event, reason, "move");
        match self
            .shared
            .keeper
            .with(move |store| store.apply(&id, step))
            .await
            .and_then(|done| done)
        {
            Ok(()) => true,
            // It has moved on by itself; the next look tells.
            Err(error) if error.code == Code::IllegalMove.number() => false,
            Err(error) => {
                tracing::warn!(%task, %error, "the ledger cannot be written");
                false
            }
        }
    }

    fn next_look(&self, plan: &Plan) -> Instant {
        let now_wall = now();
        let parked = plan.next.map(|until| {
            Instant::now() + Duration::from_secs(u64::try_from(until - now_wall).unwrap_or(0).max(1))
        });
        let adopted = self.runners.has_adopted().then(|| Instant::now() + ADOPTED_TICK);
        let tick = Instant::now() + TICK;
        [parked, adopted, self.runners.next_start()]
            .into_iter()
            .flatten()
            .fold(tick, Instant::min)
    }

    fn publish(&self, tasks: Vec<Known>) {
        let held = self.runners.held().into_iter().collect();
        let new = Table {
            tasks,
            held,
            problem: None,
        };
        self.shared.table.send_if_modified(|table| {
            let changed = table.tasks != new.tasks || table.held.len() != new.held.len();
            *table = Arc::new(new);
            changed
        });
    }
}

fn find<'a>(tasks: &'a [Known], id: &TaskId) -> Option<&'a Known> {
    tasks.iter().find(|known| known.id == *id)
}

/// Seconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
