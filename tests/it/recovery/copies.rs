//! The repository is copied while a task runs: the copy knows of it, and has no say in it.

use git_khlone::process::Cmd;

use super::deaths::{QUICK, effects, stage, until_mark, words};

#[test]
fn a_copy_neither_runs_nor_stops_nor_touches_what_is_the_originals() {
    let stage = stage(QUICK);
    let id = stage.start(
        "echo $KHLONE_ATTEMPT >> runs.txt; git add -A; git commit -qm step; touch mark; \
         until [ -e go ]; do sleep 0.05; done; echo end > end.txt",
    );
    until_mark(&stage, &id);
    let original = stage.clone();
    let copy = stage.path().join("copy");
    Cmd::new("cp")
        .arg("-a")
        .args([&stage.work.0, &copy])
        .output()
        .unwrap();
    let run = |args: &[&str]| stage.run_in(&copy, args);
    // Its record of a daemon is the original's; this one is another.
    run(&["daemon", "start"]).ok();
    for verb in ["cancel", "resume"] {
        let said = run(&[verb, &id]);
        assert!(
            said.code == 4 && said.err.contains("another copy"),
            "{verb}: {} {}",
            said.code,
            said.err
        );
    }
    for args in [
        &["zone", "repair"][..],
        &["rollback", &id],
        &["zone", "remove", "main", "--force"],
        &["gc"],
        &["daemon", "stop"],
    ] {
        run(args);
    }
    assert_eq!(stage.task(&id)["status"], "running");
    assert_eq!(original.read("runs.txt").as_deref(), Some("1\n"));
    original.write("go", "");
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    assert_eq!(original.read("end.txt").as_deref(), Some("end\n"));
    assert_eq!(original.read("runs.txt").as_deref(), Some("1\n"));
    let effects = effects(&stage, &id, 1);
    assert_eq!(words(&effects["external"]), Vec::<String>::new(), "{effects:#}");
    assert_eq!(stage.run(&["fsck"]).code, 0);
}
