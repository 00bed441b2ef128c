//! `uninstall` leaves plain git, and one bundle from which everything comes back.

use std::fs;

use crate::{scratch::Work, stage::Stage};

/// Everything of the repository that plain git shows.
fn seen(work: &Work) -> String {
    [
        work.git(&["for-each-ref"]),
        work.git(&["worktree", "list"]),
        work.git(&["config", "--local", "--list"]),
        work.git(&["status", "--short", "--ignored"]),
        work.git(&["count-objects", "-v", "-H"])
            .lines()
            .find(|line| line.starts_with("garbage"))
            .unwrap_or_default()
            .to_owned(),
    ]
    .join("\n")
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
    stage.run(&["sites", "adopt", "--force"]).ok();
    assert_eq!(stage.task(&id)["outcome"], "done");
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
