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
        refused.err.contains(&format!(
            "next: {land}    # or git khlone zone remove feat --force"
        )),
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
fn what_cannot_land_names_what_can() {
    let stage = Stage::new();
    let act = |args: &[&str]| stage.run(&[&["act"], args].concat());
    act(&["--who", "@shell", "--await", "-m", "echo 1 > one"]).ok();
    act(&["--who", "@shell++", "--await", "-m", "echo 2 > two"]).ok();
    let failed = act(&["--who", "foreman.2", "-m", "exit 1"]).out;
    let failed = failed.trim();
    assert_eq!(stage.run(&["await", failed]).code, 1);
    let first = "foreman.1 has 1 commit that main lacks";
    let refused = stage.run(&["land"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    let next = format!(
        "next: git khlone land {failed}    # lands what it left; {first}: git khlone land foreman.1 -z main\n"
    );
    assert!(refused.err.contains(&next), "{}", refused.err);
    // A task that never ran has left nothing, whatever its clone has.
    let skipped = act(&["--who", "foreman.2", "--after", failed, "-m", "true"]).out;
    stage.run(&["await", skipped.trim()]);
    for named in [None, Some(skipped.trim())] {
        let nothing = stage.run(&["land"].into_iter().chain(named).collect::<Vec<_>>());
        assert_eq!(nothing.code, 3, "{}", nothing.err);
        let next = format!(
            "next: git khlone land foreman.1 -z main    # {first}; foreman.2 has 1 commit that main lacks: \
             git khlone land foreman.2 -z main\n"
        );
        assert!(nothing.err.contains(&next), "{}", nothing.err);
    }
    // What it names, lands.
    assert!(
        stage
            .run(&["land", "foreman.1", "-z", "main"])
            .out
            .contains("main ")
    );
    let rest = stage.run(&["land"]).err;
    assert!(
        rest.contains("next: git khlone land foreman.2 -z main    # foreman.2 has 1 commit"),
        "{rest}"
    );
    stage.run(&["land", "foreman.2", "-z", "main"]).ok();
    let none = stage.run(&["land"]).err;
    assert!(
        none.contains(&format!("next: git khlone show {}", skipped.trim())),
        "{none}"
    );
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

/// A landing merges from where git finds that the two parted, or from a later commit that has landed in another form.
#[test]
fn what_landed_before_makes_no_conflict_where_git_has_none() {
    for styles in [
        ["", "--squash", ""],
        ["", "--squash", "--rebase"],
        ["--no-ff", "--squash", "--squash"],
        ["--squash", "", "--rebase"],
        ["--rebase", "--squash", "--no-ff"],
        ["--squash", "--rebase", "--no-ff"],
    ] {
        let stage = Stage::with(&[("f", "0\n"), ("mine", "0\n")]);
        for (n, style) in styles.iter().enumerate() {
            stage.act(&format!("echo {n}{n} > f"));
            stage.work.commit(&[("mine", &format!("{n}{n}\n"))], "mine");
            let mut land = vec!["land"];
            land.extend(Some(*style).filter(|style| !style.is_empty()));
            let landed = stage.run(&land);
            assert_eq!(landed.code, 0, "{styles:?} {n}: {}", landed.err);
            let text = format!("{n}{n}\n");
            let both = (stage.work.read("f"), stage.work.read("mine"));
            assert_eq!(both, (Some(text.clone()), Some(text)), "{styles:?} {n}");
        }
    }
    // The clone's branch merges the squash of its own work.
    let stage = Stage::with(&[("f", "0\n"), ("mine", "0\n")]);
    stage.act("echo 1 > f");
    stage.work.commit(&[("mine", "1\n")], "mine");
    stage.run(&["land", "--squash"]).ok();
    let clone = stage.clone();
    clone.write("other", "1\n");
    clone.git(&["add", "other"]);
    let who = ["-c", "user.name=Ann", "-c", "user.email=a@example.com"];
    clone.git(&[&who[..], &["commit", "-qm", "other"]].concat());
    clone.git(&[&who[..], &["merge", "-q", "--no-edit", "main"]].concat());
    stage.work.commit(&[("mine", "2\n")], "mine");
    stage.act("echo 2 > f");
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.read("f").as_deref(), Some("2\n"));
}
