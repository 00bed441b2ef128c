//! Verbs of zones in another repository, and the one gate by which a zone's branch is made.

use crate::{scratch::Work, stage::Stage};

/// A second repository that is known on this machine, with a clone.
fn other(stage: &Stage) -> Work {
    stage.work.git(&["clone", "-q", ".", "../other"]);
    let other = Work(stage.path().join("other"));
    let done = stage.run_in(
        &other.0,
        &["act", "--who", "@shell", "--await", "-m", "echo x > x"],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    other
}

fn branches(work: &Work) -> String {
    work.git(&["branch", "--format=%(refname:short)"])
}

#[test]
fn zone_verbs_act_in_the_repository_that_is_named() {
    let stage = Stage::new();
    let (done, _) = stage.act("echo here > here");
    assert_eq!(done.code, 0, "{}", done.err);
    let other = other(&stage);
    let here = branches(&stage.work);
    stage.run(&["zone", "new", "other@feature"]).ok();
    assert_eq!(branches(&stage.work), here);
    assert!(branches(&other).contains("feature"));
    stage.run(&["zone", "repair", "other@main"]).ok();
    let removed = stage.run(&["zone", "remove", "other@main", "--force"]);
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert_eq!(branches(&stage.work), here);
    assert!(
        !branches(&other).contains("khlone/main/foreman.1"),
        "{}",
        branches(&other)
    );
    // What it says brings the clone back there, from here.
    let undo = removed
        .err
        .split("saved; ")
        .nth(1)
        .unwrap()
        .split(" brings")
        .next()
        .unwrap();
    assert!(undo.starts_with("git -C "), "{undo}");
    assert!(
        undo.contains(other.0.canonicalize().unwrap().to_str().unwrap()),
        "{undo}"
    );
    let unknown = stage.run(&["zone", "remove", "nowhere@main", "--force"]);
    assert_ne!(unknown.code, 0);
    assert_eq!(branches(&stage.work), here);
}

#[test]
fn act_create_makes_the_branch_as_zone_new_does() {
    let stage = Stage::new();
    let id = stage
        .run(&[
            "act", "--who", "@shell", "--zone", "feature", "--create", "--await", "-m", "true",
        ])
        .id();
    let zone = stage.run(&["--json", "list", "zones"]).ok();
    assert!(zone.contains("\"feature\""), "{zone}");
    let document = stage
        .work
        .git(&["cat-file", "-p", "refs/khlone/zones/feature:zone.json"]);
    assert!(
        document.contains("\"base\""),
        "where it was made from is recorded: {document}"
    );
    assert_eq!(stage.task(&id)["status"], "done");
    // A full name is the branch's, too.
    let full = [
        "act",
        "--who",
        "@shell",
        "--zone",
        "refs/heads/feature",
        "--await",
        "-m",
        "true",
    ];
    stage.run(&full).id();
    assert_eq!(stage.run(&["--json", "list", "zones"]).ok(), zone);
    for bad in [
        vec![
            "act", "--who", "@shell", "--zone", "a..b", "--create", "-m", "true",
        ],
        vec![
            "act", "--who", "@shell", "--zone", "x", "--create", "--base", "nowhere", "-m", "true",
        ],
        vec![
            "act",
            "--who",
            "@shell",
            "--zone",
            "nowhere@x",
            "--create",
            "-m",
            "true",
        ],
    ] {
        let before = branches(&stage.work);
        let refused = stage.run(&bad);
        assert_ne!(refused.code, 0, "{bad:?}");
        assert_eq!(branches(&stage.work), before, "{bad:?}");
    }
}
