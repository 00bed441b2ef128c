//! What a busy user's git does meanwhile: everything packed, everything unreachable pruned, again and again.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::Rig;

/// Runs `work` while git packs and prunes the repository, and `git khlone gc` does, in loops.
pub(crate) fn meanwhile<T>(rig: &Rig, work: impl FnOnce() -> T) -> T {
    let git: [&[&str]; 3] = [
        &["pack-refs", "--all"],
        &["gc", "--quiet", "--prune=now"],
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
