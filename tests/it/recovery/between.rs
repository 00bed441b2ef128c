//! What somebody else does between two attempts, and what becomes of files that are in no commit.

use std::fs;

use super::deaths::{QUICK, effects, kill_at_mark, script, stage, until_held, until_mark, words};

#[test]
fn a_worktree_taken_away_from_a_task_on_hold_comes_back_with_what_was_in_no_commit() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let id = stage.start(&script(
        "echo work > work.txt; rm a.txt",
        "test -e work.txt && echo more > more.txt",
    ));
    kill_at_mark(&stage, &id);
    until_held(&stage, &id);
    fs::rename(&stage.clone().0, stage.path().join("elsewhere")).unwrap();
    stage.work.git(&["branch", "theirs"]);
    stage.run(&["resume", &id]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    let clone = stage.clone();
    assert_eq!(clone.read("work.txt").as_deref(), Some("work\n"));
    assert_eq!(clone.read("a.txt"), None);
    let external = words(&effects(&stage, &id, 1)["external"]).join("\n");
    for wanted in ["was not in its place", "refs/heads/theirs"] {
        assert!(external.contains(wanted), "{external}");
    }
    // All of it is told of the task, not the last attempt's part alone.
    let shown = stage.run(&["show", &id]).ok();
    for wanted in [
        "file     added work.txt",
        "file     deleted a.txt",
        "file     added more.txt",
        "external refs/heads/theirs",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    assert_eq!(stage.run(&["fsck"]).code, 0, "{}", stage.run(&["fsck"]).out);
}

#[test]
fn without_a_sandbox_a_branch_that_was_rewritten_is_told_and_what_it_had_is_kept() {
    let stage = stage(QUICK);
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "sandbox: off\n").unwrap();
    let first =
        "echo work > work.txt; git add -A; git commit -qm mine; until [ -e seen ]; do sleep 0.05; done";
    let id = stage.start(&script(first, "exit 0"));
    let branch = "refs/heads/khlone/main/foreman.1";
    let lines = stage.attempt(&id, 1).join("checkpoints.jsonl");
    let start = stage.work.git(&["rev-parse", "main"]);
    let mine = stage.until("a checkpoint with the commit", || {
        let tip = stage.work.try_git(&["rev-parse", branch]).ok()?;
        let lines = fs::read_to_string(&lines).unwrap_or_default();
        let seen = lines.contains(&format!("\"head\":\"{tip}\""));
        (seen && tip != start).then_some(tip)
    });
    stage.clone().write("seen", "");
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]);
    kill_at_mark(&stage, &id);
    // The same as `git commit --amend` or a reset on the host: what was there is on no branch any more.
    let tree = stage.work.git(&["rev-parse", &format!("{start}^{{tree}}")]);
    let who = ["-c", "user.name=Bo", "-c", "user.email=b@x"];
    let theirs = stage
        .work
        .git(&[&who[..], &["commit-tree", "-p", &start, "-m", "theirs", &tree]].concat());
    stage.work.git(&["update-ref", branch, &theirs]);
    stage.run(&["daemon", "start"]).ok();
    until_held(&stage, &id);
    let external = words(&effects(&stage, &id, 1)["external"]).join("\n");
    assert!(
        external.contains(&format!("{branch} was rewritten: {mine} is not on it any more")),
        "{external}"
    );
    stage.work.git(&[
        "merge-base",
        "--is-ancestor",
        &mine,
        &format!("refs/khlone/pins/{id}/1-passed-0"),
    ]);
    stage.run(&["resume", &id]).ok();
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    assert_eq!(stage.run(&["fsck"]).code, 0, "{}", stage.run(&["fsck"]).out);
}
