//! The list of what needs a person is emptied: by answers, by `dismiss`, and by what the clone does next.

use serde_json::Value;

use crate::{
    scratch::Work,
    stage::{Stage, id_in},
};

/// Runs until its worktree has the file `go`.
const HELD: &str = "while [ ! -e go ]; do sleep 0.02; done; rm go";

impl Stage {
    fn needs(&self) -> Vec<(String, String)> {
        let list: Value = serde_json::from_str(&self.run(&["--json", "list", "needs"]).ok()).unwrap();
        let lines = list["needs_you"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        lines
            .map(|line| (word(&line["task"]), word(&line["need"])))
            .collect()
    }
}

fn id(task: &Value) -> String {
    task["task"].as_str().unwrap().to_owned()
}

#[test]
fn a_reply_is_the_next_task_of_the_same_clone() {
    let stage = Stage::new();
    let (said, asks) = stage.act("echo 'Which file?'");
    assert!(
        said.err.contains(&format!("git khlone reply {} TEXT", id(&asks))),
        "{}",
        said.err
    );
    // Another clone, and tasks that wait for the first one, have nothing to do with it.
    stage
        .run(&["act", "--who", "@shell++", "--await", "-m", "echo 2 > 2"])
        .ok();
    let held = stage.hold();
    let waits = stage
        .run(&["act", "--who", "foreman.1", "-m", "echo x > last"])
        .ok();
    let refused = stage.run(&["reply", &held, "now"]);
    assert!(
        refused.code == 4 && refused.err.contains(&format!("git khlone await {held}")),
        "{}",
        refused.err
    );
    let reply = stage.run(&["reply", &id(&asks), "echo answer > answer"]).ok();
    let task = stage.task(&reply);
    assert_eq!(
        (&task["clone"], &task["reply_to"], &task["mode"]),
        (&"foreman.1".into(), &asks["task"], &"act".into())
    );
    let tree = stage.run(&["path", "foreman.1"]).ok();
    Work(tree.into()).write("go", "");
    stage.run(&["await", &reply, &waits]);
    let end = |task: &str| stage.task(task)["attempts"][0]["started"].as_i64().unwrap();
    assert!(end(&reply) <= end(&waits));
    let log = stage
        .work
        .git(&["log", "--format=%s", "-2", "khlone/main/foreman.1"]);
    assert_eq!(log, "echo x > last\necho answer > answer");
}

#[test]
fn an_answered_question_leaves_the_list_and_comes_back_when_the_answer_is_called_off() {
    let stage = Stage::new();
    // Dispatched while the clone has another task: its question is not answered by that.
    stage.hold();
    let asks = stage.run(&["act", "--who", "@shell", "-m", "echo 'Which?'"]).ok();
    stage.let_go();
    stage.run(&["await", &asks]);
    let question = (asks.clone(), "question".to_owned());
    assert_eq!(stage.needs(), std::slice::from_ref(&question));
    let busy = stage
        .run(&["act", "--who", "@shell", "--zone", "main", "-m", HELD])
        .ok();
    assert_eq!(stage.needs(), []);
    stage.run(&["cancel", &busy]).ok();
    stage.run(&["await", &busy]);
    assert_eq!(stage.needs(), [question]);
    stage.run(&["reply", &asks, "--await", "-m", "true"]).ok();
    assert_eq!(stage.needs(), []);
}

#[test]
fn what_is_dismissed_leaves_the_list_and_can_be_put_back() {
    let stage = Stage::new();
    let (_, work) = stage.act("echo x > x.txt");
    let (_, asks) = stage.act("echo 'Which?'");
    let (_, failed) = stage.act("exit 3");
    let all = [(&failed, "failed"), (&asks, "question"), (&work, "land")]
        .map(|(task, need)| (id(task), need.to_owned()));
    // The failed task came after the question.
    let all = [all[0].clone(), all[2].clone()];
    assert_eq!(stage.needs(), all);
    stage.run(&["dismiss", &id(&failed)]).ok();
    assert_eq!(stage.needs(), all[1..]);
    stage.run(&["dismiss", "--undo", &id(&failed)]).ok();
    assert_eq!(stage.needs(), all);
    let said: Value = serde_json::from_str(&stage.run(&["--json", "dismiss", "--all-done"]).ok()).unwrap();
    assert_eq!(
        (&said["tasks"], &said["put_back"]),
        (&Value::from(vec![id(&work)]), &false.into())
    );
    assert_eq!(stage.needs(), all[..1]);
    assert_eq!(stage.run(&["status", "--porcelain"]).ok(), "!1");
    // Nothing else has become of it; and what is tried again is on the list again.
    stage.run(&["land", &id(&work)]).ok();
    stage.run(&["dismiss", &id(&failed)]).ok();
    stage.run(&["retry", &id(&failed)]).ok();
    stage.run(&["await", &id(&failed)]);
    assert_eq!(stage.needs(), all[..1]);
    // All that are named, or none.
    let held = stage.run(&["act", "--who", "@shell", "-m", HELD]).ok();
    let refused = stage.run(&["dismiss", &id(&failed), &held]);
    assert!(
        refused.code == 4 && refused.err.contains(&format!("git khlone cancel {held}")),
        "{}",
        refused.err
    );
    assert_eq!(stage.needs(), all[..1]);
    stage.run(&["cancel", &held]).ok();
    assert_eq!(stage.run(&["fsck"]).code, 0);
}

#[test]
fn the_last_words_are_the_answer_of_what_was_awaited() {
    let stage = Stage::new();
    let act = |more: &[&str]| stage.run(&[&["act", "--who", "@shell", "--await"], more].concat());
    let good = act(&["-m", "echo did it; echo x > x"]);
    assert_eq!((good.code, good.out.as_str()), (0, "did it\n"));
    assert!(
        good.err.contains(&format!("✓ {} foreman.1 in main", good.id())),
        "{}",
        good.err
    );
    let again = stage.run(&["await", &good.id()]);
    assert_eq!(again.out, "did it\n");
    let bad = act(&["-m", "echo tried; exit 3"]);
    assert_eq!((bad.code, bad.out.as_str()), (1, ""));
    assert!(
        bad.err.contains("tried\n") && !bad.err.contains("git khlone land"),
        "{}",
        bad.err
    );
    for (script, code) in [("echo did it", 0), ("echo did it; exit 3", 1)] {
        let said = act(&["--json", "-m", script]);
        let document: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(
            (said.code, &document["answer"]),
            (code, &"did it\n".into()),
            "{document}"
        );
        assert_eq!(document["task"], id_in(&said.err).as_str());
    }
    let queued = stage.run(&["act", "--who", "@shell", "-m", "true"]).ok();
    assert!(queued.parse::<git_khlone::task::TaskId>().is_ok());
}

#[test]
fn land_refuses_a_newest_task_that_is_not_done_unless_it_is_named() {
    let stage = Stage::new();
    let (_, half) = stage.act("echo half > half.txt; exit 1");
    let refused = stage.run(&["land"]);
    assert!(
        refused.code == 4 && refused.err.contains(&format!("git khlone land {}", id(&half))),
        "{}",
        refused.err
    );
    assert_eq!(stage.work.read("half.txt"), None);
    stage.run(&["land", &id(&half)]).ok();
    assert_eq!(stage.work.read("half.txt").as_deref(), Some("half\n"));
    // And then it needs nobody.
    assert_eq!(stage.needs(), []);
}

#[test]
fn ctrl_c_leaves_a_wait_and_says_how_to_come_back() {
    let stage = Stage::new();
    let mut terminal = stage.at_terminal(80, &format!("ask --who @shell --await '{HELD}'"));
    terminal.wait_for("s t-");
    terminal.press("\x03");
    terminal.wait_for("git khlone await t-");
    terminal.wait_for("code 130");
    let list: Value = serde_json::from_str(&stage.run(&["--json", "list"]).ok()).unwrap();
    let task = list["tasks"][0]["task"].as_str().unwrap().to_owned();
    stage.until("the start", || {
        (stage.task(&task)["status"] == "running").then_some(())
    });
    stage.run(&["cancel", &task]).ok();
}

#[test]
fn any_takes_a_free_clone_else_a_new_one() {
    let stage = Stage::new();
    let act = |who: &str, script: &str| {
        let said = stage.run(&["--json", "act", "--who", who, "-m", script]);
        let document: Value = serde_json::from_str(&said.ok()).unwrap();
        (
            document["task"].as_str().unwrap().to_owned(),
            document["clone"].as_str().unwrap().to_owned(),
        )
    };
    let (first, _) = act("@shell", HELD);
    let (second, clone) = act("any@shell", HELD);
    assert_eq!(clone, "foreman.2");
    let behind = stage.run(&["act", "--who", "@shell", "-m", "true"]);
    assert!(
        behind.err.contains("--who foreman.any takes a free clone"),
        "{}",
        behind.err
    );
    assert_eq!(act("foreman.any@shell", HELD).1, "foreman.3");
    stage.run(&["cancel", &second]).ok();
    stage.run(&["await", &second]);
    assert_eq!(act("any@shell", HELD).1, "foreman.2");
    assert_eq!(stage.task(&first)["clone"], "foreman.1");
    let list: Value = serde_json::from_str(&stage.run(&["--json", "list"]).ok()).unwrap();
    for task in list["tasks"].as_array().unwrap() {
        stage.run(&["cancel", task["task"].as_str().unwrap()]);
    }
}
