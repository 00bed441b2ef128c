//! What a person reads at a terminal and in a pipe: the pager, the width, help, and how to leave.

use crate::stage::Stage;

/// A pager that says so.
const PAGER: &str = "sed 's/^/> /' | tail -n 3; echo paged by";

#[test]
fn long_answers_go_through_the_users_pager_on_a_terminal() {
    let stage = Stage::new();
    let (_, task) = stage.act("seq 1 300");
    let id = task["task"].as_str().unwrap().to_owned();
    stage
        .work
        .git(&["config", "core.pager", &format!("{PAGER} core")]);
    for verb in ["log", "show"] {
        let mut terminal = stage.at_terminal(80, &format!("{verb} {id}"));
        let screen = terminal.wait_for("code 0");
        assert!(
            screen.contains("paged by core") && !screen.contains("\n100\n"),
            "{screen}"
        );
    }
    // What fits the screen is not paged, nor is a pipe; what a person was told of git's settings counts here too.
    let screen = stage.at_terminal(80, "list").wait_for("code 0");
    assert!(!screen.contains("paged by"), "{screen}");
    assert!(stage.run(&["log", &id]).ok().contains("300"));
    let cases = [
        ("pager.khlone", "false", None),
        (
            "pager.khlone",
            &format!("{PAGER} khlone"),
            Some("paged by khlone"),
        ),
        ("pager.khlone-log", &format!("{PAGER} own"), Some("paged by own")),
        ("pager.khlone-log", "yes", Some("paged by core")),
        ("core.pager", "cat", None),
    ];
    for (key, value, paged) in cases {
        stage.work.git(&["config", key, value]);
        let screen = stage.at_terminal(80, &format!("log {id}")).wait_for("code 0");
        match paged {
            Some(words) => assert!(screen.contains(words), "{key}={value}: {screen}"),
            None => assert!(!screen.contains("paged by"), "{key}={value}: {screen}"),
        }
    }
    // A pager that is not there costs no answer.
    stage.work.git(&["config", "core.pager", "no-such-pager"]);
    let screen = stage.at_terminal(80, &format!("log {id}")).wait_for("code 0");
    assert!(screen.contains("300"), "{screen}");
}

#[test]
fn lists_take_the_width_of_the_terminal() {
    let stage = Stage::new();
    let title = "a title of sixty-five characters, as much as is remembered of one";
    stage.act(&format!(": {title}"));
    for (columns, whole) in [(200, true), (60, false), (40, false)] {
        let screen = stage.at_terminal(columns, "list").wait_for("code 0");
        assert_eq!(screen.contains(title), whole, "{screen}");
        let line = screen.lines().next().unwrap();
        assert!(line.chars().count() <= usize::from(columns), "{line}");
        assert_eq!(line.ends_with('…'), !whole, "{line}");
    }
    assert!(stage.run(&["list"]).ok().contains(title));
}

#[test]
fn q_and_ctrl_c_leave_the_status() {
    let stage = Stage::new();
    stage.act("true");
    for key in ["q", "\x03"] {
        let mut terminal = stage.at_terminal(80, "status --watch");
        terminal.wait_for("foreman.1");
        terminal.press(key);
        terminal.wait_for("code 0.");
    }
}

#[test]
fn help_names_every_verb_and_explains_one() {
    let stage = Stage::new();
    let all = stage.run(&["help"]).ok();
    assert!(all.contains("Give work:") && all.contains("\n  act "), "{all}");
    assert_eq!(all, stage.run(&["--help"]).ok());
    for words in [&["act"][..], &["zone", "new"]] {
        let long = stage.run(&[words, &["--help"]].concat()).ok();
        assert_eq!(stage.run(&[&["help"], words].concat()).ok(), long);
        assert!(long.contains("Usage: git khlone"), "{long}");
    }
    let wrong = stage.run(&["help", "lnad"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("git khlone help land"), "{}", wrong.err);
}
