//! What a task that is over takes of the disk, before anything is collected.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::stage::Stage;

/// A repository of so many files: the lists of them in a receipt take blocks, too.
const FILES: usize = 400;
const TASKS: u64 = 12;
/// Bytes that a small task may take, its clone's commits included.
const MOST: u64 = 60 << 10;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

/// Bytes of the disk, folders included.
fn taken(dir: &Path) -> u64 {
    let all = files(dir).into_iter();
    all.filter_map(|path| fs::symlink_metadata(path).ok())
        .map(|data| data.blocks() * 512)
        .sum()
}

fn stage() -> Stage {
    let names: Vec<String> = (0..FILES)
        .map(|n| format!("src/some/module/file{n}.rs"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "fn f() {}\n")).collect();
    Stage::with(&files)
}

/// A runner tidies up after its clone is free.
fn until_tidy(stage: &Stage) {
    let attempts = stage.work.0.join(".git/khlone/attempts");
    let receipts = || {
        let all = files(&attempts).into_iter();
        all.filter(|path| path.ends_with("receipt-before") || path.ends_with("prompt.md"))
            .count()
    };
    stage.until("a tidy end", || (receipts() == 1).then_some(()));
}

#[test]
fn a_small_task_takes_little_before_anything_is_collected() {
    let stage = stage();
    let git = stage.work.0.join(".git");
    for n in 0..2 {
        stage.act(&format!("echo {n} > first{n}"));
    }
    until_tidy(&stage);
    let before = taken(&git);
    for n in 0..TASKS {
        stage.act(&format!("echo {n} > file{n}"));
    }
    until_tidy(&stage);
    let each = (taken(&git) - before) / TASKS;
    let by_folder: Vec<_> = ["objects", "refs", "logs", "khlone/attempts", "khlone/gitdirs"]
        .map(|name| format!("{name} {}", taken(&git.join(name))))
        .into();
    assert!(each <= MOST, "{each} bytes a task: {by_folder:?}");
    // What a clone has committed is in the repository, and not a second time in its own git.
    let own = files(&git.join("khlone/gitdirs"));
    let own = own.iter().filter(|path| path.parent().is_some_and(is_fan_out));
    assert_eq!(own.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

fn is_fan_out(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.len() == 2)
        && dir.parent().is_some_and(|up| up.ends_with("objects"))
}

#[test]
fn what_is_read_of_an_attempt_that_is_over_stays() {
    let stage = Stage::new();
    let (said, _) = stage.act("echo said; echo wrong >&2; echo 1 > one; sleep 0.1");
    until_tidy(&stage);
    let left = files(&stage.attempt(&said.id(), 1));
    let left: BTreeSet<_> = left
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    let wanted = [
        "attempt.lock",
        "events.jsonl",
        "receipt-after",
        "receipt-before",
        "runner.lock",
        "stderr.log",
        "stderr.raw",
        "stdout.raw",
    ];
    assert_eq!(left, BTreeSet::from(wanted));
    assert!(stage.run(&["log", &said.id()]).ok().contains("said"));
}

/// The clone's git borrows its commits from the repository. Where a branch of its own is on one of them, that stays
/// whole as well, also when the repository forgets the clone's branch.
#[test]
fn a_clone_works_on_with_commits_that_it_borrows() {
    let stage = Stage::new();
    stage.act("echo 1 > one; git add one; git commit -qm one; git gc -q; echo 2 > two; git add two; git commit -qm two");
    stage.act("git branch aside; echo 3 > three");
    until_tidy(&stage);
    let script = "git fsck --strict && git log --oneline aside && git diff --stat HEAD~2 && git rev-list --count HEAD > count";
    stage.act(script);
    assert_eq!(stage.clone().git(&["show", "HEAD:count"]), "4");
    stage.work.git(&["fsck", "--strict"]);
}
