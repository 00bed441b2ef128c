//! What a task takes of the machine does not grow with what its brain does: memory, refs, lines on the screen.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use git_khlone::process::Cmd;
use serde_json::Value;

use crate::{
    stage::{Stage, said},
    tools::has,
};

const MIB: u64 = 1 << 10;

/// A shell clone acts; the most memory of its own that its runner had, in KiB, and the task.
fn peak(stage: &Stage, script: &str) -> (u64, Value) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let act = scope.spawn(|| {
            let acted = stage.act(script);
            over.store(true, Ordering::Relaxed);
            acted
        });
        let mut most = 0;
        while !over.load(Ordering::Relaxed) && !act.is_finished() {
            most = most.max(runner(stage).and_then(own_memory).unwrap_or(0));
            thread::sleep(Duration::from_millis(5));
        }
        assert!(most > 0, "no runner was seen");
        (most, act.join().unwrap().1)
    })
}

/// The folder in `/proc` of the stage's runner.
fn runner(stage: &Stage) -> Option<std::path::PathBuf> {
    let site = stage.work.0.join(".git").into_os_string().into_encoded_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut found = entries.map(|entry| entry.path()).filter(|path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.nth(1) == Some(b"runner") && words.any(|word| word == site)
    });
    found.next()
}

/// The most that it has ever had, less what it has mapped of files.
fn own_memory(process: std::path::PathBuf) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some(field("VmHWM:")? - field("RssFile:")?)
}

#[test]
fn memory_does_not_grow_with_the_number_of_folders() {
    let stage = Stage::new();
    let script =
        "for i in $(seq 1 2000); do mkdir d$i; echo $i > d$i/f; done; git add -A; git commit -qm many";
    let (most, task) = peak(&stage, script);
    assert_eq!(task["outcome"], "done", "{}", task["reasons"]);
    // It was 300 KB a folder.
    assert!(most < 60 * MIB, "{most} KiB");
}

#[test]
fn every_small_task_of_a_clone_is_as_small_as_the_first() {
    let stage = Stage::new();
    for n in 0..3 {
        let (most, task) = peak(
            &stage,
            &format!("echo {n} > n; echo 'the task stands at the end'"),
        );
        assert_eq!(task["outcome"], "done", "{}", task["reasons"]);
        assert!(most < 40 * MIB, "task {n}: {most} KiB");
    }
}

#[test]
fn memory_does_not_grow_with_what_a_brain_prints() {
    let stage = Stage::new();
    let script = "head -c 40000000 /dev/zero | tr '\\0' x; yes 'a line of a build' | head -c 40000000; yes complaint | head -c 20000000 >&2
        echo the end";
    let (most, task) = peak(&stage, script);
    assert_eq!(task["outcome"], "no-op", "{}", task["reasons"]);
    assert!(most < 64 * MIB, "{most} KiB");
    // The head, the tail, and what is between them marked.
    let id = task["task"].as_str().unwrap();
    let said = format!("refs/khlone/tasks/{id}:attempts/1/transcript/0001.jsonl");
    let said = stage.work.git(&["cat-file", "blob", &said]);
    assert!(said.len() < 20_000_000, "{}", said.len());
    for part in ["xxxxxxxx", "limits.transcript", "the end"] {
        assert!(said.contains(part), "{part} is missing");
    }
}

#[test]
fn a_pin_for_each_commit_that_nothing_else_keeps() {
    if !has("bubblewrap") {
        return;
    }
    let stage = Stage::new();
    let script = "
        d=$(sed 's/gitdir: //' .git); h=$(git rev-parse HEAD); t=$(git rev-parse HEAD^{tree})
        for i in $(seq 1 3000); do echo \"$h refs/heads/x/$i\"; done >> $d/packed-refs
        for i in $(seq 1 100); do c=$(git commit-tree -p $h -m apart-$i $t); git update-ref refs/heads/y/$i $c; done
        git update-ref 'refs/heads/$(touch${IFS}pwn)' $(git commit-tree -p $h -m evil $t)
        git update-ref refs/tags/tree $t";
    let (_, task) = stage.act(script);
    let id = task["task"].as_str().unwrap();
    let pins = stage.work.git(&[
        "for-each-ref",
        "--format=%(refname)",
        &format!("refs/khlone/pins/{id}"),
    ]);
    assert_eq!(pins.lines().count(), 2 + 64, "{pins}");
    assert!(!pins.contains(['$', '(', ')', '{', ';']), "{pins}");
    let all = stage
        .work
        .git(&["log", "--format=%s", &format!("--glob=refs/khlone/pins/{id}")]);
    for subject in (1..=100).map(|n| format!("apart-{n}")).chain(["evil".to_owned()]) {
        assert!(all.lines().any(|line| line == subject), "{subject} is lost");
    }
    stage.work.git(&["gc", "-q", "--prune=now"]);
    stage.work.git(&["fsck", "--strict", "--no-dangling"]);
    assert_eq!(stage.run(&["fsck"]).code, 0);
    // Each is told with its commit, and how many more there are.
    let refs = &task["effects"]["refs"];
    assert_eq!(refs.as_array().unwrap().len(), 100);
    assert!(refs[0]["after"].as_str().unwrap().len() == 40);
    assert_eq!(task["effects"]["more_refs"], 3002);
    let shown = stage.run(&["show", id]).ok();
    assert!(shown.contains("ref      refs/heads/"), "{shown}");
    assert!(shown.contains("… and 3002 more"), "{shown}");
}

#[test]
fn long_lists_are_counted_and_long_paths_cut() {
    let stage = Stage::with(&[("a.txt", "a\n"), ("khlone.yml", "commit:\n  max_files: 50\n")]);
    let script = "for i in $(seq 1 300); do echo $i > f$i; done; p=$(printf 'd/%.0s' $(seq 1 300)); mkdir -p $p; echo x > $p/x";
    let (said, task) = stage.act(script);
    assert_eq!(task["outcome"], "partial");
    let left = said.err.lines().filter(|line| line.contains("left uncommitted"));
    assert_eq!(left.count(), 20, "{}", said.err);
    assert!(said.err.contains("… and 281 more"), "{}", said.err);
    let rolled = stage.run(&["rollback", task["task"].as_str().unwrap()]);
    assert!(rolled.out.contains("more removed"), "{}", rolled.out);
    assert!(rolled.out.lines().count() < 30 && rolled.out.lines().all(|line| line.len() < 300));
}

/// What a task cost: the programs that were started for it, and how often something was synced.
struct Cost {
    programs: Vec<String>,
    syncs: usize,
}

impl Cost {
    fn of(&self, program: &str) -> usize {
        self.programs.iter().filter(|name| *name == program).count()
    }
}

/// Lets a clone act that has a worktree already, with a daemon of its own, and counts.
fn cost(stage: &Stage, script: &str) -> Cost {
    stage.act("echo warm > warm");
    stage.run(&["daemon", "stop"]);
    let log = stage.path().join("trace");
    fs::create_dir(&log).unwrap();
    // A file for each process: the lines of one are whole.
    let mut strace = Cmd::new("strace")
        .args(["-ff", "-qq", "-e", "trace=execve,fsync,fdatasync", "-o"])
        .arg(log.join("of"))
        .args(
            stage
                .cmd(
                    &stage.work.0,
                    &["act", "--who", "@shell", "--await", "-m", script],
                )
                .argv(),
        );
    // What an idle daemon puts in order is no task's.
    strace = stage.surrounded(strace).env("KHLONE_DAEMON", "never");
    let said = said(strace);
    assert_eq!(said.code, 0, "{}", said.err);
    let (mut programs, mut syncs) = (Vec::new(), 0);
    for file in fs::read_dir(&log).unwrap() {
        let text = fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&text);
        let started = text
            .lines()
            .filter(|line| line.starts_with("execve(") && line.ends_with("= 0"));
        programs.extend(started.map(|line| {
            let path = line.split('"').nth(1).unwrap();
            path.rsplit('/').next().unwrap().to_owned()
        }));
        syncs += text.lines().filter(|line| line.contains("sync(")).count();
    }
    programs.sort();
    Cost { programs, syncs }
}

#[test]
fn a_task_costs_no_more_processes_and_syncs_than_it_needs() {
    if !has("strace") {
        return;
    }
    let stage = Stage::new();
    let cost = cost(&stage, "true");
    let told = format!("{} syncs, {:?}", cost.syncs, cost.programs);
    // The brain's own sandbox; git is asked for its settings, what has landed, and how the checkout stands.
    assert!(cost.of("bwrap") <= 1, "{told}");
    assert!(cost.of("git") <= 4, "{told}");
    assert!(cost.syncs <= 38, "{told}");
}

#[test]
fn a_task_that_changes_a_file_costs_no_more_than_it_needs() {
    if !has("strace") {
        return;
    }
    let stage = Stage::new();
    let cost = cost(&stage, "echo new > file");
    let told = format!("{} syncs, {:?}", cost.syncs, cost.programs);
    // Brain, look, commit, pack. What a person has staged is looked for before it, at its commit and after.
    assert!(cost.of("bwrap") <= 4, "{told}");
    assert!(cost.of("git") <= 24, "{told}");
    assert!(cost.syncs <= 60, "{told}");
}
