//! What `land` says and suggests, and the message of a squash.

use crate::stage::Stage;

#[test]
fn a_suggested_command_names_the_zone_that_is_not_checked_out() {
    let stage = Stage::new();
    stage.work.git(&["branch", "feat"]);
    let act = |zone: &str, script: &str| {
        let args = ["act", "--who", "@shell++", "--await", "-z", zone, "-m", script];
        stage.run(&args).ok();
    };
    act("feat", "echo f > f");
    let refused = stage.run(&["zone", "remove", "feat"]);
    assert_eq!(refused.code, 4);
    let land = "git khlone land foreman.1 -z feat";
    assert!(
        refused
            .err
            .contains(&format!("next: {land}, or git khlone zone remove feat --force")),
        "{}",
        refused.err
    );
    // The newest has nothing, another one has.
    act("feat", "true");
    let nothing = stage.run(&["land", "-z", "feat"]);
    assert_eq!(nothing.code, 0, "{}", nothing.err);
    let said = format!("foreman.1 has 1 commit that feat lacks\n  {land}\n");
    assert!(nothing.err.contains(&said), "{}", nothing.err);
    assert!(
        stage
            .run(&["land", "foreman.1", "-z", "feat"])
            .out
            .contains("feat ")
    );
    assert!(!stage.run(&["land", "-z", "feat"]).err.contains("lacks"));
}

#[test]
fn a_squash_is_about_the_task_and_keeps_whose_work_it_is() {
    let stage = Stage::new();
    let key = ["AKIA", "IOSFODNN7EXAMPLQ"].concat();
    let script = format!("echo 1 > one; git add .; git commit -qm first\n# key {key}\necho 2 > two");
    let (_, task) = stage.act(&script);
    let id = task["task"].as_str().unwrap();
    stage.run(&["land", "--squash"]).ok();
    let message = stage.work.git(&["log", "-1", "--format=%B"]);
    let (subject, body) = message.split_once("\n\n").unwrap();
    assert_eq!(subject, "echo 1 > one; git add .; git commit -qm first");
    assert!(body.starts_with("# key [redacted:"), "{message}");
    assert!(body.contains("echo 2 > two\n\n* first\n* echo 1"), "{message}");
    let trailer = stage
        .work
        .git(&["log", "-1", "--format=%(trailers:key=Khlone-Task,valueonly)"]);
    assert_eq!(trailer.trim(), id, "{message}");
}
