//! What may be asked of the providers of our tasks, and what waits for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Engine;
use crate::{
    brain::Provider,
    daemon::schedule::{
        plan::{Known, find},
        providers::Room,
        runners::aside,
        store::Step,
    },
    task::{Move, Outcome, Status, TaskId, sane_until},
};

impl Engine {
    /// What may be asked of the providers of our tasks. What our tasks say of them, other sites learn here.
    pub(super) async fn rooms(&self, tasks: &[Arc<Known>]) -> BTreeMap<Provider, Room> {
        let ours = || tasks.iter().filter(|known| known.ours && !known.status.is_over());
        let wanted: BTreeSet<_> = ours().filter_map(|known| known.provider.clone()).collect();
        let Some(machine) = self.machine.clone().filter(|_| !wanted.is_empty()) else {
            return BTreeMap::new();
        };
        let bounds = self.bounds(0);
        let now = bounds.now;
        let limits: Vec<(Provider, i64)> = ours()
            .filter_map(|known| {
                let until = sane_until(limit_end(known)?, now)?;
                Some((known.provider.clone()?, until))
            })
            .collect();
        let told = aside(move || {
            let mut rooms = machine.rooms(&wanted, &bounds)?;
            for (provider, until) in limits {
                if let Some(room) = rooms.get_mut(&provider)
                    && room.parked_until < Some(until)
                    && until > room.lifted
                {
                    room.parked_until = Some(until);
                    if let Err(error) = machine.park(&provider, until, now) {
                        tracing::warn!(%provider, %error, "other sites are not told of the limit");
                    }
                }
            }
            Ok(rooms)
        });
        told.await.unwrap_or_default()
    }

    pub(super) async fn park(&self, task: &TaskId, until: i64, tasks: &[Arc<Known>]) -> bool {
        let provider = find(tasks, task).and_then(|known| known.provider.as_ref());
        let name = provider.map_or("its provider", Provider::name);
        let (until, why) = (Some(until), format!("{name} is at its limit"));
        let step = Step::of(
            Move::Park {
                until,
                why: why.clone(),
            },
            why,
        );
        self.apply(task, step).await
    }

    pub(super) async fn back_off(&self, task: &TaskId, tasks: &[Arc<Known>]) -> bool {
        let now = (self.clock)();
        let provider = find(tasks, task).and_then(|known| known.provider.as_ref());
        let told = match provider.cloned().zip(self.machine.clone()) {
            Some((provider, machine)) => aside(move || machine.back_off(&provider, now)).await.ok(),
            None => None,
        };
        // Alone with it.
        let until = told.unwrap_or(now + 60);
        let id = task.clone();
        tracing::info!(%task, until, "backs off");
        let done = self
            .shared
            .keeper
            .with(move |store| store.park_until(&id, until))
            .await;
        done.and_then(|done| done).is_ok()
    }
}

/// Until when a task's provider is to be left alone, by what it ran into itself or waits for.
fn limit_end(known: &Known) -> Option<i64> {
    match (known.status, known.outcome) {
        (Status::Parked, Some(Outcome::Limited)) => known.parked_until,
        (Status::Running, _) => known.limited_until,
        _ => None,
    }
}
