//! The status of a site while things happen, the prompt's line, and what the user is told of.

use std::{fs, path::Path};

use serde_json::Value;

use crate::stage::{Said, Stage, said};

/// Says a word, waits until its worktree has the file `go`, and leaves nothing behind.
const HELD: &str = "echo I am at it; while [ ! -e go ]; do sleep 0.02; done; rm go";

impl Stage {
    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["--json", "status"]).ok()).unwrap()
    }

    fn prompt(&self) -> String {
        let said = self.run(&["status", "--porcelain"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        said.out
    }

    /// Queues a task that runs until [`Stage::let_go`], and waits until it does.
    pub(crate) fn hold(&self) -> String {
        let held = self.run(&["act", "--who", "@shell", "-m", HELD]).ok();
        self.until("the first word", || {
            let status = self.status();
            let line = status["running"].as_array()?.first()?.clone();
            (line["last_said"] == "I am at it").then_some(())
        });
        held
    }

    pub(crate) fn let_go(&self) {
        self.clone().write("go", "");
    }

    /// How the user wants to be told: by a command that keeps what it gets.
    fn notify(&self, script: &str) {
        let folder = self.path().join("home/.config/khlone");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("config.yml"),
            format!("notify: [sh, -c, '{script}']\n"),
        )
        .unwrap();
    }

    fn daemon_log(&self) -> String {
        fs::read_to_string(self.work.0.join(".git/khlone/daemon.log")).unwrap_or_default()
    }
}

#[test]
fn running_and_waiting_tasks_are_told_with_their_figures() {
    let stage = Stage::new();
    let held = stage.hold();
    let second = stage.run(&["act", "--who", "@shell", "-m", "exit 3"]).ok();
    let status = stage.status();
    let running = &status["running"][0];
    assert_eq!(
        (&running["task"], &running["attempt"]),
        (&held.as_str().into(), &1.into())
    );
    assert!(
        running["elapsed"].is_number() && running["cost"].is_null(),
        "{running}"
    );
    let waits = &status["waiting"][0]["waits"];
    assert_eq!(
        (&waits["for"], &waits["first"]),
        (&"behind".into(), &held.as_str().into())
    );
    assert!(
        status["cost_today"].is_null() && status["disk"]["bytes"].as_u64() > Some(0),
        "{status}"
    );
    let screen = stage.run(&[]).ok();
    assert!(screen.contains("0 tools · 0 files · I am at it"), "{screen}");
    assert!(screen.contains(&format!("queued behind {held}")), "{screen}");
    assert_eq!(stage.prompt(), "▶1 …1\n");
    // What goes before a task is said in the order in which it is done: only the one under way comes before this one.
    let first = stage.run(&["act", "--who", "@shell", "--prioritize", "-m", "true"]);
    assert!(first.err.contains("queued behind 1"), "{}", first.err);
    let status = stage.status();
    let order: Vec<_> = status["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["task"])
        .collect();
    assert_eq!(order, [first.out.trim(), second.trim()]);
    stage.run(&["cancel", first.out.trim()]).ok();
    stage.let_go();
    stage.run(&["await", &second]);
    // What has failed needs someone, first of all.
    assert!(stage.run(&[]).ok().starts_with("needs you\n"));
    assert_eq!(stage.prompt(), "!1\n");
}

#[test]
fn the_prompt_is_current_silent_and_starts_nothing() {
    let stage = Stage::new();
    assert_eq!(stage.prompt(), "");
    assert!(!stage.work.0.join(".git/khlone").exists());
    let outside = stage.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let silent = said(stage.cmd(&outside, &["status", "--porcelain"]));
    assert_eq!(
        (silent.code, silent.out.as_str(), silent.err.as_str()),
        (0, "", "")
    );
    stage.act("echo x > x.txt");
    stage.run(&["daemon", "stop"]);
    // Done and not landed; the same from what was kept, and another once it has landed.
    let kept = stage.work.0.join(".git/khlone/prompt");
    let line = stage.until("a prompt that is kept", || {
        let line = stage.prompt();
        kept.exists().then_some(line)
    });
    assert_eq!(line, "!1\n");
    let made = fs::metadata(&kept).unwrap().modified().unwrap();
    assert_eq!(stage.prompt(), "!1\n");
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), made);
    stage.run(&["land"]).ok();
    assert_eq!(stage.prompt(), "");
    assert!(stage.run(&["daemon", "status"]).err.contains("no daemon runs"));
}

#[test]
fn the_status_refreshes_in_place() {
    let stage = Stage::new();
    let held = stage.hold();
    let piped = stage.run(&["status", "--watch"]);
    assert!(piped.code == 2 && piped.err.contains("--json"), "{}", piped.err);
    // Too narrow for most of its lines.
    let mut terminal = stage.at_terminal(40, "status --watch");
    terminal.wait_for("under way");
    stage.let_go();
    // One screen after the other, and of the last nothing is left.
    terminal.wait_until("the end of the task", |screen| {
        screen.starts_with("crew\n") && screen.contains("idle") && !screen.contains(&held[..5])
    });
    terminal.press("\x03");
    terminal.wait_for("code 0.");
}

#[test]
fn the_end_of_a_task_is_told_by_the_users_command() {
    let stage = Stage::new();
    let out = stage.path().join("told");
    let out = out.to_str().unwrap().to_owned();
    let told = |stage: &Stage, count| -> Vec<Value> {
        stage.until("the message", || {
            let text = fs::read_to_string(&out).ok()?;
            let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
            lines.ok().filter(|lines| lines.len() == count)
        })
    };
    // The file is written whole, so that a reader sees whole lines.
    stage.notify(&format!(
        "test \"$KHLONE_NOTIFY_EVENT\" && {{ cat; echo; }} >> \"{out}\""
    ));
    let done = stage.act("echo secret-prompt > x.txt").0.id();
    let first = told(&stage, 1);
    assert_eq!(
        (&first[0]["event"], &first[0]["task"]),
        (&"ended".into(), &done.as_str().into())
    );
    assert_eq!(
        (&first[0]["format"], &first[0]["outcome"]),
        (&1.into(), &"done".into())
    );
    assert!(!first[0].to_string().contains("secret-prompt"));
    stage.act("exit 3");
    assert_eq!(told(&stage, 2)[1]["event"], "needs-you");
    // What ends while no daemon runs is told by the next one, once.
    let held = stage.hold();
    stage.run(&["daemon", "stop"]);
    stage.let_go();
    stage.until("the end", || {
        (stage.task(&held)["status"] == "done").then_some(())
    });
    stage.run(&["daemon", "start"]).ok();
    assert_eq!(told(&stage, 3)[2]["task"], held.as_str());
    // It is the user's affair alone: not in the ledger, and not the repository's to set.
    let refs = stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/tasks"]);
    for name in refs.lines() {
        let config = stage.work.git(&["show", &format!("{name}:config.json")]);
        assert!(!config.contains("notify"), "{config}");
    }
    fs::write(stage.work.0.join("khlone.yml"), "notify: desktop\n").unwrap();
    let Said { code, err, .. } = stage.run(&["act", "--who", "@shell", "-m", "true"]);
    assert!(
        code == 2 && err.contains("cannot be set by a repository"),
        "{code} {err}"
    );
}

#[test]
fn a_notification_that_fails_or_hangs_changes_nothing() {
    let stage = Stage::new();
    stage.notify("exit 9");
    let (act, task) = stage.act("true");
    assert_eq!((act.code, &task["status"]), (0, &"done".into()));
    stage.until("the line in the log", || {
        stage.daemon_log().contains("notify failed").then_some(())
    });
    assert_eq!(stage.daemon_log().matches("notify failed").count(), 1);
    stage.notify("sleep 600");
    assert_eq!(stage.act("true").0.code, 0);
    assert_eq!(stage.act("echo next").0.code, 0);
    // With `desktop`, the program of that name is called, without a word of the prompt.
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let program = bin.join("notify-send");
    let out = stage.path().join("sent");
    fs::write(
        &program,
        format!("#!/bin/sh\necho \"$@\" > '{}'\n", out.display()),
    )
    .unwrap();
    make_executable(&program);
    stage.run(&["daemon", "stop"]);
    let repository = stage.work.0.join(".git").display().to_string();
    stage.until("the end of the one that hangs", || {
        git_khlone::guard::sandbox::survivors::marked("KHLONE_NOTIFY_REPOSITORY", &repository)
            .is_empty()
            .then_some(())
    });
    fs::write(
        stage.path().join("home/.config/khlone/config.yml"),
        "notify: desktop\n",
    )
    .unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let act = stage
        .cmd(
            &stage.work.0,
            &["act", "--who", "@shell", "--await", "-m", "exit 1 # hidden"],
        )
        .env("PATH", path);
    let id = said(act).id();
    let sent = stage.until("the message", || {
        fs::read_to_string(&out).ok().filter(|text| !text.is_empty())
    });
    assert!(sent.contains("--urgency=critical -- foreman.1 failed"), "{sent}");
    assert!(
        sent.contains(&format!("git khlone show {id}")) && !sent.contains("hidden"),
        "{sent}"
    );
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn long_work_moves_on_a_terminal_and_is_silent_in_a_pipe() {
    let stage = Stage::new();
    let (said, task) = stage.act("echo x > x.txt");
    assert_eq!((said.code, said.err.contains('\r')), (0, false), "{}", said.err);
    for verb in [
        &["fsck"][..],
        &["gc"],
        &["zone", "repair"],
        &["redact", task["task"].as_str().unwrap()],
    ] {
        let said = stage.run(verb);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{verb:?}");
    }
    let awaits = "act --await --who @shell -m 'while ! test -e go; do sleep 0.05; done; mv go gone'";
    let mut terminal = stage.at_terminal(80, awaits);
    // How long, and for what.
    terminal.wait_for("s t-");
    stage.clone().write("go", "");
    let is_over = |screen: &str| screen.contains("done") && !screen.contains("s t-");
    terminal.wait_until("the end alone", is_over);
}

#[test]
fn a_question_is_listed_with_its_words_until_its_clone_goes_on() {
    let stage = Stage::new();
    let (_, asks) = stage.act("echo 'I looked.'; echo 'Which database do you mean?'");
    assert_eq!(asks["question"], "Which database do you mean?");
    let status = stage.status();
    let needs = &status["needs_you"][0];
    assert_eq!(
        (&needs["need"], &needs["says"]),
        (&"question".into(), &asks["question"])
    );
    let screen = stage.run(&[]).ok();
    assert!(screen.contains("Which database do you mean?"), "{screen}");
    assert_eq!(stage.prompt(), "!1\n");
    // Nothing was changed and nothing asked: that needs nobody, nor does an answer.
    stage.act("echo fine");
    stage
        .run(&["ask", "--who", "@shell", "--await", "-m", "echo 'Shall I?'"])
        .ok();
    assert_eq!(stage.prompt(), "");
    assert_eq!(stage.run(&["list", "needs"]).ok(), "");
}

#[test]
fn needs_name_their_zone_where_there_are_several_and_come_in_one_order() {
    let stage = Stage::new();
    stage.act("echo x > x.txt");
    stage.act("echo 'Which?'");
    assert!(!stage.run(&[]).ok().contains(" in main"));
    let other = [
        "act", "--who", "@shell", "--await", "--zone", "other", "--create", "-m", "exit 3",
    ];
    assert_eq!(stage.run(&other).code, 1);
    let status = stage.status();
    let order = |list: &Value| -> Vec<String> {
        let lines = list["needs_you"].as_array().unwrap().iter();
        lines
            .map(|line| line["need"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(order(&status), ["failed", "question", "land"]);
    let list = serde_json::from_str(&stage.run(&["--json", "list", "needs"]).ok()).unwrap();
    assert_eq!(order(&list), order(&status));
    let screen = stage.run(&["list", "needs"]).ok();
    assert!(
        screen.contains("foreman.1 in other") && screen.contains("foreman.1 in main"),
        "{screen}"
    );
    assert_eq!(stage.prompt(), "!3\n");
    let other = stage.run(&["list", "needs", "--zone", "other"]).ok();
    assert!(other.contains("failed") && !other.contains("asks"), "{other}");
}
