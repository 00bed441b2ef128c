//! Repositories that borrow objects of others.

use std::fs;

use crate::{scratch::Work, stage::Stage};

/// A clone of the stage's repository in the user's home, which a sandbox covers.
fn clone(stage: &Stage, from: &Work, name: &str, how: &[&str]) -> Work {
    let work = Work(stage.path().join("home").join(name));
    let places = [from.0.to_str().unwrap(), work.0.to_str().unwrap()];
    from.git(&[&["clone", "-q"], how, &places].concat());
    work.git(&["config", "user.name", "Ann"]);
    work.git(&["config", "user.email", "ann@example.com"]);
    work
}

fn works(stage: &Stage, work: &Work) {
    let act = ["act", "--who", "@shell", "--await", "-m"];
    let script =
        "git log --format=%s | tee log; cat a.txt >> log; git add log; git commit -qm log; echo more > more";
    let said = stage.run_in(&work.0, &[&act[..], &[script]].concat());
    assert_eq!(said.code, 0, "{}: {}", work.0.display(), said.err);
    assert_eq!(work.git(&["show", "khlone/main/foreman.1:log"]), "first\na");
    stage.run_in(&work.0, &["land"]).ok();
    assert_eq!(
        (work.status(), work.read("more").as_deref()),
        (String::new(), Some("more\n"))
    );
    work.git(&["fsck", "--strict"]);
    stage.run_in(&work.0, &["daemon", "stop"]).ok();
}

#[test]
fn borrowed_objects_are_seen_in_the_sandbox() {
    let stage = Stage::new();
    // The lender is in the home, too.
    let lender = clone(&stage, &stage.work, "lender", &[]);
    let shared = clone(&stage, &lender, "shared", &["--shared"]);
    works(&stage, &shared);
    let referring = clone(
        &stage,
        &lender,
        "referring",
        &["--reference", lender.0.to_str().unwrap()],
    );
    works(&stage, &referring);
    // It borrows from one that borrows.
    let chained = clone(
        &stage,
        &clone(&stage, &lender, "middle", &["--shared"]),
        "chained",
        &["--shared"],
    );
    works(&stage, &chained);
    // By a relative path, through a link.
    let relative = clone(&stage, &lender, "relative", &["--shared"]);
    std::os::unix::fs::symlink(&lender.0, stage.path().join("home/link")).unwrap();
    let alternates = relative.0.join(".git/objects/info/alternates");
    fs::write(alternates, "# comment\n../../../link/.git/objects\n").unwrap();
    works(&stage, &relative);
}

#[test]
fn a_lender_that_cannot_be_read_is_refused_before_anything_is_queued() {
    let stage = Stage::new();
    let lender = clone(&stage, &stage.work, "lender", &[]);
    let shared = clone(&stage, &lender, "shared", &["--shared"]);
    let objects = lender.0.join(".git/objects");
    fs::rename(&objects, lender.0.join("away")).unwrap();
    let said = stage.run_in(&shared.0, &["act", "--who", "@shell", "--zone", "main", "true"]);
    assert_ne!(said.code, 0);
    fs::rename(lender.0.join("away"), &objects).unwrap();
    // One that is named and not needed is no reason for git to fail, but it will be for a brain.
    let alternates = shared.0.join(".git/objects/info/alternates");
    let text = fs::read_to_string(&alternates).unwrap();
    fs::write(&alternates, format!("{text}/nonexistent/objects\n")).unwrap();
    let said = stage.run_in(&shared.0, &["act", "--who", "@shell", "true"]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("/nonexistent/objects"), "{}", said.err);
    assert_eq!(stage.run_in(&shared.0, &["list", "tasks"]).ok(), "");
}

#[test]
fn a_repository_may_stand_at_an_odd_path() {
    for name in [
        "a b",
        "quote'\"s",
        "back\\slash",
        "new\nline",
        "\u{4fee}\u{6b63}",
        "-dash",
        "tab\there",
    ] {
        let stage = Stage::new();
        let work = Work(stage.path().join("home").join(name));
        fs::create_dir_all(work.0.parent().unwrap()).unwrap();
        fs::rename(&stage.work.0, &work.0).unwrap();
        works(&stage, &work);
        let said = stage.run_in(
            &work.0,
            &["act", "--who", "@shell", "--await", "echo again > again"],
        );
        assert_eq!(said.code, 0, "{name:?}: {}", said.err);
        stage.run_in(&work.0, &["zone", "remove", "--force", "main"]).ok();
        stage.run_in(&work.0, &["undo"]).ok();
        let path = stage.run_in(&work.0, &["path"]).ok();
        assert_eq!(Work(path.into()).status(), "", "{name:?}");
        stage.run_in(&work.0, &["daemon", "stop"]).ok();
        fs::rename(&work.0, &stage.work.0).unwrap();
    }
}

#[test]
fn objects_on_another_disk_are_written_there() {
    let stage = Stage::new();
    let other = std::path::Path::new("/dev/shm");
    let disk = |path: &std::path::Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if !other.is_dir() || disk(other) == disk(&stage.work.0) {
        crate::tools::skip("/dev/shm is no disk of its own here");
        return;
    }
    let there = tempfile::tempdir_in(other).unwrap();
    let (objects, moved) = (stage.work.0.join(".git/objects"), there.path().join("objects"));
    let copied = git_khlone::process::Cmd::new("cp")
        .arg("-a")
        .arg(&objects)
        .arg(&moved);
    copied.output().unwrap();
    fs::remove_dir_all(&objects).unwrap();
    std::os::unix::fs::symlink(&moved, &objects).unwrap();
    let (acted, task) = stage.act("echo more > more.txt; git add .; git commit -qm more");
    assert_eq!(
        (acted.code, task["outcome"].as_str()),
        (0, Some("done")),
        "{}",
        acted.err
    );
    stage.run(&["land"]).ok();
    stage.run(&["gc"]).ok();
    stage.work.git(&["fsck", "--strict"]);
    assert!(fs::read_dir(moved.join("pack/tmp_khlone")).is_ok_and(|mut left| left.next().is_none()));
}
