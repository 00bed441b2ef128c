//! Sparse checkouts, and indexes that only git itself reads.

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
