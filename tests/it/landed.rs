//! What a landing leaves behind: its record, and its way back.

use std::fs;

use git_khlone::{
    delivery::landing::{Landing, Policy, Style, Voice, land},
    refs::{Ledger, Site},
};
use serde_json::Value;

use crate::{
    scratch::{Scratch, Work},
    stage::{Said, Stage, said},
};

impl Stage {
    /// Where the zone stands, what its checkout has, and what its tasks say of their landing.
    fn standing(&self, task: &str) -> (String, String, Vec<String>, Value) {
        (
            self.work.tip("main").to_string(),
            self.work.status(),
            self.work
                .git(&["ls-files", "-s"])
                .lines()
                .map(str::to_owned)
                .collect(),
            self.task(task)["landed"].clone(),
        )
    }

    fn killed(&self, args: &[&str], point: usize) -> Said {
        said(
            self.cmd(&self.work.0, args)
                .env("KHLONE_FAULT", point.to_string()),
        )
    }
}

/// A zone with two commits of a task's on its clone's branch, and one of a person's on its own.
fn stage(diverged: bool) -> (Stage, String) {
    let stage = Stage::new();
    let script = "echo one > one; git add one; git commit -qm 'add one'; echo two > two";
    let (_, task) = stage.act(script);
    if diverged {
        stage.work.commit(&[("mine", "mine\n")], "mine");
    }
    (stage, task["task"].as_str().unwrap().to_owned())
}

#[test]
fn a_landing_says_what_landed_and_undo_takes_it_back() {
    for (diverged, args, how) in [
        (false, &["land"][..], "fast-forward"),
        (true, &["land"], "merge"),
        (false, &["land", "--no-ff"], "merge"),
        (true, &["land", "--squash"], "squash"),
    ] {
        let (stage, task) = stage(diverged);
        let before = stage.standing(&task);
        assert_eq!(before.3, Value::Null);
        let landed = stage.run(args);
        assert_eq!(landed.code, 0, "{}", landed.err);
        assert!(
            landed.out.contains(&format!("{task} (foreman.1): echo one")),
            "{}",
            landed.out
        );
        assert!(
            landed.err.contains("git khlone undo 1 takes it back"),
            "{}",
            landed.err
        );
        let after = stage.standing(&task);
        assert_eq!(
            (&after.3["how"], &after.3["old"]),
            (&how.into(), &before.0.clone().into())
        );
        assert_eq!(
            (&after.3["new"], &after.3["by"]),
            (&after.0.clone().into(), &"Ann <ann@example.com>".into())
        );
        assert!(after.1.is_empty() && stage.work.read("two").is_some());

        let undone = stage.run(&["undo"]);
        assert_eq!(undone.code, 0, "{}", undone.err);
        assert!(
            undone.out.starts_with("main ") && undone.out.contains("land t-"),
            "{}",
            undone.out
        );
        assert_eq!(stage.standing(&task), before, "{how}");
        // The undoing can be undone, and that, too.
        stage.run(&["undo"]).ok();
        assert_eq!(stage.standing(&task), after, "{how}");
        stage.run(&["undo"]).ok();
        assert_eq!(stage.standing(&task), before, "{how}");
        stage.run(args).ok();
        assert_eq!(stage.work.status(), "");
        assert!(stage.work.read("one").is_some() && stage.work.read("two").is_some());
        sound(&stage);
    }
}

#[test]
fn undo_offers_the_revert_where_something_stands_on_the_landing() {
    for (diverged, args) in [
        (false, &["land"][..]),
        (true, &["land"]),
        (true, &["land", "--squash"]),
    ] {
        let (stage, _) = stage(diverged);
        stage.run(args).ok();
        let tip = stage.work.commit(&[("later", "later\n")], "later");
        let refused = stage.run(&["undo"]);
        assert_eq!(
            (refused.code, stage.work.tip("main")),
            (4, tip),
            "{}",
            refused.err
        );
        revert(&stage, &refused);
        let left = |name: &str| stage.work.read(name).is_some();
        assert_eq!(
            (left("one"), left("two"), left("later"), left("mine")),
            (false, false, true, diverged)
        );
    }
}

/// What landed is in the branch, and its commit is not: nothing is undone, so nothing is said to be.
#[test]
fn undo_offers_the_revert_where_what_landed_was_made_anew() {
    for rewrite in [
        &["commit", "-q", "--amend", "-m", "other words"][..],
        &["rebase", "-q", "--root", "--force-rebase"],
        &["reset", "-q", "--soft", "HEAD~1"],
    ] {
        let (stage, task) = stage(false);
        stage.run(&["land"]).ok();
        let args = [&["-c", "user.name=B", "-c", "user.email=b@x"], rewrite].concat();
        stage.work.git(&args);
        stage.work.commit(&[("more.txt", "m\n")], "gone on");
        let before = (stage.work.tip("main"), stage.work.status());
        let refused = stage.run(&["undo"]);
        assert_eq!(refused.code, 4, "{rewrite:?}: {}{}", refused.out, refused.err);
        assert!(
            refused.err.contains("any more") && refused.err.contains("revert --no-edit"),
            "{}",
            refused.err
        );
        assert_eq!((stage.work.tip("main"), stage.work.status()), before);
        // The record is still there.
        assert!(
            stage
                .run(&["undo", "--list"])
                .ok()
                .contains(&format!("land {task}"))
        );
    }
}

#[test]
fn undo_offers_the_revert_where_a_remote_has_the_landing() {
    let (stage, _) = stage(false);
    let remote = stage.path().join("remote.git");
    stage
        .work
        .git(&["init", "-q", "--bare", remote.to_str().unwrap()]);
    stage
        .work
        .git(&["remote", "add", "origin", remote.to_str().unwrap()]);
    stage.run(&["land"]).ok();
    let tip = stage.work.tip("main");
    stage.work.git(&["push", "-q", "origin", "main"]);
    let refused = stage.run(&["undo"]);
    assert_eq!(
        (refused.code, stage.work.tip("main")),
        (4, tip),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("origin/main has "), "{}", refused.err);
    revert(&stage, &refused);
    assert_eq!((stage.work.read("one"), stage.work.read("two")), (None, None));
}

/// The zone keeps what landed: that is said, with what takes it out.
#[test]
fn a_rollback_of_what_has_landed_says_so() {
    let stage = Stage::new();
    stage.act("echo one > one");
    stage.run(&["land"]).ok();
    let rolled = stage.run(&["rollback"]);
    assert!(
        rolled.code == 0 && rolled.err.contains("main still has what t-"),
        "{}",
        rolled.err
    );
    assert!(rolled.err.contains("next: git khlone undo 1\n"), "{}", rolled.err);
    stage.run(&["undo", "1"]).ok();
    assert_eq!(stage.work.read("one"), None);

    let stage = Stage::new();
    stage.act("echo one > one");
    stage.run(&["land"]).ok();
    stage.work.commit(&[("later", "later\n")], "later");
    let rolled = stage.run(&["rollback"]);
    assert_eq!(rolled.code, 0, "{}", rolled.err);
    revert(&stage, &rolled);
    assert_eq!(stage.work.read("one"), None);
}

/// Pastes the next step.
fn revert(stage: &Stage, refused: &Said) {
    let line = refused
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: "));
    let line = line.unwrap();
    assert!(line.starts_with("git -C ") && line.contains(" revert "), "{line}");
    stage.work.git(&["config", "alias.x", &format!("!{line}")]);
    stage.work.git(&["x"]);
}

#[test]
fn undo_of_a_landing_refuses_where_a_checkout_would_lose_something() {
    let (stage, task) = stage(false);
    stage.run(&["land"]).ok();
    stage.work.write("one", "mine now\n");
    let before = stage.standing(&task);
    let refused = stage.run(&["undo"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(
        refused.err.contains("uncommitted changes: one"),
        "{}",
        refused.err
    );
    assert_eq!(stage.standing(&task), before);
    assert_eq!(stage.work.read("one").as_deref(), Some("mine now\n"));
    stage.work.git(&["checkout", "-q", "--", "one"]);
    // What git does not track is nobody's business, unless something must go there.
    stage.work.write("notes", "mine\n");
    stage.run(&["undo"]).ok();
    assert_eq!(
        (stage.work.status().as_str(), stage.work.read("one")),
        ("?? notes", None)
    );
}

/// Killed at every point of a landing, and of its undoing, the same command finishes it, and `undo` takes it back.
#[test]
fn a_landing_that_is_killed_is_finished_or_taken_back() {
    {
        let args = &["land", "--squash"][..];
        let (stage, task) = stage(true);
        let before = stage.standing(&task);
        let mut killed = (0, 0);
        for point in 1.. {
            let struck = stage.killed(args, point);
            let at = struck.err.clone();
            let moved = stage.work.tip("main").to_string() != before.0;
            assert!(stage.work.read("a.txt").is_some() && stage.work.read("mine").is_some());
            if point % 2 == 0 {
                stage.run(args).ok();
                let after = stage.standing(&task);
                assert_eq!(
                    (after.1.as_str(), &after.3["new"]),
                    ("", &after.0.clone().into()),
                    "{at}"
                );
                assert!(stage.work.read("two").is_some(), "{at}");
            }
            let undone = stage.run(&["undo"]);
            // Killed before anything was saved.
            let saved = point % 2 == 0 || moved || undone.code == 0;
            assert!(saved || undone.code == 3, "{at}: {}", undone.err);
            assert_eq!(stage.standing(&task), before, "{at}");
            forget(&stage);
            if struck.code == 0 {
                break;
            }
            killed.0 += 1;
        }
        for point in (1..).step_by(2) {
            stage.run(args).ok();
            let struck = stage.killed(&["undo"], point);
            stage.run(&["undo"]);
            let now = stage.standing(&task);
            // The second one finishes the first, or undoes what the first had done.
            assert!(now.1.is_empty(), "{}: {}", struck.err, now.1);
            if now.0 != before.0 {
                stage.run(&["undo"]).ok();
            }
            assert_eq!(stage.standing(&task), before, "{}", struck.err);
            forget(&stage);
            if struck.code == 0 {
                break;
            }
            killed.1 += 1;
        }
        assert!(killed.0 > 10 && killed.1 > 10, "{killed:?}");
        sound(&stage);
        stage.work.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

fn sound(stage: &Stage) {
    let said = stage.run(&["fsck"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

/// What a task did after its landing is not landed.
#[test]
fn a_task_that_is_tried_again_after_its_landing_is_not_landed() {
    let stage = Stage::new();
    let script =
        "echo $KHLONE_ATTEMPT > n$KHLONE_ATTEMPT; git add .; git commit -qm n; test $KHLONE_ATTEMPT != 1";
    let (_, task) = stage.act(script);
    let id = task["task"].as_str().unwrap();
    stage.run(&["land", id]).ok();
    assert!(!stage.run(&["list", "tasks"]).out.is_empty());
    stage.until("a second", || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        (stage.task(id)["landed"]["at"].as_u64().unwrap() < now.as_secs()).then_some(())
    });
    stage.run(&["retry", id]).ok();
    stage.run(&["await", id]).ok();
    assert_eq!(stage.task(id)["status"], "done");
    assert!(stage.run(&[]).out.contains("needs you"));
    stage.run(&["land", id]).ok();
    assert!(stage.work.read("n2").is_some());
    assert!(!stage.run(&[]).out.contains("needs you"));
}

/// Starts from nothing to undo.
fn forget(stage: &Stage) {
    let names = stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/undo"]);
    for name in names.lines() {
        stage.work.git(&["update-ref", "-d", name]);
    }
}

#[test]
fn what_landed_as_a_squash_is_landed_though_its_lines_change_again() {
    let stage = Stage::with(&[("a.txt", "1\n2\n3\n4\n5\n6\n")]);
    stage.act("sed -i s/2/two/ a.txt; git commit -qam two; sed -i s/5/five/ a.txt");
    assert!(stage.run(&[]).out.contains("needs you"));
    stage.run(&["land", "--squash"]).ok();
    stage
        .work
        .commit(&[("a.txt", "1\ndeux\n3\n4\nfive\n6\n")], "the same line again");
    let status = stage.run(&[]).out;
    assert!(!status.contains("needs you"), "{status}");
    assert_eq!(stage.run(&["status", "--porcelain"]).out, "");
    // The next task begins on the zone as it is, and lands without a conflict.
    let (_, task) = stage.act("sed -n 2p a.txt > seen; sed -i s/6/six/ a.txt");
    assert_eq!(stage.clone().read("seen").as_deref(), Some("deux\n"), "{task}");
    stage.run(&["land"]).ok();
    assert_eq!(
        stage.work.read("a.txt").as_deref(),
        Some("1\ndeux\n3\n4\nfive\nsix\n")
    );
}

#[test]
fn what_a_pull_request_squashed_is_landed_until_it_is_reverted() {
    let stage = Stage::with(&[("a.txt", "1\n2\n3\n4\n5\n6\n")]);
    stage.act("sed -i s/2/two/ a.txt; git commit -qam two; sed -i s/5/five/ a.txt");
    let branch = "khlone/main/foreman.1";
    stage.work.git(&["merge", "-q", "--squash", branch]);
    stage.work.git(&["commit", "-q", "-m", "Squashed (#1)"]);
    stage
        .work
        .commit(&[("a.txt", "1\ndeux\n3\n4\nfive\n6\n")], "the same line again");
    assert!(!stage.run(&[]).out.contains("needs you"));
    let objects = fs::read_dir(stage.work.0.join(".git/khlone/tmp")).map_or(0, Iterator::count);
    assert_eq!(objects, 0, "a look leaves nothing");
    stage.run(&["zone", "remove", "main"]).ok();

    let stage = Stage::new();
    stage.act("echo one > one");
    stage.work.git(&["merge", "-q", "--squash", branch]);
    stage.work.git(&["commit", "-q", "-m", "Squashed (#1)"]);
    stage.work.git(&["revert", "--no-edit", "HEAD"]);
    assert!(stage.run(&[]).out.contains("needs you"));
    let refused = stage.run(&["zone", "remove", "main"]);
    assert!(
        refused.code == 4 && refused.err.contains("not landed"),
        "{}",
        refused.err
    );
}

#[test]
fn a_look_at_what_has_landed_writes_no_objects() {
    let (stage, _) = stage(true);
    let count = |work: &Work| work.git(&["count-objects", "-v"]);
    stage.run(&["status"]).ok();
    let before = count(&stage.work);
    stage.work.git(&["commit", "-q", "--allow-empty", "-m", "on"]);
    let one_more = count(&stage.work);
    assert!(stage.run(&["status"]).ok().contains("needs you"));
    assert_eq!(count(&stage.work), one_more, "{before}");
}

#[test]
fn an_update_leaves_out_what_has_landed_in_another_form() {
    let stage = Stage::with(&[("a.txt", "1\n2\n3\n4\n5\n6\n")]);
    stage.act("sed -i s/2/two/ a.txt; git commit -qam two; sed -i s/2nd/2/ a.txt; echo x > x");
    stage.run(&["land", "--squash"]).ok();
    stage
        .work
        .commit(&[("a.txt", "1\ndeux\n3\n4\n5\n6\n")], "the same line again");
    let clone = stage.clone();
    clone.git(&["config", "user.name", "Ann"]);
    clone.git(&["config", "user.email", "ann@example.com"]);
    clone.commit(&[("y", "y\n")], "mine");
    stage.run(&["update", "foreman.1"]).ok();
    assert_eq!(clone.git(&["log", "--format=%s", "main..HEAD"]), "mine");
    assert_eq!(clone.read("a.txt").as_deref(), Some("1\ndeux\n3\n4\n5\n6\n"));
    stage.run(&["land", "foreman.1"]).ok();
    assert_eq!(stage.work.read("y").as_deref(), Some("y\n"));
}

#[test]
fn four_landings_at_once_all_land() {
    let scratch = Scratch::new();
    let work = scratch.repo("app", &[("a", "a\n")]);
    let branches: Vec<_> = (0..4)
        .map(|n| {
            let branch = format!("b{n}");
            work.git(&["switch", "-q", "-c", &branch]);
            work.commit(&[(&format!("f{n}"), "x\n")], "work");
            work.git(&["switch", "-q", "main"]);
            branch
        })
        .collect();
    std::thread::scope(|scope| {
        for branch in &branches {
            let s = &work;
            scope.spawn(move || {
                let repo = s.open();
                let site = Site::open(&repo, "machine").unwrap();
                let style = Style::Auto;
                let policy = Policy::free();
                land(
                    &Ledger::new(&repo, &site),
                    &Landing {
                        zone: "main",
                        branch,
                        up_to: None,
                        style,
                        what: "x",
                        about: None,
                    },
                    (&policy, &Voice::none()),
                )
                .unwrap();
            });
        }
    });
    assert_eq!(work.status(), "");
    assert!((0..4).all(|n| work.read(&format!("f{n}")).is_some()));
}
