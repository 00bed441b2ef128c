//! What a person has staged in a clone's worktree stays theirs.

use std::fs;

use crate::{scratch::Work, stage::Stage};

fn stage() -> (Stage, Work) {
    let stage = Stage::with(&[("a.txt", "a\n"), ("p/f", "f\n"), ("q/g", "g\n"), ("q/h", "h\n")]);
    stage.act("true");
    let clone = stage.clone();
    clone.write("new", "staged\n");
    clone.write("p/f", "staged\n");
    clone.git(&["add", "new", "p/f"]);
    clone.write("p/f", "not staged\n");
    clone.git(&["rm", "-q", "--cached", "q/g"]);
    (stage, clone)
}

fn staged(clone: &Work) -> String {
    clone.git(&["diff", "--cached", "--no-renames", "HEAD"])
}

#[test]
fn it_stays_staged_whatever_the_task_commits() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let (stage, clone) = stage();
    let before = (staged(&clone), clone.git(&["diff"]));
    for script in [
        "echo two > two",
        "rm q/h; chmod +x a.txt",
        "mkdir deep; echo d > deep/d; git add deep; git commit -qm own",
        "git commit -q --allow-empty -m nothing",
        "true",
    ] {
        let (said, task) = stage.act(script);
        assert_eq!(said.code, 0, "{script}: {} {task:#}", said.err);
        assert_eq!((staged(&clone), clone.git(&["diff"])), before, "{script}");
        let tip = clone.git(&["ls-tree", "-r", "HEAD", "new", "q/g", "p/f"]);
        assert_eq!(
            tip,
            stage.work.git(&["ls-tree", "-r", "main", "new", "q/g", "p/f"]),
            "{script}"
        );
    }
    let commits = stage
        .work
        .git(&["log", "--format=%s", "main..khlone/main/foreman.1"]);
    assert_eq!(commits.lines().count(), 4, "{commits}");
}

#[test]
fn what_the_task_commits_of_it_is_told() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let (stage, clone) = stage();
    let (_, task) = stage.act("echo more >> p/f");
    assert!(
        task["reasons"]
            .to_string()
            .contains("committed by the task, and staged no more: p/f"),
        "{task:#}"
    );
    assert_eq!(clone.git(&["diff", "--cached", "--name-only"]), "new\nq/g");
    assert_eq!(clone.read("p/f").as_deref(), Some("not staged\nmore\n"));
}

#[test]
fn edits_of_a_persons_that_are_committed_with_the_tasks_are_told() {
    let told = |task: &serde_json::Value| {
        task["reasons"]
            .to_string()
            .contains("edits from before the task: a.txt")
    };
    for attributes in ["", "*.txt text eol=crlf\n"] {
        let stage = Stage::with(&[("a.txt", "a\n"), (".gitattributes", attributes)]);
        let (_, task) = stage.act("printf 'one\\r\\n' >> a.txt");
        assert!(!told(&task), "{task:#}");
        let clone = stage.clone();
        let text = clone.read("a.txt").unwrap();
        clone.write("a.txt", &format!("{text}mine\n"));
        let (_, task) = stage.act("echo brain >> a.txt");
        assert!(told(&task), "{task:#}");
        let (_, task) = stage.act("echo more >> a.txt");
        assert!(!told(&task), "{task:#}");
    }
}

/// What lands is what is shown, whoever wrote it.
#[test]
fn a_diff_has_the_edits_that_go_with_a_commit() {
    let files = [
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        ("c d.txt", "c\n"),
        ("e", "e\n"),
        ("f", "f\n"),
    ];
    for attributes in ["", "*.txt text eol=crlf\n"] {
        let stage = Stage::with(&[&files[..], &[(".gitattributes", attributes)]].concat());
        stage.act("true");
        let clone = stage.clone();
        clone.write("a.txt", "mine\na\n");
        clone.write("new", "mine\n");
        clone.write("deep/new", "mine\n");
        clone.git(&["rm", "-q", "--cached", "b.txt"]);
        clone.write("e", "mine\n");
        fs::remove_file(clone.0.join("f")).unwrap();
        let (said, task) = stage.act("echo brain >> a.txt; echo g > g; git add -A; git commit -qm all; rm g");
        let id = task["task"].as_str().unwrap();
        assert_eq!(said.code, 0, "{} {task:#}", said.err);
        let of = |target: &str| stage.run(&["diff", target]).ok();
        assert_eq!(of(id), of("foreman.1"), "{attributes}");
        let names = "a.txt\ndeep/new\ne\nf\nnew";
        assert_eq!(stage.run(&["diff", "--name-only", id]).ok(), names);
        let stat = stage.run(&["diff", "--stat", id]).ok();
        assert!(
            stat.ends_with("5 files changed, 5 insertions(+), 2 deletions(-)"),
            "{stat}"
        );
    }
}

#[test]
fn a_diff_has_the_changes_that_a_task_took_along() {
    let stage = Stage::with(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
    stage.work.write("a.txt", "mine\n");
    stage.work.write("new.txt", "mine\n");
    let script = "echo brain >> a.txt; echo brain >> b.txt";
    let said = stage.run(&["act", "--with-changes", "--who", "@shell", "--await", script]);
    assert_eq!(said.code, 0, "{}", said.err);
    let names = "a.txt\nb.txt\nnew.txt";
    assert_eq!(stage.run(&["diff", "--name-only"]).ok(), names);
    assert_eq!(stage.run(&["diff"]).ok(), stage.run(&["diff", "foreman.1"]).ok());
}

/// What a person told git of a file holds on, also where a task changes the file.
#[test]
fn marks_and_files_that_are_to_be_added_stay() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::with(&[("a.txt", "a\n"), ("b.txt", "b\n"), ("c.txt", "c\n")]);
    stage.act("true");
    let clone = stage.clone();
    clone.write("new", "mine\n");
    clone.git(&["add", "-N", "new"]);
    clone.git(&["update-index", "--assume-unchanged", "a.txt"]);
    clone.git(&["update-index", "--skip-worktree", "b.txt"]);
    for script in [
        "echo x > x; rm x; echo c >> c.txt",
        "echo a >> a.txt; echo b >> b.txt",
        "true",
    ] {
        let (said, task) = stage.act(script);
        assert_eq!(said.code, 0, "{script}: {} {task:#}", said.err);
        let marks = clone.git(&["ls-files", "-v"]);
        assert_eq!(marks, "h a.txt\nS b.txt\nH c.txt\nH new", "{script}");
        assert_eq!(clone.git(&["status", "--porcelain"]), " A new", "{script}");
    }
    let changed = ["diff", "--name-only", "main", "khlone/main/foreman.1"];
    assert_eq!(stage.work.git(&changed), "a.txt\nb.txt\nc.txt");
}

/// A move of files that fails half way touches none but its own.
#[test]
fn a_landing_that_fails_over_the_files_leaves_what_git_does_not_look_at() {
    let files = [
        ("a.txt", "a\n"),
        ("kept", "k\n"),
        ("z.bad", "z\n"),
        (".gitattributes", "*.bad filter=bad\n"),
    ];
    let stage = Stage::with(&files);
    stage.act("echo b > a.txt; echo new > new; rm -f .x; echo y > z.bad");
    stage.work.git(&["update-index", "--assume-unchanged", "kept"]);
    stage.work.write("kept", "mine\n");
    for (name, value) in [("smudge", "false"), ("clean", "cat"), ("required", "true")] {
        stage.work.git(&["config", &format!("filter.bad.{name}"), value]);
    }
    let landed = stage.run(&["land"]);
    assert_ne!(landed.code, 0, "{}", landed.err);
    assert_eq!(
        stage.work.read("kept").as_deref(),
        Some("mine\n"),
        "{}",
        landed.err
    );
    assert_eq!(stage.work.read("a.txt").as_deref(), Some("a\n"));
    assert_eq!(stage.work.read("new"), None);
}
