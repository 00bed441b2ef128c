//! When the daemon leaves, and what it does before.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Outlook, POLL};

/// How long a daemon that leaves nothing behind waits for attempts to end.
const ENDING: Duration = Duration::from_secs(45);

impl Engine {
    /// Whether the file of our lock was taken away, so that another daemon may have the site, or our socket, so that
    /// nobody reaches this one.
    pub(crate) fn is_ousted(&self) -> bool {
        let lock = self.lock.as_ref();
        lock.is_some_and(|lock| !lock.stands(&self.place.lock_path()) || !self.shared.record.socket.exists())
    }

    /// The look after the socket is gone: whoever reached the daemon has written the ledger before. Gives whether
    /// there is work after all.
    pub(crate) async fn last_look(&mut self) -> bool {
        self.round().await.pending
    }

    /// When the daemon leaves for lack of work; `None` while there is some.
    pub(super) fn idle_exit(&self, outlook: &Outlook) -> Option<Instant> {
        let busy = outlook.pending || !self.runners.is_idle() || self.shared.connections.get() > 0;
        let idle = self.idle.unwrap_or(self.shared.limits.get().idle);
        (!busy).then(|| self.shared.active.get() + idle)
    }

    /// Has the runners that this daemon started end their attempts, and waits for them within their grace. What they
    /// did so far is kept, and can be resumed.
    pub(crate) async fn end_attempts(&mut self) {
        for task in self.runners.held() {
            let id = task.clone();
            let told = self.shared.keeper.with(move |store| store.cancel(&id)).await;
            tracing::info!(%task, ?told, "is ended with the daemon");
        }
        let ended = async {
            while !self.runners.is_idle() {
                tokio::select! {
                    exit = self.ended.recv() => self.exits.extend(exit),
                    () = tokio::time::sleep(POLL) => {}
                }
                let Ok((tasks, _)) = self.scan().await else { return };
                self.judge_exits(&tasks);
                self.release_the_dead(&tasks).await;
            }
        };
        if tokio::time::timeout(ENDING, ended).await.is_err() {
            tracing::warn!("attempts do not end; they go on under their runners");
        }
    }
}
