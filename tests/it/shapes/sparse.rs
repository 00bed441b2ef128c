//! Sparse checkouts, and indexes that only git itself reads.

use super::committed::unconfined;
use crate::stage::Stage;

/// How a sparse checkout is set up.
const SPARSE: [&[&str]; 3] = [
    &["in"],
    &["--no-cone", "/in/", "/*.txt"],
    &["--sparse-index", "in"],
];

fn stage() -> Stage {
    Stage::with(&[
        ("a.txt", "a\n"),
        (".gitignore", "*.log\n"),
        ("in/x", "x\n"),
        ("out/y", "y\n"),
        ("out/z", "z\n"),
    ])
}

/// Acts, lands, goes on, removes and brings back; what git says is clean at each step.
fn goes_round(stage: &Stage, why: &str) {
    let clean = |when: &str| {
        assert_eq!(
            (stage.work.status(), stage.clone().status()),
            Default::default(),
            "{why}: {when}"
        );
    };
    let (said, _) = stage.act("git status --porcelain; echo n > in/n");
    assert_eq!(said.code, 0, "{why}: {}", said.err);
    assert!(said.err.contains("in/n"), "{why}: {}", said.err);
    assert_eq!(stage.run(&["diff", "--name-only"]).ok(), "in/n", "{why}");
    stage.run(&[]).ok();
    stage.run(&["land"]).ok();
    clean("landed");
    assert_eq!(stage.work.read("in/n").as_deref(), Some("n\n"), "{why}");
    let (said, task) = stage.act("echo more >> in/n");
    assert_eq!(said.code, 0, "{why}: {}", said.err);
    stage.work.commit(&[("in/base", "base\n")], "base");
    stage.run(&["update", "foreman.1"]).ok();
    stage.run(&["undo"]).ok();
    clean("updated and back");
    stage.run(&["rollback", task["task"].as_str().unwrap()]).ok();
    clean("rolled back");
    stage.run(&["undo"]).ok();
    let before = stage.clone().git(&["ls-files", "-t"]);
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage.run(&["undo"]).ok();
    clean("removed and back");
    assert_eq!(stage.clone().git(&["ls-files", "-t"]), before, "{why}");
}

#[test]
fn an_index_that_only_git_reads_is_no_obstacle() {
    let stage = stage();
    stage.work.git(&["config", "core.splitIndex", "true"]);
    stage.work.git(&["update-index", "--split-index"]);
    goes_round(&stage, "split index");
    for how in SPARSE {
        let stage = self::stage();
        stage.work.git(&[&["sparse-checkout", "set"], how].concat());
        goes_round(&stage, &format!("{how:?}"));
        assert!(
            stage.work.read("out/y").is_none() && stage.clone().read("out/y").is_none(),
            "{how:?}"
        );
    }
}

#[test]
fn a_brain_may_work_outside_of_the_sparse_patterns() {
    let scripts = [
        ("mkdir -p out; echo changed > out/y", "M\tout/y"),
        (
            "mkdir -p out; echo own > out/y; git add --sparse out/y; git commit -qm own",
            "M\tout/y",
        ),
        ("git sparse-checkout add out; echo added > out/y", "M\tout/y"),
        ("git sparse-checkout disable; rm out/y", "D\tout/y"),
        (
            "git update-index --force-remove out/y; git commit -qm gone",
            "D\tout/y",
        ),
        // A merge changes what is not there.
        (
            "git switch -qc other; git sparse-checkout disable; echo m > out/y; git commit -qam m
             git switch -q -; git sparse-checkout set in; git merge -q other",
            "M\tout/y",
        ),
    ];
    for how in SPARSE {
        let few = if how.len() == 1 { scripts.len() } else { 3 };
        for (script, changed) in &scripts[..few] {
            let stage = stage();
            stage.work.git(&[&["sparse-checkout", "set"], how].concat());
            let why = format!("{how:?} {script}");
            let (said, task) = stage.act(script);
            assert_eq!(
                (said.code, task["status"].as_str()),
                (0, Some("done")),
                "{why}: {}",
                said.err
            );
            let range = "main..khlone/main/foreman.1";
            let committed = |range: &str| stage.work.git(&["log", "--name-status", "--format=", range]);
            assert_eq!(committed(range), *changed, "{why}");
            assert_eq!(stage.clone().status(), "", "{why}");
            // The next one works, and takes back nothing.
            let (said, _) = stage.act("git status --porcelain; echo n > in/n");
            assert_eq!(said.code, 0, "{why}: {}", said.err);
            assert_eq!(committed("khlone/main/foreman.1^!"), "A\tin/n", "{why}");
            stage.run(&["land"]).ok();
            assert_eq!(
                (stage.work.status(), stage.clone().status()),
                Default::default(),
                "{why}"
            );
        }
    }
}

/// What the clone's branch has, and what is on its disk.
fn has(stage: &Stage) -> (String, String) {
    let tree = stage
        .work
        .git(&["ls-tree", "-r", "--name-only", "khlone/main/foreman.1"]);
    let files = stage.clone().git(&["ls-files", "-t"]);
    (tree, files)
}

#[test]
fn patterns_that_a_brain_sets_delete_nothing() {
    let all = ".gitignore\na.txt\nin/n\nin/x\nout/y\nout/z";
    for how in [
        "in",
        "--no-cone '/in/'",
        "--sparse-index in",
        "--no-cone '/*' '!/out/'",
    ] {
        for (end, outcome) in [("true", "done"), ("exit 3", "failed")] {
            let stage = stage();
            let (said, task) = stage.act(&format!(
                "git sparse-checkout set {how}; test ! -e out/y; echo w >> in/x; {end}"
            ));
            let why = format!("{how}, {end}: {}\n{task:#}", said.err);
            assert_eq!(task["outcome"], outcome, "{why}");
            let files = task["effects"]["files"].as_array().unwrap();
            assert!(files.len() == 1 && files[0]["path"] == "in/x", "{why}");
            assert!(task["effects"]["left"].is_null(), "{why}");
            assert_eq!(stage.clone().status(), "", "{why}");
            assert_eq!(stage.clone().read("out/y").as_deref(), Some("y\n"), "{why}");
            let (said, _) = stage.act("git status --porcelain; echo n > in/n");
            assert_eq!((said.code, said.out.trim()), (0, ""), "{why} {}", said.err);
            assert_eq!(has(&stage).0, all, "{why}");
            stage.run(&["land"]).ok();
            assert_eq!(
                stage.work.git(&["ls-tree", "-r", "--name-only", "main"]),
                all,
                "{why}"
            );
        }
    }
    // One that is stopped.
    let stage = stage();
    let id = stage.start("git sparse-checkout set in; touch in/now; sleep 100");
    let clone = stage.until("it is sparse", || {
        let clone = stage.run(&["path"]);
        let clone = crate::scratch::Work(clone.out.trim().into());
        clone.0.join("in/now").exists().then_some(clone)
    });
    stage.run(&["cancel", &id]).ok();
    drop(stage.run(&["await", &id]));
    assert_eq!(clone.read("out/y").as_deref(), Some("y\n"));
    // Files outside of the patterns that the brain changes all the same.
    let stage = self::stage();
    let (_, task) = stage.act(
        "git sparse-checkout set in; mkdir out; echo changed > out/y; git rm -q --cached --sparse out/z",
    );
    assert_eq!(task["outcome"], "done", "{task:#}");
    let range = "main..khlone/main/foreman.1";
    let changed = stage.work.git(&["log", "--name-status", "--format=", range]);
    assert_eq!(changed, "M\tout/y\nD\tout/z", "{task:#}");
}

#[test]
fn patterns_that_a_brain_narrows_end_with_its_task() {
    let stage = stage();
    stage.work.commit(&[("in/deep/d", "d\n")], "deep");
    stage.work.git(&["sparse-checkout", "set", "in"]);
    stage.act("true");
    let before = has(&stage);
    stage.act("git sparse-checkout set in/deep; test ! -e out; git sparse-checkout set --no-cone /in/deep/; test ! -e in/x; echo 1 >> in/deep/d");
    assert_eq!(has(&stage), before);
    assert_eq!(stage.clone().read("in/x").as_deref(), Some("x\n"));
    assert_eq!(stage.clone().status(), "");
}

#[test]
fn patterns_of_a_persons_in_the_worktree_stay() {
    let stage = stage();
    stage.act("true");
    let clone = stage.clone();
    let full = has(&stage);
    for how in [&["in"][..], &["--no-cone", "/in/"]] {
        clone.git(&[&["sparse-checkout", "set"], how].concat());
        let before = has(&stage);
        let (said, task) = stage.act("ls; git status --porcelain; echo w >> in/x");
        assert!(!said.out.contains("out"), "{}", said.out);
        assert_eq!(
            task["effects"]["files"].as_array().map(Vec::len),
            Some(1),
            "{task:#}"
        );
        assert_eq!(has(&stage), before, "{task:#}");
        stage.run(&["rollback", task["task"].as_str().unwrap()]).ok();
        assert_eq!((has(&stage), clone.status()), (before, String::new()));
    }
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage.run(&["undo"]).ok();
    assert_eq!(clone.status(), "");
    clone.git(&["sparse-checkout", "disable"]);
    assert_eq!((has(&stage), clone.status()), (full, String::new()));
    let (_, task) = stage.act("rm out/y");
    assert_eq!(task["effects"]["files"][0]["path"], "out/y", "{task:#}");
}

#[test]
fn without_a_sandbox_the_patterns_stay_and_nothing_is_told_as_deleted() {
    let stage = stage();
    unconfined(&stage);
    let (_, task) = stage.act("git sparse-checkout set in; echo w >> in/x");
    let files = task["effects"]["files"].as_array().unwrap();
    assert!(files.len() == 1 && files[0]["path"] == "in/x", "{task:#}");
    let before = has(&stage);
    stage.act("echo n > in/n");
    assert_eq!(
        has(&stage).0,
        format!("{}", before.0.replace("in/x", "in/n\nin/x"))
    );
    assert_eq!(stage.clone().status(), "");
}
