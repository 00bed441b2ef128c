//! What a busy user's git does meanwhile: everything packed, everything unreachable pruned, again and again.
//!
//! Where a commit is made by plain git, as `git commit` makes it, nothing is pruned at once: git itself says that this
//! takes what another git has just written.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{rig::Rig, verbs::Verb};

/// Runs `work` while git packs and prunes the repository, and `git khlone gc` does, in loops.
pub(crate) fn meanwhile<T>(rig: &Rig, verb: Verb, work: impl FnOnce() -> T) -> T {
    let prune = match verb {
        Verb::Land | Verb::Update => "--prune=1.hour.ago",
        _ => "--prune=now",
    };
    let git: [&[&str]; 3] = [
        &["pack-refs", "--all"],
        &["gc", "--quiet", prune],
        &["pack-refs", "--all", "--prune"],
    ];
    rig.busy.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while rig.busy.load(Ordering::Relaxed) {
                for args in git {
                    // It may lose a race for a lock.
                    drop(rig.work.try_git(args));
                }
                drop(rig.finish(&["gc"]));
            }
        });
        let _over = Over(&rig.busy);
        work()
    })
}

/// Ends the loops, however the work ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
