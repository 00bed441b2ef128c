//! Files that git cannot take into a commit.

use super::committed::{balances, left, unconfined};
use crate::stage::Stage;

#[test]
fn what_git_cannot_take_keeps_nothing_else_from_being_committed() {
    let setups: [(&str, &str, &str, &str); 6] = [
        (
            "filter.bad.clean=false filter.bad.smudge=cat filter.bad.required=true",
            "echo b > x.bad",
            "x.bad",
            "clean filter 'bad' failed",
        ),
        // Of the same size, git reads it anew to find out whether it is changed.
        (
            "filter.bad.clean=false filter.bad.smudge=cat filter.bad.required=true filter.b-d.required=true",
            "echo b > t.bad",
            "t.bad",
            "clean filter 'bad' failed",
        ),
        ("", "printf odd > x.u16", "x.u16", "git cannot take it"),
        (
            "core.autocrlf=true core.safecrlf=true",
            "printf 'a\r\nb\n' > mixed",
            "mixed",
            "LF would be replaced",
        ),
        (
            "",
            "echo x > closed; chmod 0200 closed",
            "closed",
            "cannot be read",
        ),
        (
            "core.autocrlf=input core.safecrlf=true",
            "printf 'a\r\n' > d/crlf; rm a.txt",
            "d/crlf",
            "CRLF would be replaced",
        ),
    ];
    let attributes = "*.bad filter=bad\n*.u16 working-tree-encoding=UTF-16LE-BOM\n*.n -text\n";
    for sandbox in [true, false] {
        for (settings, script, path, why) in setups {
            // Without a sandbox root reads everything.
            if !sandbox && path == "closed" && rustix::process::geteuid().is_root() {
                continue;
            }
            let stage = Stage::with(&[
                ("a.txt", "a\n"),
                (".gitattributes", attributes),
                ("d/f", "f\n"),
                ("t.bad", "a\n"),
            ]);
            if !sandbox {
                unconfined(&stage);
            }
            for setting in settings.split_whitespace() {
                let (key, value) = setting.split_once('=').unwrap();
                stage.work.git(&["config", key, value]);
            }
            let many = "for n in $(seq 40); do printf $n > $n.n; done";
            let (task, changed) = balances(&stage, &format!("{script}; {many}"));
            let reasons = task["reasons"].to_string();
            assert!(
                reasons.contains(path) && reasons.contains(why),
                "{script}: {reasons}"
            );
            assert_eq!(left(&task), [path.to_owned()].into(), "{script}: {reasons}");
            assert_eq!(task["outcome"], "partial", "{script}: {reasons}");
            let others = changed.lines().filter(|line| line.contains(".n")).count();
            assert_eq!(others, 40, "{script}: {changed}");
            assert_eq!(
                changed.contains("D\ta.txt"),
                script.contains("rm a.txt"),
                "{changed}"
            );
            // It troubles no later task.
            let (_, task) = stage.act("printf more > more.n");
            let last = ["log", "--name-status", "--format=", "khlone/main/foreman.1^!"];
            assert_eq!(stage.work.git(&last), "A\tmore.n", "{script}");
            assert_eq!(task["outcome"], "done", "{script}: {task:#}");
            assert!(
                task["reasons"].to_string().contains("there before"),
                "{script}: {task:#}"
            );
        }
    }
}

/// A checkout in which `git status` fails is one with changes.
#[test]
fn a_tracked_file_that_git_cannot_take_is_a_change_like_any_other() {
    let files = [
        ("a.txt", "a\n"),
        (".gitattributes", "*.bad filter=bad\n"),
        ("t.bad", "a\n"),
    ];
    let stage = Stage::with(&files);
    for (name, value) in [("clean", "false"), ("smudge", "cat"), ("required", "true")] {
        stage.work.git(&["config", &format!("filter.bad.{name}"), value]);
    }
    stage.act("true");
    let clone = stage.clone();
    clone.write("t.bad", "b\n");
    stage.work.write("a.txt", "b\n");
    // git itself could not commit here.
    stage.work.git(&[
        "-c",
        "filter.bad.required=false",
        "commit",
        "-qm",
        "more",
        "a.txt",
    ]);
    let (said, task) = stage.act("cat a.txt; echo n > n");
    assert_eq!(
        (said.code, &task["outcome"]),
        (0, &"done".into()),
        "{} {task:#}",
        said.err
    );
    assert!(
        task["reasons"].to_string().contains("stays behind main: "),
        "{task:#}"
    );
    let removed = stage.run(&["zone", "remove", "--clone", "foreman.1", "main"]);
    assert!(removed.err.contains("t.bad"), "{}", removed.err);
    stage.work.write("t.bad", "b\n");
    // The landing has nothing to do with it.
    stage.run(&["land"]).ok();
    let files = ["t.bad", "n"].map(|name| stage.work.read(name).unwrap());
    assert_eq!(files, ["b\n", "n\n"]);
}
