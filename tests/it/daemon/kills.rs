//! The daemon killed again and again while tasks run: nothing lost, nothing twice.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use git_khlone::task::{Outcome, Status, TaskId};

use super::site::{Site, until};

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills the daemon at moments that follow from the seed, and gives how often it hit.
fn kill_until(site: &Site, done: &AtomicBool, mut seed: u64) -> u32 {
    let mut kills = 0;
    while !done.load(Ordering::Relaxed) {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        thread::park_timeout(Duration::from_millis(20 + (seed >> 33) % 900));
        kills += u32::from(site.kill());
    }
    kills
}

#[test]
fn nothing_is_lost_or_doubled_under_a_killer() {
    let site = Site::new();
    let done = AtomicBool::new(false);
    // The seed is printed with a failure; the schedule follows from it.
    let seed: u64 = std::env::var("KHLONE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    let mut acknowledged: Vec<TaskId> = Vec::new();
    for who in ["@shell", "@shell++", "@shell++", "@shell++"] {
        acknowledged.push(site.act(who, "echo first >> n.txt"));
    }
    let (site, done) = (&site, &done);
    thread::scope(|scope| {
        let killer = scope.spawn(|| kill_until(site, done, seed));
        // However this ends, the killer ends too.
        let _stop = Stop(done);
        let calls = move |caller: u64| {
            let act = move |n| {
                site.act(
                    &format!("foreman.{caller}"),
                    &format!("echo {n} >> n.txt; sleep 0.0{n}"),
                )
            };
            (1..10).map(act).collect::<Vec<_>>()
        };
        let callers: Vec<_> = (1..=4).map(|caller| scope.spawn(move || calls(caller))).collect();
        acknowledged.extend(callers.into_iter().flat_map(|caller| caller.join().unwrap()));
        let mut open = acknowledged.clone();
        until("all tasks over", || {
            site.run(&["daemon", "start"]);
            open.retain(|task| !site.task(task).status.is_over());
            open.is_empty().then_some(())
        });
        done.store(true, Ordering::Relaxed);
        let kills = killer.join().unwrap();
        assert!(kills > 3, "the killer hit {kills} times only");
    });
    assert_eq!(acknowledged.iter().collect::<HashSet<_>>().len(), 40);
    site.with_ledger(|ledger| {
        for id in &acknowledged {
            let stored = ledger.task(id).unwrap();
            let task = &stored.task;
            assert_eq!(
                (task.status, task.outcome),
                (Status::Done, Some(Outcome::Done)),
                "seed {seed}: {task:?}"
            );
            // The daemon's death is none of the runner's business.
            assert_eq!(task.attempts.len(), 1, "seed {seed}: {id}\n{}", site.log());
        }
    });
    let lines: usize = (1..=4)
        .filter_map(|n| {
            site.work
                .try_git(&["show", &format!("khlone/main/foreman.{n}:n.txt")])
                .ok()
        })
        .map(|text| text.lines().count())
        .sum();
    assert_eq!(lines, 40, "seed {seed}: each script ran once");
    site.work.git(&["fsck", "--strict"]);
}

#[test]
fn a_dead_runner_is_found_and_its_task_goes_on() {
    let site = Site::new();
    let task = site.act(
        "@shell",
        "[ -e second ] || { touch second; sleep 600; }; echo x > x.txt",
    );
    let pid = until("the first attempt", || {
        let task = site.task(&task);
        let tree = site.finish(&["path", "foreman.1"]);
        let tree = String::from_utf8(tree.stdout).unwrap();
        let began = std::path::Path::new(tree.trim()).join("second").exists();
        task.attempts
            .first()
            .and_then(|attempt| attempt.pid)
            .filter(|_| began)
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end", || site.task(&task).status.is_over().then_some(()));
    let task = site.task(&task);
    assert_eq!(task.attempts.len(), 2, "{task:?}");
}

#[test]
fn a_copied_repository_runs_nothing_of_its_originals() {
    let site = Site::new();
    let task = site.act("@shell", "true");
    site.run(&["await", task.as_str()]);
    site.run(&["daemon", "stop"]);
    // Queued where no daemon can start, so that the copy holds a waiting task.
    let copy = site.path().join("copy");
    let waiting = site.cmd(&["act", "--who", "@shell", "echo never > never.txt"]);
    let lock = std::fs::File::open(site.common().join("khlone/daemon.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let waiting = waiting.patience(super::site::BOUND).output().unwrap();
    let waiting: TaskId = String::from_utf8(waiting).unwrap().trim().parse().unwrap();
    git_khlone::process::Cmd::new("cp")
        .arg("-a")
        .arg(&site.work.0)
        .arg(&copy)
        .output()
        .unwrap();
    drop(lock);
    let there = |args: &[&str]| {
        let at = copy.to_str().unwrap();
        site.cmd(&[&["-C", at], args].concat())
            .patience(super::site::BOUND)
            .finish()
            .unwrap()
    };
    let own = there(&["act", "--who", "@shell++", "--await", "true"]);
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    assert_eq!(site.task(&waiting).status, Status::Queued);
    let in_copy = git_khlone::refs::Repo::open(&copy.join(".git")).unwrap();
    let copied = git_khlone::refs::Site::open(&in_copy, &git_khlone::process::machine_id()).unwrap();
    let ledger = git_khlone::refs::Ledger::new(&in_copy, &copied);
    assert_eq!(ledger.task(&waiting).unwrap().task.status, Status::Queued);
    there(&["daemon", "stop"]);
    site.run(&["daemon", "start"]);
    until("the original's own run", || {
        site.task(&waiting).status.is_over().then_some(())
    });
}
