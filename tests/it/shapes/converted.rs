//! What git sees otherwise than the disk, or not at all, in commits and diffs.

use crate::stage::Stage;

/// What git ignores is in no snapshot; committed by force it is what the task has changed all the same.
#[test]
fn a_diff_has_what_was_committed_though_ignored() {
    let stage = Stage::with(&[
        ("a.txt", "a\n"),
        (".gitignore", "*.log\nbuild/\n"),
        ("old.log", ""),
    ]);
    let script = "mkdir -p build/deep; echo x > build/deep/x; echo y > y.log; ln -s a.txt l.log; printf 'run\n' > run.log; \
                  chmod +x run.log; git add -f .; git rm -q --cached y.log; git add -f y.log; git commit -qm forced; \
                  echo more > more; echo not > not.log";
    let (said, task) = stage.act(script);
    assert_eq!(task["status"], "done", "{task:#}");
    assert!(said.err.contains("build/deep/x"), "{}", said.err);
    let id = task["task"].as_str().unwrap();
    let names = "build/deep/x\nl.log\nmore\nrun.log\ny.log";
    assert_eq!(stage.run(&["diff", "--name-only", id]).ok(), names);
    assert_eq!(stage.run(&["diff", "--name-only", "foreman.1"]).ok(), names);
    let patch = stage.run(&["diff", id]).ok();
    let by_branch = stage.run(&["diff", "foreman.1"]).ok();
    assert_eq!(patch, by_branch);
    // In the next task they are tracked, and nothing has changed.
    let (_, next) = stage.act("echo z >> y.log; echo q > q.log");
    let next = next["task"].as_str().unwrap();
    assert_eq!(stage.run(&["diff", "--name-only", next]).ok(), "y.log");
}

/// Where git has a file in another form than the disk, its mode is compared apart.
#[test]
fn a_mode_is_committed_where_git_converts_line_ends() {
    let stage = Stage::with(&[("tool", "run\n"), ("other", "x\n")]);
    stage.work.git(&["config", "core.autocrlf", "true"]);
    for script in [
        "chmod +x tool",
        "chmod -x tool; echo y >> other",
        "chmod +x other; git add other",
    ] {
        let (said, task) = stage.act(script);
        assert_eq!(
            (said.code, &task["status"]),
            (0, &"done".into()),
            "{script}: {}",
            said.err
        );
        assert_eq!(stage.clone().status(), "", "{script}");
    }
    assert!(
        stage
            .work
            .git(&["ls-tree", "khlone/main/foreman.1", "other"])
            .starts_with("100755")
    );
}

/// Where only what git takes out again differs, there is nothing to commit, and that is told.
#[test]
fn a_change_that_is_none_to_git_is_told() {
    let stage = Stage::with(&[
        (".gitattributes", "* text=auto eol=lf\n*.up filter=up\n"),
        ("crlf.txt", "x\ny\n"),
        ("other.txt", "x\ny\n"),
        ("x.up", "abc\n"),
    ]);
    stage.work.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
    for (script, same, committed) in [
        (r"printf 'x\r\ny\r\n' > crlf.txt", &["crlf.txt"][..], ""),
        ("echo ABC > x.up", &["x.up"], ""),
        (
            r"printf 'x\r\ny\r\n' > other.txt; printf 'x\r\nz\r\n' > crlf.txt; printf 'n\r\n' > new.txt",
            &["other.txt"],
            "crlf.txt\nnew.txt",
        ),
        ("echo more >> x.up; rm other.txt", &[], "other.txt\nx.up"),
    ] {
        let tip = || {
            stage
                .work
                .git(&["for-each-ref", "--format=%(objectname)", "refs/heads/khlone"])
        };
        let before = tip();
        let (said, task) = stage.act(script);
        assert_eq!(task["status"], "done", "{script}: {task:#}");
        let left = task["effects"]["left"].as_array().cloned().unwrap_or_default();
        let paths: Vec<_> = left.iter().map(|left| left["path"].as_str().unwrap()).collect();
        assert_eq!(paths, same, "{script}: {task:#}");
        for path in same {
            assert!(
                said.err
                    .contains(&format!("not committed: {path} (no change to git")),
                "{}",
                said.err
            );
        }
        let from = if before.is_empty() {
            "main".to_owned()
        } else {
            before
        };
        let names = stage
            .work
            .git(&["diff", "--name-only", &from, "khlone/main/foreman.1"]);
        assert_eq!(names, committed, "{script}");
    }
}
