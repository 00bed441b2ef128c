//! The site's own folder is taken away while a task runs, or after its runner has died.

use std::{fs, path::PathBuf};

use rustix::process::{Signal, kill_process};

use super::deaths::{QUICK, effects, kill_at_mark, runner, script, stage, until_held, until_mark, words};
use crate::{scratch::Work, stage::Stage};

fn take_away(stage: &Stage) {
    // The daemon writes in it meanwhile.
    let is_gone = || fs::remove_dir_all(stage.work.0.join(".git/khlone")).ok();
    stage.until("the folder's end", is_gone);
}

#[test]
fn an_attempt_whose_folder_is_gone_had_begun_all_the_same_and_is_in_doubt() {
    let stage = stage(QUICK);
    let id = stage.start(&script("echo work > work.txt; : > a.txt", "echo more > more.txt"));
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]).ok();
    kill_at_mark(&stage, &id);
    take_away(&stage);
    stage.run(&["daemon", "start"]).ok();
    let task = until_held(&stage, &id);
    assert_eq!(task["attempts"][0]["died"]["began"], true, "{task:#}");
    let effects = effects(&stage, &id, 1);
    let doubt = words(&effects["in_doubt"]).join("\n");
    assert!(
        doubt.contains("work.txt (added)") && doubt.contains("a.txt (modified, cut off or empty)"),
        "{effects:#}"
    );
    let external = words(&effects["external"]).join("\n");
    assert!(external.contains("folder was taken away"), "{external}");
    assert!(!external.contains("refs/heads"), "{external}");
    // It is still this site's task, and goes on when a person says so.
    stage.run(&["resume", &id]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    let clone = stage.clone();
    assert_eq!(clone.read("work.txt").as_deref(), Some("work\n"));
    assert_eq!(clone.read("more.txt").as_deref(), Some("more\n"));
    assert_eq!(stage.task(&id)["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_runner_whose_folder_is_taken_away_is_not_joined_by_another() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = stage(QUICK);
    let id = stage.start(
        "echo $KHLONE_ATTEMPT >> runs.txt; touch mark; until [ -e go ]; do sleep 0.05; done; echo end > end.txt",
    );
    until_mark(&stage, &id);
    let old = runner(&stage, &id);
    stage.run(&["daemon", "stop"]).ok();
    take_away(&stage);
    stage.run(&["daemon", "start"]).ok();
    // The new daemon has looked at it once it has adopted it.
    stage.until("a look", || {
        let log = fs::read_to_string(stage.work.0.join(".git/khlone/daemon.log")).unwrap_or_default();
        log.contains("runner adopted").then_some(())
    });
    assert_eq!(runner(&stage, &id), old);
    let clone = stage.clone();
    assert_eq!(clone.read("runs.txt").as_deref(), Some("1\n"));
    clone.write("go", "");
    // It cannot write down its own end; what it left is looked after, and nothing of it is lost.
    let task = until_held(&stage, &id);
    assert_eq!(
        (task["attempts"].as_array().unwrap().len(), &task["status"]),
        (1, &"interrupted".into()),
        "{task:#}"
    );
    assert_eq!(clone.read("end.txt").as_deref(), Some("end\n"));
    let _gone = kill_process(old, Signal::KILL);
}

#[test]
fn a_repository_that_is_moved_under_a_task_is_taken_over_where_it_stands() {
    let stage = Stage::new();
    let to = stage.path().join("to");
    taken_over_where_it_stands(stage, |stage| {
        fs::create_dir(&to).unwrap();
        for name in ["repo", "repo.khlone"] {
            fs::rename(stage.path().join(name), to.join(name)).unwrap();
        }
        // It finds that out by itself.
        let daemon = daemon(&Work(to.join("repo"))).0;
        stage.until("the daemon's end", || (!daemon.exists()).then_some(()));
        to.clone()
    });
}

/// Nothing near the repository changes its name then.
#[test]
fn a_folder_far_above_that_is_renamed_under_a_task_is_a_move_as_well() {
    let mut stage = Stage::new();
    let (from, to) = (stage.path().join("from/two"), stage.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::rename(&stage.work.0, from.join("repo")).unwrap();
    stage.work = Work(from.join("repo"));
    taken_over_where_it_stands(stage, |stage| {
        fs::rename(stage.path().join("from"), &to).unwrap();
        to.join("two")
    });
}

/// The daemon's folder in `/proc`, and its socket.
fn daemon(work: &Work) -> (PathBuf, PathBuf) {
    let record = fs::read_to_string(work.0.join(".git/khlone/daemon.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let process = PathBuf::from(format!("/proc/{}", record["process"]["pid"]));
    (process, record["socket"].as_str().unwrap().into())
}

/// Calls `relocate` under a task; it gives the folder in which the repository and its worktrees stand then.
fn taken_over_where_it_stands(mut stage: Stage, relocate: impl FnOnce(&Stage) -> PathBuf) {
    stage.act("true");
    let id = stage.start("echo a > a; until [ -e go ]; do sleep 0.05; done; echo b > b");
    let after = stage.start("echo after > after");
    let tree = stage.clone();
    stage.until("the task's first file", || tree.read("a"));
    let (daemon, socket) = daemon(&stage.work);
    assert!(daemon.exists() && socket.exists());
    let name = tree.0.file_name().unwrap().to_owned();
    let to = relocate(&stage);
    stage.work = Work(to.join("repo"));
    let moved = Work(to.join("repo.khlone").join(name));
    moved.write("go", "");
    let next = ["act", "--who", "@shell++", "--await", "-m", "true"];
    stage.run(&next).ok();
    stage.until("the daemon's end", || (!daemon.exists()).then_some(()));
    assert!(!socket.exists());
    let became = |id: &str| {
        stage.until("what becomes of it", || {
            let task = stage.task(id);
            let is_over = ["done", "failed"].iter().any(|is| task["status"] == *is);
            (is_over || task["hold"].is_object() || task["hold"].is_string()).then_some(task)
        })
    };
    let task = became(&id);
    let told = stage.run(&["show", &id]).out;
    assert!(
        !told.contains("somebody else") && !told.contains("external"),
        "{told}"
    );
    assert_eq!(task["status"], "done", "{told}");
    assert_eq!(moved.read("b").as_deref(), Some("b\n"));
    assert_eq!(became(&after)["status"], "done");
    assert_eq!(moved.read("after").as_deref(), Some("after\n"));
    let worktrees = stage.work.git(&["worktree", "list", "--porcelain"]);
    assert!(!worktrees.contains("prunable"), "{worktrees}");
    assert_eq!(stage.run(&["fsck"]).code, 0);
}
