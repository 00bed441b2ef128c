//! A clone's worktree in which no task can begin, as a person has left it: told before one is queued, with the way out.

use git_khlone::process::Cmd;

use crate::{scratch::Work, stage::Stage};

/// What a person did in the worktree, and what is said of it.
const LEFT: [(&str, &str); 9] = [
    ("git switch -qc other", "is on other, not on its branch"),
    ("git checkout -q --detach", "is on no branch"),
    ("git switch -q --orphan orphan", "is on orphan, not on its branch"),
    ("git rebase -q side", "a rebase is in progress in"),
    ("git rebase -q --apply side", "a rebase is in progress in"),
    ("git bisect start HEAD HEAD~2", "a bisect is in progress in"),
    ("git merge side", "a merge is in progress in"),
    ("git cherry-pick side", "a cherry-pick is in progress in"),
    (
        "git format-patch -1 side --stdout | git am",
        "an am is in progress in",
    ),
];

fn refs_of(stage: &Stage) -> String {
    stage.work.git(&["for-each-ref", "refs/khlone"])
}

fn sh(stage: &Stage, work: &Work, script: &str) -> bool {
    let sh = Cmd::new("sh").args(["-c", script]);
    let done = stage.surrounded(sh).dir(&work.0).finish().unwrap();
    done.status.success()
}

#[test]
fn a_worktree_that_is_not_on_its_branch_is_told_before_a_task_is_queued() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::new();
    stage.act("echo one > one");
    stage.act("echo two > two");
    let clone = stage.clone();
    let set_up = "git config user.name A; git config user.email a@x; b=$(git branch --show-current)
        git switch -qc side HEAD~1; echo s > a.txt; git commit -qam s; git switch -q $b; echo t > a.txt; git commit -qam t";
    assert!(sh(&stage, &clone, set_up));
    for (left, told) in LEFT {
        sh(&stage, &clone, left);
        let (before, refs) = (clone.bytes(), refs_of(&stage));
        for mode in ["act", "ask"] {
            let refused = stage.run(&[mode, "--who", "foreman.1", "--await", "echo n > n"]);
            assert_eq!(refused.code, 4, "{left}: {}", refused.err);
            assert!(refused.err.contains(told), "{left}: {}", refused.err);
        }
        assert!(before == clone.bytes() && refs == refs_of(&stage), "{left}");
        // Another clone works, and what is said helps.
        stage
            .run(&["act", "--who", "@shell", "--zone", "side", "--await", "true"])
            .ok();
        let refused = stage.run(&["act", "--who", "foreman.1", "true"]).err;
        let next = refused
            .lines()
            .find_map(|line| line.trim().strip_prefix("next: "))
            .unwrap();
        assert!(sh(&stage, &stage.work, next), "{left}: {next}");
        let (said, task) = stage.act("git branch --show-current");
        assert_eq!(said.out.trim(), "khlone/main/foreman.1", "{left}: {task:#}");
    }
    // Its branch is somebody else's now.
    sh(&stage, &clone, "git switch -qc aside");
    let taken = stage.path().join("taken");
    stage.work.git(&[
        "worktree",
        "add",
        "-q",
        taken.to_str().unwrap(),
        "khlone/main/foreman.1",
    ]);
    let refused = stage.run(&["act", "--who", "foreman.1", "true"]);
    assert!(
        refused.code == 4 && refused.err.contains("is checked out in"),
        "{}",
        refused.err
    );
}

#[test]
fn where_it_goes_wrong_after_that_the_task_tells_the_way_out() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let clone = stage.clone();
    let first = stage.start("until test -e go.log; do sleep 0.05; done");
    let second = stage.start("echo two > two");
    stage.until("it runs", || {
        (stage.task(&first)["status"] == "running").then_some(())
    });
    // Its own git is not that of the worktree.
    clone.git(&["switch", "-qc", "other"]);
    clone.write("go.log", "");
    assert_ne!(stage.run(&["await", &second]).code, 0);
    let reasons = stage.task(&second)["reasons"].to_string();
    assert!(reasons.contains("switch khlone/main/foreman.1"), "{reasons}");
}

#[test]
fn a_merge_in_conflict_is_work_for_a_brain_that_sees_it() {
    let stage = Stage::new();
    let own = stage.path().join("home/.config/khlone");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("config.yml"), "sandbox: off\n").unwrap();
    stage.act("echo t > a.txt");
    stage.work.commit(&[("a.txt", "s\n")], "side");
    sh(&stage, &stage.clone(), "git merge main");
    let script = "echo both > a.txt; git commit -qam merged; git log -1 --format=%P | wc -w";
    let (said, task) = stage.act(script);
    assert_eq!((said.code, said.out.trim()), (0, "2"), "{task:#}");
}

/// Each is refused with nothing written, and what is said helps.
#[test]
fn links_in_the_place_of_worktrees_are_told_before_a_task_is_queued() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let clone = stage.clone();
    let act = ["act", "--who", "foreman.1", "--await", "true"];
    let refused = |told: &str| {
        let refs = refs_of(&stage);
        let said = stage.run(&act);
        assert_eq!(said.code, 4, "{}", said.err);
        assert!(said.err.contains(told), "{}", said.err);
        assert_eq!(refs_of(&stage), refs, "{told}");
        said.err
            .lines()
            .find_map(|line| Some(line.trim().strip_prefix("next: ")?.to_owned()))
    };
    let away = stage.path().join("away");
    std::fs::rename(&clone.0, &away).unwrap();
    std::fs::create_dir(stage.path().join("other")).unwrap();
    std::os::unix::fs::symlink(stage.path().join("other"), &clone.0).unwrap();
    refused("link");
    std::fs::remove_file(&clone.0).unwrap();
    std::fs::rename(&away, &clone.0).unwrap();
    let (own, moved) = (stage.work.0.join(".git/worktrees"), stage.path().join("moved"));
    std::fs::rename(&own, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &own).unwrap();
    let next = refused("worktrees is a symbolic link, to ").unwrap();
    assert!(sh(&stage, &stage.work, &next), "{next}");
    stage.run(&act).ok();
}
