//! cancel, resume, retry, rollback and undo.

use std::fs;

use super::deaths::{QUICK, effects, kill_at_mark, runner, script, stage, until_held, until_mark, words};
use crate::stage::Stage;
use rustix::process::{Signal, kill_process};

fn has_session_file(stage: &Stage, name: &str) -> Option<String> {
    stage.clone().read(name)
}

#[test]
fn a_brain_that_flushes_on_int_has_its_grace() {
    let stage = stage(QUICK);
    let id = stage.start(
        "trap 'echo flushed > flushed.txt; exit 1' INT; echo half > half.txt; touch mark; while :; do sleep 0.1; done",
    );
    until_mark(&stage, &id);
    let said = stage.run(&["cancel", &id]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(stage.run(&["await", &id]).code, 6);
    let task = stage.task(&id);
    assert_eq!(
        (&task["status"], &task["outcome"]),
        (&"cancelled".into(), &"cancelled".into())
    );
    let clone = stage.clone();
    assert_eq!(clone.read("flushed.txt").as_deref(), Some("flushed\n"));
    assert!(
        clone.status().contains("?? half.txt"),
        "nothing is committed: {}",
        clone.status()
    );
    let files = effects(&stage, &id, 1)["files"].to_string();
    assert!(
        files.contains("flushed.txt") && files.contains("half.txt"),
        "{files}"
    );
    stage.work.git(&[
        "cat-file",
        "-e",
        &format!("refs/khlone/tasks/{id}:attempts/1/transcript/0001.jsonl"),
    ]);
}

#[test]
fn a_cancelled_task_whose_runner_dies_is_cancelled_with_its_effects() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let id = stage.start("trap '' INT TERM; echo work > work.txt; touch mark; while :; do sleep 0.1; done");
    until_mark(&stage, &id);
    stage.run(&["cancel", &id]).ok();
    kill_at_mark(&stage, &id);
    let task = stage.until("the end", || {
        let task = stage.task(&id);
        (task["status"] == "cancelled").then_some(task)
    });
    assert_eq!(
        (&task["outcome"], task["attempts"].as_array().unwrap().len()),
        (&"cancelled".into(), 1),
        "{task:#}"
    );
    assert!(effects(&stage, &id, 1)["files"].to_string().contains("work.txt"));
}

#[test]
fn a_held_task_goes_on_when_a_person_says_so_and_is_told_what_others_did() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let id = stage.start(&script("echo mine > mine.txt", "cp \"$0\" told.txt"));
    kill_at_mark(&stage, &id);
    let task = until_held(&stage, &id);
    assert!(task["reasons"].to_string().contains("resume: ask"), "{task:#}");
    // Meanwhile somebody edits a file and commits another in the clone's worktree.
    let clone = stage.clone();
    clone.write("b.txt", "theirs\n");
    clone.git(&["add", "mine.txt"]);
    clone.git(&[
        "-c",
        "user.name=Bo",
        "-c",
        "user.email=b@x",
        "commit",
        "-qm",
        "theirs",
    ]);
    let status = stage.run(&["status"]);
    assert!(status.out.contains("needs you"), "{}", status.out);
    stage.run(&["resume", &id]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    let task = stage.task(&id);
    assert_eq!(
        (&task["attempts"][1]["how"], &task["hold"]),
        (&"resume".into(), &serde_json::Value::Null)
    );
    let told = has_session_file(&stage, "told.txt").unwrap();
    for wanted in [
        "Attempt 1 of this task was interrupted",
        "# - mine.txt",
        "b.txt: modified",
        "refs/heads/khlone/main/foreman.1: ",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    // It is written down too, not only told to the brain.
    let external = words(&effects(&stage, &id, 1)["external"]).join("\n");
    assert!(
        external.contains("b.txt: modified") && external.contains("refs/heads/khlone/main/foreman.1: "),
        "{external}"
    );
    assert!(stage.run(&["fsck"]).code == 0, "{}", stage.run(&["fsck"]).out);
}

#[test]
fn a_worktree_that_was_taken_away_is_made_again_with_its_last_files() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let id = stage.start(&script(
        "echo work > work.txt; echo changed > a.txt; until [ -e seen ]; do sleep 0.05; done",
        "test -e work.txt",
    ));
    let lines = stage.attempt(&id, 1).join("checkpoints.jsonl");
    let path = stage.until("a worktree", || {
        let path = stage.run(&["path", &id]).out.trim().to_owned();
        let written = fs::read_to_string(format!("{path}/a.txt")).ok()? == "changed\n";
        written.then_some(path)
    });
    let count = || {
        fs::read_to_string(&lines)
            .unwrap_or_default()
            .matches("\"k\"")
            .count()
    };
    let seen = count();
    // One that was asked for before the files were there may still be under way.
    stage.until("two more checkpoints", || (count() >= seen + 2).then_some(()));
    fs::write(format!("{path}/seen"), "").unwrap();
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]);
    kill_at_mark(&stage, &id);
    fs::rename(&path, stage.path().join("away")).unwrap();
    fs::remove_dir_all(stage.path().join("away")).unwrap();
    stage.run(&["daemon", "start"]).ok();
    until_held(&stage, &id);
    let effects = effects(&stage, &id, 1);
    assert!(
        words(&effects["external"])
            .join(" ")
            .contains("was not in its place"),
        "{effects:#}"
    );
    let clone = stage.clone();
    assert_eq!(clone.read("work.txt").as_deref(), Some("work\n"));
    assert_eq!(clone.read("a.txt").as_deref(), Some("changed\n"));
    stage.run(&["resume", &id]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
}

#[test]
fn a_rollback_takes_back_all_and_undo_brings_it_back() {
    let stage = Stage::with(&[("a.txt", "a\n"), (".gitignore", "*.log\n")]);
    stage.act("echo early > early.txt");
    let clone = stage.clone();
    let before = clone.tip("HEAD");
    let (_, task) = stage.act("echo b > a.txt; echo new > new.txt; git add -A; git commit -qm mine; exit 3");
    let id = task["task"].as_str().unwrap().to_owned();
    assert_eq!(task["status"], "failed");
    let after = clone.tip("HEAD");
    // On top of it lies what the user left: staged, untracked, ignored.
    clone.write("staged.txt", "s\n");
    clone.git(&["add", "staged.txt"]);
    clone.write("loose.txt", "l\n");
    clone.write("note.log", "ignored\n");
    fs::write(clone.0.join("big.log"), vec![b'x'; 2 << 20]).unwrap();
    let status = clone.status();
    let said = stage.run(&["rollback", &id]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err.contains("big.log") && said.err.contains("git khlone undo"),
        "{}",
        said.err
    );
    assert_eq!((clone.tip("HEAD"), clone.status()), (before, String::new()));
    assert_eq!(clone.read("a.txt").as_deref(), Some("a\n"));
    assert!(clone.read("new.txt").is_none() && clone.read("loose.txt").is_none());
    assert_eq!(
        clone.read("note.log").as_deref(),
        Some("ignored\n"),
        "ignored files stay"
    );
    let discarded = stage.work.git(&[
        "ls-tree",
        "--name-only",
        &format!("refs/khlone/tasks/{id}:attempts/1/discarded"),
    ]);
    assert!(discarded.contains("loose.txt"), "{discarded}");
    let list = stage.run(&["undo", "--list"]).ok();
    assert!(list.contains(&format!("rollback {id}")), "{list}");
    stage.run(&["undo"]).ok();
    assert_eq!((clone.tip("HEAD"), clone.status()), (after, status));
    assert_eq!(clone.read("a.txt").as_deref(), Some("b\n"));
    // The undoing can be undone.
    stage.run(&["undo"]).ok();
    assert_eq!((clone.tip("HEAD"), clone.status()), (before, String::new()));
    stage.work.git(&["fsck", "--strict"]);
}

#[test]
fn an_update_can_be_undone() {
    let stage = Stage::new();
    stage.act("echo 1 > one.txt");
    let clone = stage.clone();
    clone.write("loose.txt", "l\n");
    let (before, status) = (clone.tip("HEAD"), clone.status());
    stage.work.commit(&[("b.txt", "b\n")], "the zone goes on");
    let said = stage.run(&["update", "foreman.1"]);
    assert!(
        said.code == 0 && said.err.contains("git khlone undo 1"),
        "{}",
        said.err
    );
    assert!(clone.tip("HEAD") != before && clone.read("b.txt").is_some());
    let list = stage.run(&["undo", "--list"]).ok();
    assert!(list.contains("update"), "{list}");
    stage.run(&["undo"]).ok();
    assert_eq!((clone.tip("HEAD"), clone.status()), (before, status));
    assert_eq!(
        (clone.read("b.txt"), clone.read("loose.txt").as_deref()),
        (None, Some("l\n"))
    );
    // What is up to date is left alone, and nothing is saved for it.
    stage.run(&["update", "foreman.1"]).ok();
    let saved = || stage.run(&["undo", "--list"]).ok().lines().count();
    let count = saved();
    stage.run(&["update", "foreman.1"]).ok();
    assert_eq!(saved(), count);
}

/// Between the death of an attempt and its recovery nothing is moved under what it left.
#[test]
fn a_clone_with_work_of_a_dead_attempt_is_not_moved() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = stage(QUICK);
    stage.act("echo 1 > one.txt");
    stage.work.commit(&[("b.txt", "b\n")], "the zone goes on");
    stage.run(&["update", "foreman.1"]).ok();
    stage.work.commit(&[("user.txt", "u\n")], "the user goes on");
    let id = stage.start(&script(
        "echo mine > mine.txt; git add -A; git commit -qm mine; echo half > half.txt",
        "true",
    ));
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]).ok();
    kill_process(runner(&stage, &id), Signal::KILL).unwrap();
    let (before, status) = (stage.clone().tip("HEAD"), stage.clone().status());
    for args in [&["update", "foreman.1"][..], &["undo"]] {
        let said = stage.run(args);
        assert!(
            said.code == 4 && said.err.contains(&format!("git khlone await {id}")),
            "{args:?}: {}",
            said.err
        );
    }
    assert_eq!(
        (stage.clone().tip("HEAD"), stage.clone().status()),
        (before, status)
    );
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    let effects = effects(&stage, &id, 1);
    assert_eq!(words(&effects["external"]), Vec::<String>::new(), "{effects:#}");
    assert!(!effects["files"].to_string().contains("user.txt"), "{effects:#}");
    let log = stage.work.git(&["log", "--format=%s", "khlone/main/foreman.1"]);
    assert!(log.lines().any(|subject| subject == "mine"), "{log}");
    stage.run(&["update", "foreman.1"]).ok();
    assert!(stage.clone().read("user.txt").is_some());
}

#[test]
fn a_rollback_never_takes_what_came_later() {
    let stage = Stage::new();
    let (_, first) = stage.act("echo 1 > one.txt");
    stage.act("echo 2 > two.txt");
    let said = stage.run(&["rollback", first["task"].as_str().unwrap()]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("gone on"), "{}", said.err);
    assert!(stage.clone().read("two.txt").is_some());
}

#[test]
fn a_retry_is_a_new_attempt_and_a_fresh_one_begins_where_the_task_began() {
    let stage = Stage::new();
    let (_, task) =
        stage.act("test -e done.txt && exit 0; echo x >> grown.txt; test $KHLONE_ATTEMPT = 3; exit $?");
    let id = task["task"].as_str().unwrap();
    assert_eq!(task["status"], "failed");
    stage.run(&["retry", id]).ok();
    assert_eq!(stage.run(&["await", id]).code, 1);
    assert_eq!(stage.clone().read("grown.txt").as_deref(), Some("x\nx\n"));
    stage.run(&["retry", "--fresh", id]).ok();
    let said = stage.run(&["await", id]);
    assert_eq!(said.code, 0, "{}\n{:#}", said.err, stage.task(id));
    assert_eq!(stage.clone().read("grown.txt").as_deref(), Some("x\n"));
    let task = stage.task(id);
    let how: Vec<_> = task["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["how"].as_str())
        .collect();
    assert_eq!(how, [None, Some("retry"), Some("retry")]);
    let refused = stage.run(&["retry", id]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(stage.run(&["fsck"]).code == 0, "{}", stage.run(&["fsck"]).out);
}

#[test]
fn whoever_waits_behind_a_task_on_hold_is_told() {
    let stage = stage("resume: ask\n");
    let held = stage.start(&script("true", "true"));
    kill_at_mark(&stage, &held);
    until_held(&stage, &held);
    let said = stage.run(&["act", "--who", "@shell", "--await", "-m", "echo on > on"]);
    let id = &said.id();
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(
        said.err.contains(&held) && said.err.contains("waits for you"),
        "{}",
        said.err
    );
    assert_eq!(stage.task(id)["status"], "queued");
    stage.run(&["cancel", &held]).ok();
    let said = stage.run(&["await", id]);
    assert_eq!(said.code, 0, "{}", said.err);
}

/// Another attempt would only crash: it is refused, and the way back is named.
#[test]
fn a_task_of_a_removed_clone_is_not_tried_again() {
    let stage = Stage::new();
    let (_, task) = stage.act("exit 1");
    let id = task["task"].as_str().unwrap();
    stage
        .run(&["zone", "remove", "main", "--clone", "foreman.1", "--force"])
        .ok();
    for args in [&["retry", id][..], &["resume", id], &["retry", "--fresh", id]] {
        let said = stage.run(args);
        assert!(
            said.code == 3 && said.err.contains("foreman.1") && said.err.contains("next: git khlone undo 1"),
            "{args:?}: {}",
            said.err
        );
        assert_eq!(stage.task(id)["status"], "failed");
    }
    stage.run(&["undo", "1"]).ok();
    stage.run(&["retry", id]).ok();
    assert_eq!(stage.run(&["await", id]).code, 1);
}

#[test]
fn what_a_dead_attempt_left_is_looked_at_before_anybody_mends_redacts_or_rolls_back() {
    let stage = stage(QUICK);
    let (_, before) = stage.act("echo before > before.txt");
    let id = stage.start(&script(
        "echo done > done.txt; git add done.txt; git commit -qm 'a step'",
        "ls > seen.txt",
    ));
    until_mark(&stage, &id);
    let clone = stage.clone();
    let text = fs::read_to_string(stage.work.0.join(".git/khlone/daemon.json")).unwrap();
    let daemon: serde_json::Value = serde_json::from_str(&text).unwrap();
    let daemon = i32::try_from(daemon["process"]["pid"].as_i64().unwrap()).unwrap();
    kill_process(rustix::process::Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
    kill_process(runner(&stage, &id), Signal::KILL).unwrap();
    let place = stage.path().join("away");
    fs::rename(&clone.0, &place).unwrap();
    for args in [
        &["zone", "repair"][..],
        &["redact", &id, "--pattern", "sleep 600"],
        &["rollback", before["task"].as_str().unwrap()],
    ] {
        let said = stage.run(args);
        assert_ne!(said.code, 0, "{args:?}: {}{}", said.out, said.err);
        let told = said.out + &said.err;
        assert!(
            told.contains(&format!("still has work of {id}")),
            "{args:?}: {told}"
        );
        assert!(!clone.0.exists(), "{args:?}");
    }
    fs::rename(&place, &clone.0).unwrap();
    stage.run(&["daemon", "start"]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    assert!(clone.git(&["log", "--format=%s"]).contains("a step"));
    let seen = clone.read("seen.txt").unwrap();
    assert!(seen.contains("done.txt"), "{seen}");
}
