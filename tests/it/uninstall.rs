//! `uninstall` leaves plain git, and one bundle from which everything comes back.

use std::{fs, path::Path};

use git_khlone::process::Cmd;

use crate::{
    scratch::Work,
    stage::{Stage, said},
};

/// Everything of the repository that plain git shows.
fn seen(work: &Work) -> String {
    [
        work.git(&["for-each-ref"]),
        work.git(&["worktree", "list"]),
        work.git(&["config", "--local", "--list"]),
        work.git(&["status", "--short", "--ignored"]),
        folder(&work.0.join(".git")).join(" "),
        work.git(&["count-objects", "-v", "-H"])
            .lines()
            .find(|line| line.starts_with("garbage"))
            .unwrap_or_default()
            .to_owned(),
    ]
    .join("\n")
}

/// What git has no part in: its own folders come and go as it packs.
fn folder(at: &Path) -> Vec<String> {
    let names = fs::read_dir(at).unwrap().flatten();
    let mut names: Vec<_> = names
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.contains("khlone") || name == "worktrees");
    names.sort();
    names
}

fn keeps(work: &Work) -> usize {
    let packs = fs::read_dir(work.0.join(".git/objects/pack")).unwrap();
    packs
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "keep"))
        .count()
}

#[test]
fn plain_git_is_left_and_the_bundle_brings_it_back() {
    let stage = Stage::new();
    let before = seen(&stage.work);
    let (_, task) = stage.act("echo one > one; git add one; git commit -qm one; echo two > two");
    let id = task["task"].as_str().unwrap().to_owned();
    fs::write(stage.clone().0.join("left"), "not committed\n").unwrap();
    let branch = stage.work.tip("khlone/main/foreman.1");
    // What is nowhere else is not taken away unless that is said.
    let refused = stage.run(&["uninstall"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(
        refused.err.contains("git khlone uninstall --force"),
        "{}",
        refused.err
    );
    let kept = stage.run(&["uninstall", "--keep-branches", "--bundle", "away bundle"]);
    assert!(
        kept.err
            .contains("git khlone uninstall --keep-branches --bundle 'away bundle' --force"),
        "{}",
        kept.err
    );
    assert_eq!(stage.work.tip("khlone/main/foreman.1"), branch);
    let done = stage.run(&["uninstall", "--force"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let commands = done.err.split(" && ");
    let adopt = commands
        .clone()
        .find_map(|it| it.strip_prefix("git khlone sites adopt "));
    let site = adopt.unwrap().split_whitespace().next().unwrap();
    assert_eq!(seen(&stage.work), before);
    assert!(!stage.work.0.join(".git/khlone").exists());
    assert!(!stage.path().join("repo.khlone").exists());
    assert_eq!(keeps(&stage.work), 0);
    let sites = stage.path().join("home/.khlone/sites");
    assert_eq!(fs::read_dir(sites).unwrap().count(), 0);
    // Git itself forgets what was there, and the bundle has it.
    stage.work.git(&["reflog", "expire", "--expire=now", "--all"]);
    stage.work.git(&["gc", "-q", "--prune=now"]);
    assert!(
        stage
            .work
            .try_git(&["cat-file", "-e", &branch.to_string()])
            .is_err()
    );
    let bundle = stage.path().join("repo.khlone.bundle");
    stage
        .work
        .git(&["fetch", "-q", bundle.to_str().unwrap(), "refs/*:refs/*"]);
    stage.work.git(&["fsck", "--strict"]);
    stage.run(&["sites", "adopt", site, "--force"]).ok();
    assert_eq!(stage.task(&id)["outcome"], "done");
    let status = stage.run(&["status"]).ok();
    assert!(status.contains("1 task: git khlone list tasks"), "{status}");
    stage.run(&["undo"]).ok();
    assert_eq!(stage.work.tip("khlone/main/foreman.1"), branch);
    assert_eq!(
        fs::read_to_string(stage.clone().0.join("left")).unwrap(),
        "not committed\n"
    );
    // The bundle that is there is not written over.
    let again = stage.run(&["uninstall", "--force"]);
    assert_eq!(again.code, 4, "{}", again.err);
    assert!(again.err.contains("is there already"), "{}", again.err);
}

#[test]
fn branches_stay_and_open_tasks_are_named() {
    let stage = Stage::new();
    stage.act("echo one > one; git add one; git commit -qm one");
    let branch = stage.work.tip("khlone/main/foreman.1");
    stage.run(&["land"]).ok();
    let running = stage.start("sleep 1000");
    stage.until("the task", || {
        (stage.task(&running)["status"] == "running").then_some(())
    });
    for force in [&["uninstall"][..], &["uninstall", "--force"]] {
        let refused = stage.run(force);
        assert_eq!(refused.code, 4, "{}", refused.err);
        assert!(
            refused.err.contains(&format!("git khlone cancel {running}")),
            "{}",
            refused.err
        );
    }
    stage.run(&["cancel", &running]).ok();
    stage.run(&["await", &running]);
    let to = stage.path().join("kept.bundle");
    let done = stage.run(&[
        "--json",
        "uninstall",
        "--keep-branches",
        "--bundle",
        to.to_str().unwrap(),
    ]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(stage.work.tip("khlone/main/foreman.1"), branch);
    assert!(to.is_file());
    assert_eq!(
        stage.work.git(&["for-each-ref", "--format=%(refname)"]),
        "refs/heads/khlone/main/foreman.1\nrefs/heads/main"
    );
    // Nothing is left to take away.
    let nothing = stage.run(&["uninstall"]);
    assert_eq!(
        (nothing.code, nothing.out.as_str()),
        (0, "nothing was stored here\n")
    );
    assert!(!stage.path().join("repo.khlone.bundle").exists());
}

/// What is printed is pasted, in a repository whose git prunes what it fetches.
#[test]
fn the_printed_command_brings_crew_worktrees_and_tasks_back() {
    let stage = Stage::new();
    stage.work.git(&["config", "fetch.prune", "true"]);
    let (_, task) = stage.act("echo one > one; git init -q inner; echo in > inner/in");
    let id = task["task"].as_str().unwrap().to_owned();
    fs::write(stage.clone().0.join("left"), "not committed\n").unwrap();
    stage.work.git(&["branch", "other"]);
    stage
        .run(&[
            "act",
            "--zone",
            "other",
            "--who",
            "@shell",
            "--await",
            "echo two > two",
        ])
        .ok();
    // A zone that was removed before does not come back.
    stage.work.git(&["branch", "gone"]);
    stage
        .run(&[
            "act",
            "--zone",
            "gone",
            "--who",
            "@shell",
            "--await",
            "echo three > three",
        ])
        .ok();
    stage.run(&["zone", "remove", "gone", "--force"]).ok();
    let refs = |work: &Work| work.git(&["for-each-ref", "refs/heads"]);
    let (branches, crew) = (refs(&stage.work), stage.run(&["list", "crew"]).ok());
    let done = stage.run(&["uninstall", "--force"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let command = done
        .err
        .lines()
        .find(|line| line.starts_with("git fetch"))
        .unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_git-khlone")).parent().unwrap();
    let script = format!("PATH='{}':$PATH; {command}", program.display());
    let pasted = said(stage.surrounded(Cmd::new("sh").args(["-c", &script])));
    assert_eq!(pasted.code, 0, "{command}: {}", pasted.err);
    assert_eq!(refs(&stage.work), branches);
    assert_eq!(stage.run(&["list", "crew"]).ok(), crew);
    let left = fs::read_to_string(stage.clone().0.join("left")).unwrap();
    assert_eq!(left, "not committed\n");
    assert!(stage.clone().0.join("inner/.git").exists());
    assert_eq!(stage.task(&id)["outcome"], task["outcome"]);
    stage.run(&["fsck"]).ok();
    stage
        .run(&[
            "act",
            "--who",
            "foreman.1",
            "--await",
            "test -f one && echo four > four",
        ])
        .ok();
}

/// Killed at one step after the other, the same command goes on where it stood.
#[test]
fn killed_half_way_it_is_finished_by_the_same_command() {
    let stage = Stage::new();
    stage.act("echo one > one; git add one; git commit -qm one");
    let branch = stage.work.tip("khlone/main/foreman.1");
    let steps = |fault: &str| {
        let args = ["uninstall", "--force", "--keep-branches"];
        let done = stage
            .cmd(&stage.work.0, &args)
            .env("KHLONE_FAULT", fault)
            .finish();
        let done = done.unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.success() || told.contains("fault: "),
            "{fault}: {told}"
        );
        done.status.success()
    };
    // By number, at the first steps of what is left to do.
    for fault in [
        "1",
        "2",
        "staying",
        "3",
        "9",
        "bundled",
        "1",
        "refs-deleted",
        "1",
        "emptied",
    ] {
        assert!(!steps(fault), "{fault}");
    }
    assert!(steps("none"));
    assert!(stage.path().join("repo.khlone.bundle").is_file());
    assert_eq!(stage.work.tip("khlone/main/foreman.1"), branch);
    assert!(!stage.work.0.join(".git/khlone").exists());
    assert_eq!(stage.work.git(&["worktree", "list"]).lines().count(), 1);
    stage.work.git(&["fsck", "--strict"]);
}
