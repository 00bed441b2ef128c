//! The reconciler: look at the ledger, decide, act, wait for a reason to look again.
//!
//! Reasons are a wake, an ended runner, a changed ref, a time that was waited for, and a coarse tick for whatever
//! was missed. Nothing is remembered that the next daemon could not find out.

use std::{rc::Rc, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    machine::{Bounds, Machine},
    notices::Notices,
    plan::{Decision, Known, Plan, Situation, find, plan},
    providers::Rates,
    ref_watch::RefWatch,
    runners::{Exit, Runners, Start},
    store::{Step, Store},
};
use crate::{
    daemon::{
        Code, Place, RpcError,
        events::changes::Stood,
        life::{lock::DaemonLock, upkeep::Upkeep},
        server::with_limit,
        shared::{Part, Shared, Table},
    },
    task::{Move, TaskId},
};

/// A look at the ledger is never further away than this.
const TICK: Duration = Duration::from_secs(30);
/// How often to look at what tells nobody: adopted runners, and other sites' places on the machine.
const POLL: Duration = Duration::from_millis(500);
/// How often a sign of life is left, at most; at least with each look.
const BEAT: Duration = Duration::from_secs(5);
/// How often finished tasks are looked through, in idle times.
const RETENTION: Duration = Duration::from_secs(3600);
/// A look takes its time; the next one keeps this distance at least.
const MIN_DISTANCE: Duration = Duration::from_millis(5);

/// The reconciler of one site.
pub(crate) struct Engine {
    pub(crate) shared: Rc<Shared>,
    pub(crate) runners: Runners,
    pub(crate) ended: mpsc::UnboundedReceiver<Exit>,
    pub(crate) refs: RefWatch,
    pub(crate) machine: Option<Machine>,
    /// How long the daemon stays without work, where its starter said so.
    pub(crate) idle: Option<Duration>,
    pub(crate) notices: Notices,
    /// Whether a task waits for a place on the machine.
    pub(crate) crowded: bool,
    pub(crate) place: Place,
    /// What makes this the site's daemon.
    pub(crate) lock: Option<Rc<DaemonLock>>,
    /// Ended runners of whose tasks nothing is known yet.
    pub(crate) exits: Vec<Exit>,
    pub(crate) upkeep: Upkeep,
    /// When the last sign of life was left, and what was in it.
    pub(crate) beaten: Option<(Instant, Option<String>)>,
    /// When all finished tasks had been looked through.
    pub(crate) retained: Option<Instant>,
    /// How far that has come.
    pub(crate) retaining: usize,
    /// What the user lets us ask of providers.
    pub(crate) rates: Rates,
    /// Seconds since the epoch: resets are told by the wall clock.
    pub(crate) clock: fn() -> i64,
}

/// What a round left to wait for.
struct Outlook {
    /// When to look again.
    at: Instant,
    /// Whether any task of ours is not over.
    pending: bool,
}

mod leaving;
mod limits;

impl Engine {
    /// Runs until the daemon is told to stop or has been idle for long enough.
    pub(crate) async fn run(&mut self) {
        let mut stopping = self.shared.stopping.subscribe();
        loop {
            let began = Instant::now();
            if self.place.is_gone() || self.is_ousted() {
                return self.shared.stop();
            }
            self.beat(began);
            let outlook = self.round().await;
            if self.shared.is_stopping() {
                return;
            }
            if !outlook.pending && self.retained.is_none_or(|at| at.elapsed() > RETENTION) {
                self.retain().await;
                continue;
            }
            self.upkeep.begin();
            let idle_at = self.idle_exit(&outlook);
            if idle_at.is_some_and(|at| at <= Instant::now()) {
                // What was left to do for it is done first; a call that comes meanwhile is heard after.
                if self.upkeep.begin_now() {
                    tokio::select! {
                        () = self.upkeep.done() => {}
                        _ = stopping.wait_for(|stop| *stop) => return,
                    }
                    continue;
                }
                tracing::info!("idle, leaving");
                return;
            }
            let until = idle_at.map_or(outlook.at, |at| at.min(outlook.at));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = self.refs.changed() => {}
                () = tokio::time::sleep_until(until) => {}
                exit = self.ended.recv() => self.exits.extend(exit),
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            // Many changes in a row are one look; a slow ledger is not looked at without pause.
            tokio::time::sleep(MIN_DISTANCE.max((Instant::now() - began).min(MIN_DISTANCE * 20) / 4)).await;
        }
    }

    /// Leaves a sign of life now and then; whoever gets no answer says how old the last one is.
    fn beat(&mut self, now: Instant) {
        let problem = self.shared.problem();
        if self
            .beaten
            .as_ref()
            .is_some_and(|(at, told)| now - *at < BEAT && *told == problem)
        {
            return;
        }
        if let Err(error) = self.place.beat(problem.as_deref()) {
            tracing::debug!(%error, "no sign of life");
        }
        self.beaten = Some((now, problem));
    }

    /// Drops some of what need not be kept any longer.
    async fn retain(&mut self) {
        let (keep, now, from) = (self.shared.limits.get().keep, (self.clock)(), self.retaining);
        let next = self
            .shared
            .keeper
            .with(move |store| store.retain(keep, now, from))
            .await;
        let next = next.and_then(|next| next).unwrap_or_else(|error| {
            tracing::warn!(%error, "finished tasks are not dropped");
            None
        });
        self.retaining = next.unwrap_or(0);
        if next.is_none() {
            self.retained = Some(Instant::now());
        }
    }

    /// Judges ended runners by what became of their tasks: `tasks` were looked at after.
    fn judge_exits(&mut self, tasks: &[Arc<Known>]) {
        for exit in self.exits.drain(..) {
            self.runners.ended(&exit, tasks);
            self.upkeep.ask();
        }
    }

    async fn scan(&mut self) -> Result<(Vec<Arc<Known>>, Stood), RpcError> {
        let look = |store: &mut dyn Store| (store.limits(), store.scan(), store.look());
        let (limits, tasks, seen) = self.shared.keeper.with(look).await?;
        if let Some(in_force) = limits {
            self.shared.limits.set(in_force.limits);
            self.rates = in_force.rates;
        }
        Ok((tasks?, seen?))
    }

    async fn round(&mut self) -> Outlook {
        loop {
            while let Ok(exit) = self.ended.try_recv() {
                self.exits.push(exit);
            }
            let (tasks, seen) = match self.scan().await {
                Ok(found) => found,
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
            self.judge_exits(&tasks);
            self.release_the_dead(&tasks).await;
            let (held, resting) = (self.runners.held(), self.runners.resting());
            let rooms = self.rooms(&tasks).await;
            let plan = plan(
                &tasks,
                self.shared.limits.get().plan,
                Situation {
                    held: &held,
                    resting: &resting,
                    rooms: &rooms,
                    now: (self.clock)(),
                },
            );
            let moved = self.follow(&plan, &tasks).await;
            let pending = plan.pending;
            let at = self.next_look(&plan);
            self.publish(tasks, seen);
            if !moved || self.shared.is_stopping() {
                return Outlook { at, pending };
            }
        }
    }

    /// Does what the plan says; gives whether the ledger is another one now.
    async fn follow(&mut self, plan: &Plan, tasks: &[Arc<Known>]) -> bool {
        let mut moved = false;
        self.crowded = plan.crowded;
        for decision in &plan.decisions {
            moved |= match decision {
                Decision::Start(task) => self.start(task, tasks).await,
                Decision::Examine(task) => self.examine(task, tasks).await,
                Decision::Park { task, until } => self.park(task, *until, tasks).await,
                Decision::BackOff(task) => self.back_off(task, tasks).await,
                Decision::Unpark(task) => {
                    self.apply(task, Step::of(Move::Unpark, "its time has come"))
                        .await
                }
                Decision::Skip { task, because } => {
                    let reason = format!("{because}, which it waits for, was not done");
                    let why = reason.clone();
                    self.apply(task, Step::of(Move::Skip { why }, reason)).await
                }
                Decision::Urge(task) => {
                    let id = task.clone();
                    let told = self.shared.keeper.with(move |store| store.urge(&id)).await;
                    tracing::debug!(%task, ?told, "is being stopped");
                    false
                }
            };
        }
        for task in self.runners.hopeless() {
            let reason = "its runner cannot be started; see `git khlone daemon logs`";
            moved |= self.apply(&task, Step::crash(reason)).await;
        }
        moved
    }

    /// Starts a runner, which then moves its task by itself.
    async fn start(&mut self, task: &TaskId, tasks: &[Arc<Known>]) -> bool {
        let Some(known) = find(tasks, task) else {
            return false;
        };
        let bounds = self.bounds(self.shared.limits.get().plan.running);
        let trouble = match self.runners.start(known, bounds).await {
            Start::Done => None,
            Start::NoPlace => {
                self.crowded = true;
                return false;
            }
            Start::Failed(error) => Some(format!("runners cannot be started: {}", with_limit(&error))),
        };
        self.shared.trouble(Part::Runners, trouble);
        false
    }

    fn bounds(&self, most: usize) -> Bounds {
        Bounds {
            most,
            rates: self.rates.clone(),
            now: (self.clock)(),
        }
    }

    /// A task that should have a runner and has none of ours: another daemon's, or it died.
    async fn examine(&mut self, task: &TaskId, tasks: &[Arc<Known>]) -> bool {
        let Some(known) = find(tasks, task) else {
            return false;
        };
        if self.is_attempt_held(known).await {
            self.runners.adopt(task);
            return false;
        }
        self.apply(task, Step::of(Move::Die, "its runner died")).await
    }

    async fn release_the_dead(&mut self, tasks: &[Arc<Known>]) {
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

    async fn apply(&self, task: &TaskId, step: Step) -> bool {
        tracing::info!(%task, to = ?step.to, reason = step.reason, "move");
        let id = task.clone();
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
        let now_wall = (self.clock)();
        let parked = plan.next.map(|until| {
            Instant::now() + Duration::from_secs(u64::try_from(until - now_wall).unwrap_or(0).max(1))
        });
        let poll = self.runners.has_adopted() || self.crowded;
        let adopted = poll.then(|| Instant::now() + POLL);
        let tick = Instant::now() + TICK;
        [parked, adopted, self.runners.next_start()]
            .into_iter()
            .flatten()
            .fold(tick, Instant::min)
    }

    fn publish(&mut self, tasks: Vec<Arc<Known>>, seen: Stood) {
        self.notices.look(&tasks);
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
        let seen = Some(seen);
        self.shared.seen.send_if_modified(|last| {
            let changed = *last != seen;
            *last = seen;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
