//! A long day: many tasks on several clones, with landings, collections, git's own maintenance and local clones between.
//! What grows with each task is bounded. The short form runs in `cargo test`; the long one, with its table:
//!
//!     KHLONE_TASKS=2000 cargo test --locked --test faults -- --nocapture long_day

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git_khlone::process::Cmd;

use crate::rig::Rig;

/// How many clones work at once.
const CLONES: usize = 8;
/// How long a round may take on a busy machine.
const ROUND: Duration = Duration::from_secs(240);

/// What there is at one moment.
#[derive(Debug, Clone, Copy)]
struct Measured {
    tasks: usize,
    packs: usize,
    loose_refs: usize,
    /// Bytes on disk of objects, refs and the site's folder.
    disk: u64,
    /// Descriptors that the daemon has open.
    open: usize,
    /// The daemon's memory in KiB.
    memory: u64,
}

impl Measured {
    const HEAD: &'static str = "tasks  packs  loose refs  disk KiB  open files  memory KiB";

    fn of(rig: &Rig, tasks: usize) -> Self {
        let common = rig.common();
        let daemon = daemon(&common);
        let proc = |name: &str| PathBuf::from(format!("/proc/{daemon}/{name}"));
        let status = fs::read_to_string(proc("status")).unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let packs = files(&common.join("objects/pack")).into_iter();
        Self {
            tasks,
            packs: packs
                .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
                .count(),
            loose_refs: files(&common.join("refs/khlone")).len(),
            disk: ["objects", "refs", "khlone"]
                .iter()
                .map(|name| disk(&common.join(name)))
                .sum(),
            open: fs::read_dir(proc("fd")).map_or(0, Iterator::count),
            memory: memory.unwrap_or(0),
        }
    }

    fn row(&self) -> String {
        let Self {
            tasks,
            packs,
            loose_refs,
            disk,
            open,
            memory,
        } = self;
        format!(
            "{tasks:>5}  {packs:>5}  {loose_refs:>10}  {:>8}  {open:>10}  {memory:>10}",
            disk / 1024
        )
    }
}

fn daemon(common: &Path) -> u64 {
    let record = fs::read(common.join("khlone/daemon.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    record["process"]["pid"].as_u64().unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let sizes = files(dir)
        .into_iter()
        .filter_map(|path| fs::symlink_metadata(path).ok());
    sizes.map(|data| data.blocks() * 512).sum()
}

#[expect(clippy::print_stdout, reason = "the table is what the long form is for")]
fn say(line: &str) {
    println!("{line}");
}

fn git(rig: &Rig, args: &[&str]) {
    let git = Cmd::new("git").only_env(rig.env()).dir(&rig.work.0).args(args);
    let done = git.patience(ROUND).finish().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {said}\n{}", rig.log());
}

fn wait_for_runners(rig: &Rig) {
    let common = rig.common();
    let wanted = [b"runner\0--site\0", common.as_os_str().as_encoded_bytes()].concat();
    let deadline = Instant::now() + ROUND;
    let is_running = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .any(|line| line.windows(wanted.len()).any(|part| part == wanted))
    };
    while is_running() {
        assert!(Instant::now() < deadline, "a runner does not end\n{}", rig.log());
        std::thread::yield_now();
    }
}

/// What a user does beside it, one after the other.
fn meanwhile(rig: &Rig, round: usize) {
    // A runner joins packs as its last thing. git's writer of a multi-pack-index that is at it meanwhile may name packs
    // that have gone, until that is mended.
    wait_for_runners(rig);
    let side = format!("side{round}");
    let script = "echo side > side";
    rig.ok(&[
        "act", "--who", "@shell", "--zone", &side, "--create", "--await", "-m", script,
    ]);
    rig.ok(&["zone", "remove", &side, "--force"]);
    wait_for_runners(rig);
    match round % 4 {
        0 => git(rig, &["gc", "-q", "--prune=now"]),
        1 => git(rig, &["multi-pack-index", "write"]),
        2 => {
            git(rig, &["clone", "-q", ".", "../copy"]);
            rig.sh("git -C copy fsck --strict --no-dangling; rm -rf copy");
        }
        _ => drop(rig.ok(&["gc"])),
    }
}

#[test]
fn a_long_day_leaves_as_little_as_a_short_one() {
    let most = std::env::var("KHLONE_TASKS")
        .ok()
        .and_then(|tasks| tasks.parse().ok());
    let most: usize = most.unwrap_or(96);
    let rig = Rig::new();
    // There is one already.
    for n in 1..CLONES {
        let script = format!("echo {n} > first{n}");
        rig.ok(&["act", "--who", "@shell++", "--await", "-m", &script]);
    }
    // One daemon all day, so that what it keeps open is seen; not the one that the acts have started, which soon leaves.
    rig.stop();
    let start = rig.cmd(&["daemon", "start"]).env("KHLONE_IDLE", "3600");
    assert!(start.finish().unwrap().status.success());
    let mut table = vec![Measured::of(&rig, 0)];
    say(Measured::HEAD);
    for round in 0..most / CLONES {
        let ids: Vec<String> = (0..CLONES)
            .map(|n| {
                let who = format!("foreman.{}", n + 1);
                rig.ok(&["act", "--who", &who, "-m", &format!("echo {round} > file{n}")])
            })
            .collect();
        let words: Vec<&str> = ["await", "--all"]
            .into_iter()
            .chain(ids.iter().map(String::as_str))
            .collect();
        let done = rig.cmd(&words).patience(ROUND).finish().unwrap();
        assert!(
            done.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&done.stderr),
            rig.log()
        );
        if round % 3 == 0 {
            meanwhile(&rig, round / 3);
            rig.ok(&["land", ids[round % CLONES].as_str()]);
        }
        let now = Measured::of(&rig, (round + 1) * CLONES);
        if now.tasks.is_multiple_of(96) || round + 1 == most / CLONES {
            say(&now.row());
            table.push(now);
        }
    }
    let (first, last) = (table[0], table[table.len() - 1]);
    let grown = last.tasks as u64;
    assert!(last.packs <= 48, "{last:?}");
    assert!(last.open <= 64, "{last:?}");
    assert!(last.loose_refs <= 600, "{last:?}");
    // A task that is over leaves the daemon little to remember.
    assert!(
        last.memory < first.memory + (4 << 10) + 4 * grown,
        "{first:?} {last:?}"
    );
    assert!(
        last.disk.saturating_sub(first.disk) <= grown * (85 << 10),
        "{first:?} {last:?}"
    );
    rig.stop();
    git(&rig, &["fsck", "--strict", "--no-dangling"]);
    rig.ok(&["fsck"]);
}
