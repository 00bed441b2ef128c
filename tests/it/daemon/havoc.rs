//! Daemons, runners and brains are killed on a seeded schedule while clients order and tasks run. What was
//! acknowledged, and what brains did, is written down outside the repository; afterwards both must agree.
//!
//! `KHLONE_SEED` picks the schedule, `KHLONE_TASKS` how many tasks; the seed stands in every failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use git_khlone::task::{Status, Task, TaskId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::site::{Site, until};

/// Clones that work side by side, each with a client of its own.
const CLONES: u64 = 4;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// Numbers that follow from the seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A file that only grows, one whole line at a time.
fn note(site: &Site, name: &str, line: &str) {
    let path = site.path().join(name);
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn lines(site: &Site, name: &str) -> Vec<String> {
    let text = fs::read_to_string(site.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The processes that `runner` has started, and theirs.
fn brood(runner: i32) -> Vec<i32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.insert(pid, parent.unwrap_or(0));
    }
    let of = |pid: i32| -> bool {
        let mut at = pid;
        for _ in 0..64 {
            match parents.get(&at) {
                Some(&parent) if parent == runner => return true,
                Some(&parent) if parent > 1 => at = parent,
                _ => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| of(*pid)).collect()
}

/// One blow: at the daemon, at a runner, or at a brain. Gives whether it hit.
fn strike(site: &Site, dice: &mut Dice) -> bool {
    let target = dice.throw(4);
    if target == 0 {
        return site.kill();
    }
    let running: Vec<i32> = site.with_ledger(|ledger| {
        let heads = ledger.heads().unwrap_or_default();
        let active = heads.into_iter().filter(|head| head.status.is_active());
        active
            .filter_map(|head| i32::try_from(ledger.task(&head.id).ok()?.task.last_attempt()?.pid?).ok())
            .collect()
    });
    if running.is_empty() {
        return false;
    }
    let runner = running[usize::try_from(dice.throw(running.len() as u64)).unwrap()];
    let mut pid = runner;
    if target > 1 {
        let brood = brood(runner);
        if brood.is_empty() {
            return false;
        }
        pid = brood[usize::try_from(dice.throw(brood.len() as u64)).unwrap()];
    }
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// Orders over RPC with an id of its own until it is acknowledged: answers get lost.
fn order(site: &Site, id: &TaskId, clone: u64, script: &str) {
    note(site, "intents", id.as_str());
    let who = format!("foreman.{clone}@shell");
    until("an acknowledgement", || {
        site.finish(&["daemon", "start"]);
        let order = json!({ "task": id, "prompt": script, "who": who });
        let answer = site.try_greeted()?.try_ask("enqueue", &order)?;
        (answer["result"]["task"] == json!(id)).then_some(())
    });
    note(site, "acks", id.as_str());
}

#[test]
fn what_was_acknowledged_is_done_once_whatever_is_killed() {
    let (seed, tasks) = (setting("KHLONE_SEED", 11), setting("KHLONE_TASKS", 24));
    let site = Site::new();
    let config = site.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    // Without a sandbox brains can write down outside what they do.
    fs::write(config.join("config.yml"), "sandbox: off\nlimits: {clones: 9}\n").unwrap();
    let first = site.act("@shell", "true");
    site.run(&["await", first.as_str()]);
    for _ in 1..CLONES {
        let task = site.act("@shell++", "true");
        site.run(&["await", task.as_str()]);
    }
    let before = (site.work.git(&["rev-parse", "HEAD"]), site.work.status());
    let (site, done) = (&site, &AtomicBool::new(false));
    let outside = site.path().join("outside");
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut dice, mut hits) = (Dice(seed), 0);
            // Whatever is killed goes on, so a killer that never rested would let nothing end on a busy machine.
            while !done.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(30 + dice.throw(250)));
                if u64::from(hits) < 2 * tasks {
                    hits += u32::from(strike(site, &mut dice));
                }
            }
            hits
        });
        let _stop = Stop(done);
        let clients: Vec<_> = (1..=CLONES)
            .map(|clone| {
                let outside = &outside;
                scope.spawn(move || {
                    for n in 0..tasks / CLONES {
                        let id = TaskId::from_entropy(seed << 32 | clone << 16 | n);
                        let script = format!(
                            "echo \"begin $KHLONE_TASK\" >> '{0}'; echo {n} > \"n{n}.txt\"; sleep 0.0{1}; echo \"end $KHLONE_TASK\" >> '{0}'",
                            outside.display(),
                            n % 10,
                        );
                        order(site, &id, clone, &script);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        let mut open: Vec<TaskId> = lines(site, "acks").iter().map(|id| id.parse().unwrap()).collect();
        while let left @ 1.. = open.len() {
            until("another task to be over", || {
                site.finish(&["daemon", "start"]);
                open.retain(|id| {
                    let task = site.task(id);
                    if let Some(why) = &task.hold {
                        // Refs of others that have moved meanwhile are for a person; a kill never is.
                        assert!(
                            why.starts_with("somebody else"),
                            "seed {seed}: {id} is on hold: {why}"
                        );
                        site.finish(&["resume", id.as_str()]);
                    }
                    !task.status.is_over()
                });
                (open.len() < left).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
        let hits = killer.join().unwrap();
        assert!(u64::from(hits) > tasks / 8, "the killer hit {hits} times only");
    });
    compare(site, seed);
    assert_eq!(
        before,
        (site.work.git(&["rev-parse", "HEAD"]), site.work.status()),
        "seed {seed}"
    );
    site.run(&["daemon", "start"]);
    site.run(&["daemon", "stop"]);
    let checked = site.finish(&["fsck"]);
    let found = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "seed {seed}: {found}");
    site.work.git(&["fsck", "--strict"]);
    let sockets: Vec<_> = fs::read_dir(site.path().join("run/khlone"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(sockets.is_empty(), "seed {seed}: {sockets:?}");
}

/// What was written down outside against the ledger.
fn compare(site: &Site, seed: u64) {
    let (intents, acks, outside) = (
        lines(site, "intents"),
        lines(site, "acks"),
        lines(site, "outside"),
    );
    let known: BTreeMap<TaskId, Task> = site.with_ledger(|ledger| {
        let heads = ledger.heads().unwrap();
        heads
            .into_iter()
            .map(|head| (head.id.clone(), ledger.task(&head.id).unwrap().task))
            .collect()
    });
    let intended: BTreeSet<&String> = intents.iter().collect();
    assert_eq!(
        intended.len(),
        acks.len(),
        "seed {seed}: every order is acknowledged in the end"
    );
    for id in &acks {
        let task = known
            .get(&id.parse().unwrap())
            .unwrap_or_else(|| panic!("seed {seed}: {id} is lost"));
        let count = |word: &str| {
            outside
                .iter()
                .filter(|line| **line == format!("{word} {id}"))
                .count()
        };
        let attempts = task.attempts.len();
        assert!(
            count("begin") <= attempts,
            "seed {seed}: {id} ran {} times in {attempts} attempts",
            count("begin")
        );
        if task.status == Status::Done {
            assert!(
                count("end") >= 1,
                "seed {seed}: {id} is done and never came to its end"
            );
        }
        let ended = task
            .attempts
            .iter()
            .filter(|attempt| attempt.exit.is_some())
            .count();
        assert!(ended <= attempts && attempts >= 1, "seed {seed}: {task:?}");
        // A brain that was killed goes on, like everything else.
        assert_eq!(task.status, Status::Done, "seed {seed}: {task:?}");
    }
    let mine = site.common().display().to_string();
    let is_ours = |line: &String| line.contains(&mine) && line.contains(" runner ");
    until("the last runner to leave", || {
        let lines = fs::read_dir("/proc").unwrap().flatten();
        let lines = lines.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        (!lines.into_iter().any(|line| is_ours(&line))).then_some(())
    });
}

/// However the test ends, the killer ends too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
