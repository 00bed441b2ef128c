//! Commits of submodules that a task has made: kept as long as something names them, those of inner submodules, too.

use git_khlone::process::Cmd;

use super::committed::{COMMIT_IN_DEP, with_submodule};
use crate::{scratch::Work, stage::Stage};

fn pins(module: &str, stage: &Stage) -> usize {
    let dir = stage.work.0.join(module);
    let git_dir = format!("--git-dir={}", dir.display());
    let all = stage.work.git(&[
        &git_dir,
        "for-each-ref",
        "--format=%(refname)",
        "refs/khlone/kept/",
    ]);
    all.lines().count()
}

/// A submodule `dep`, as before, that has one of its own, `dep/inner`.
fn nested() -> Stage {
    let (stage, dep) = with_submodule();
    let inner = Work(stage.path().join("inner"));
    std::fs::create_dir(&inner.0).unwrap();
    inner.git(&["init", "-q", "-b", "main"]);
    inner.git(&["config", "user.name", "Ann"]);
    inner.git(&["config", "user.email", "ann@example.com"]);
    inner.commit(&[("i.txt", "i\n")], "inner");
    dep.git(&["submodule", "add", "-q", inner.0.to_str().unwrap(), "inner"]);
    dep.git(&["commit", "-qm", "with a submodule of its own"]);
    let main = Work(stage.work.0.join("dep"));
    main.git(&["pull", "-q", "origin", "main"]);
    main.git(&["submodule", "update", "-q", "--init"]);
    stage.work.git(&["commit", "-qam", "newer"]);
    stage
}

const COMMIT_IN_INNER: &str =
    "for d in dep/inner dep; do git -C $d config user.name x; git -C $d config user.email x; done
    echo e > dep/inner/e.txt; git -C dep/inner add .; git -C dep/inner commit -qm e
    git -C dep add inner; git -C dep commit -qm inner";

#[test]
fn commits_of_inner_submodules_are_kept_or_named() {
    let stage = nested();
    let (said, task) = stage.act(COMMIT_IN_INNER);
    assert_eq!(task["outcome"], "done", "{} {task:#}", said.err);
    assert_eq!(
        (
            pins(".git/modules/dep", &stage),
            pins(".git/modules/dep/modules/inner", &stage)
        ),
        (1, 1)
    );
    stage.run(&["land"]).ok();
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage
        .work
        .git(&["submodule", "update", "--init", "--recursive", "--no-fetch"]);
    assert_eq!(stage.work.read("dep/inner/e.txt").as_deref(), Some("e\n"));
    // A new one that is nowhere else, and one that its own repository has lost.
    for (script, why) in [
        (
            "git -C dep config user.name x; git -C dep config user.email x; git init -q dep/new; \
             git -C dep/new -c user.name=x -c user.email=x commit -q --allow-empty -m new; git -C dep add new 2>/dev/null; git -C dep commit -qm new",
            "its submodule new",
        ),
        (
            "git -C dep config user.name x; git -C dep config user.email x; \
             git -C dep update-index --cacheinfo 160000,7777777777777777777777777777777777777777,inner; git -C dep commit -qm gone",
            "its submodule inner",
        ),
    ] {
        let stage = nested();
        let (_, task) = stage.act(script);
        let reasons = task["reasons"].to_string();
        assert!(
            task["outcome"] == "partial" && reasons.contains(why),
            "{script}: {task:#}"
        );
    }
}

#[test]
fn a_submodules_commit_is_pinned_as_long_as_something_needs_it() {
    let module = ".git/modules/dep";
    let aged = |stage: &Stage| {
        let touch = Cmd::new("sh").args(["-c", "touch -d '2 years ago' \"$1\"/refs/khlone/kept/*", "sh"]);
        touch.arg(stage.work.0.join(module)).output().unwrap();
    };
    let (stage, dep) = with_submodule();
    stage.act(COMMIT_IN_DEP);
    aged(&stage);
    // The clone's branch names it, and then main.
    stage.run(&["gc"]).ok();
    assert_eq!(pins(module, &stage), 1);
    stage.run(&["land"]).ok();
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage.work.git(&["submodule", "update", "--init", "--no-fetch"]);
    let commit = stage.work.git(&["-C", "dep", "rev-parse", "HEAD"]);
    stage.run(&["gc"]).ok();
    assert_eq!(pins(module, &stage), 1);
    // A remote has it.
    let url = dep.0.to_str().unwrap();
    stage
        .work
        .git(&["-C", "dep", "push", "-q", url, "HEAD:refs/heads/pushed"]);
    stage.work.git(&["-C", "dep", "fetch", "-q", "origin"]);
    let would = stage.run(&["gc", "--dry-run"]).ok();
    let line = format!("would drop the pin of commit {}", &commit[..10]);
    assert!(would.contains(&line), "{would}");
    assert_eq!(pins(module, &stage), 1);
    stage.run(&["gc"]).ok();
    assert_eq!(pins(module, &stage), 0);

    // Nothing names it any more, and then for long.
    let (stage, _) = with_submodule();
    stage.act(COMMIT_IN_DEP);
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    drop(stage.run(&["daemon", "stop"]));
    for line in stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone", "refs/notes"])
        .lines()
    {
        stage.work.git(&["update-ref", "-d", line]);
    }
    stage.work.git(&["reflog", "expire", "--expire=now", "--all"]);
    stage.run(&["gc"]).ok();
    assert_eq!(pins(module, &stage), 1, "it is young");
    aged(&stage);
    stage.run(&["gc"]).ok();
    assert_eq!(pins(module, &stage), 0);
}
