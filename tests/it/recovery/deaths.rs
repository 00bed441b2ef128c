//! Runners killed in the middle: what is reported, and how the task goes on.

use std::{fs, path::Path};

use git_khlone::process::Cmd;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::stage::Stage;

/// Settings under which checkpoints come as fast as they can.
pub(crate) const QUICK: &str = "limits: {checkpoint: 0s}\n";

pub(crate) fn stage(config: &str) -> Stage {
    Stage::with(&[
        ("a.txt", "one\ntwo\nthree\n"),
        ("b.txt", "b\n"),
        ("khlone.yml", config),
    ])
}

/// A script that waits in its first attempt for ever, once `mark` says so.
pub(crate) fn script(first: &str, then: &str) -> String {
    format!("if [ $KHLONE_ATTEMPT = 1 ]; then {first}; touch mark; sleep 600; fi; {then}")
}

pub(crate) fn runner(stage: &Stage, id: &str) -> Pid {
    let pid = stage.until("a runner", || {
        stage.task(id)["attempts"].as_array()?.last()?["pid"].as_i64()
    });
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Waits until the clone's worktree has `mark`, and kills the runner.
pub(crate) fn kill_at_mark(stage: &Stage, id: &str) {
    until_mark(stage, id);
    kill_process(runner(stage, id), Signal::KILL).unwrap();
}

pub(crate) fn until_mark(stage: &Stage, id: &str) {
    stage.until("the mark", || {
        let path = stage.run(&["path", id]);
        Path::new(path.out.trim()).join("mark").exists().then_some(())
    });
}

/// The settings of all the tests that hold a dead task, to look at it.
pub(crate) fn until_held(stage: &Stage, id: &str) -> Value {
    stage.until("a hold", || {
        let task = stage.task(id);
        task["hold"].is_string().then_some(task)
    })
}

pub(crate) fn effects(stage: &Stage, id: &str, n: u32) -> Value {
    let text = stage.work.git(&[
        "show",
        &format!("refs/khlone/tasks/{id}:attempts/{n}/effects.json"),
    ]);
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|word| word.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn what_was_done_is_kept_and_what_is_in_doubt_is_named() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let first = "echo done > done.txt; git add done.txt; git commit -qm 'a step'; until [ -e go ]; do sleep 0.05; done; \
                 printf 'one\\ntw' > a.txt; : > b.txt; printf half > new.txt; rm -f go; \
                 git add new.txt; git commit -qm 'a late step'";
    let id = stage.start(&script(first, "test -e done.txt"));
    let lines = stage.attempt(&id, 1).join("checkpoints.jsonl");
    stage.until("a checkpoint with the commit", || {
        fs::read_to_string(&lines)
            .unwrap_or_default()
            .lines()
            .any(|line| line.contains("\"k\""))
            .then_some(())?;
        stage.run(&["path", &id]).out.contains('/').then_some(())
    });
    stage.clone().write("go", "");
    kill_at_mark(&stage, &id);
    let task = until_held(&stage, &id);
    assert_eq!(
        (&task["status"], &task["attempts"][0]["died"]["began"]),
        (&"interrupted".into(), &true.into()),
        "{task:#}"
    );
    let effects = effects(&stage, &id, 1);
    let doubt = words(&effects["in_doubt"]);
    // How much of it the last checkpoint had seen is chance; that all of it is somewhere is not.
    let all = effects.to_string();
    for file in ["a.txt", "b.txt", "new.txt", "done.txt"] {
        assert!(all.contains(file), "{effects:#}");
    }
    assert!(doubt.iter().all(|word| word.contains('(')), "{doubt:?}");
    assert_eq!(words(&effects["external"]), Vec::<String>::new(), "{effects:#}");
    assert_eq!(effects["commits"].as_array().unwrap().len(), 2, "{effects:#}");
    // The branch has followed what the dead brain committed in its own git.
    let log = stage
        .work
        .git(&["log", "--format=%s", "-2", "khlone/main/foreman.1"]);
    assert_eq!(log, "a late step\na step");
    stage.work.git(&["fsck", "--strict"]);
    assert!(stage.run(&["fsck"]).code == 0, "{}", stage.run(&["fsck"]).out);
}

#[test]
fn what_a_dead_brain_said_on_stderr_is_kept_without_its_secrets_and_shown() {
    let stage = stage(&format!("{QUICK}resume: ask\n"));
    let first = "printf 'warn\\033[31m: ghp_012345678901234567890123456789abcdef is no key\\n' >&2; \
                 until [ -e heard ]; do sleep 0.05; done";
    let id = stage.start(&script(first, "exit 0"));
    let spooled = stage.attempt(&id, 1).join("stderr.log");
    stage.until("its words", || {
        let said = fs::read_to_string(&spooled).unwrap_or_default();
        said.contains("is no key").then_some(())
    });
    stage.clone().write("heard", "");
    kill_at_mark(&stage, &id);
    until_held(&stage, &id);
    let kept = stage
        .work
        .git(&["show", &format!("refs/khlone/tasks/{id}:attempts/1/stderr.log")]);
    assert!(
        kept.starts_with("warn: [redacted:") && kept.ends_with("is no key"),
        "{kept}"
    );
    let shown = stage.run(&["show", &id]).ok();
    assert!(shown.contains("stderr   warn: [redacted:"), "{shown}");
}

#[test]
fn a_user_who_goes_on_working_while_an_attempt_is_dead_holds_nothing_up() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = stage(QUICK);
    let id = stage.start(&script("echo mine > mine.txt", "test -e mine.txt"));
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]);
    kill_at_mark(&stage, &id);
    stage.work.commit(&[("b.txt", "theirs\n")], "theirs");
    let tip = stage.work.git(&["rev-parse", "HEAD"]);
    stage.work.git(&["tag", "v1"]);
    stage.work.git(&["update-ref", "refs/remotes/origin/main", &tip]);
    stage.work.git(&["switch", "-qc", "feature"]);
    stage.run(&["daemon", "start"]).ok();
    let told = stage.run(&["await", &id]);
    assert_eq!(told.code, 0, "{}: {:#}", told.err, stage.task(&id));
    // It is told all the same.
    let external = words(&effects(&stage, &id, 1)["external"]).join("\n");
    for wanted in [
        "refs/heads/main: ",
        "refs/heads/feature: ",
        "refs/tags/v1: ",
        "refs/remotes/origin/main: ",
        "HEAD of the main work tree: ",
    ] {
        assert!(external.contains(wanted), "{wanted}: {external}");
    }
}

#[test]
fn what_somebody_else_changed_meanwhile_is_named_and_waits_for_a_person() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = stage(QUICK);
    let id = stage.start(&script("echo mine > mine.txt", "exit 0"));
    until_mark(&stage, &id);
    stage.run(&["daemon", "stop"]);
    kill_at_mark(&stage, &id);
    // Nothing that its sandbox let it do.
    stage.work.git(&["branch", "theirs"]);
    stage.work.git(&["config", "core.abbrev", "12"]);
    stage.work.commit(&[("b.txt", "theirs\n")], "theirs");
    stage.run(&["daemon", "start"]).ok();
    let task = until_held(&stage, &id);
    let external = words(&effects(&stage, &id, 1)["external"]).join("\n");
    for wanted in ["refs/heads/theirs", "refs/heads/main", "config"] {
        assert!(external.contains(wanted), "{external}");
    }
    assert!(
        task["hold"].as_str().unwrap().contains("somebody else"),
        "{task:#}"
    );
    let said = stage.run(&["await", &id]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("git khlone resume"), "{}", said.err);
    let shown = stage.run(&["show", &id]).ok();
    assert!(shown.contains("external refs/heads/theirs"), "{shown}");
    assert_eq!(
        task["attempts"].as_array().unwrap().len(),
        1,
        "it did not go on by itself"
    );
}

#[test]
fn a_runner_given_up_for_dead_that_wakes_up_changes_nothing() {
    let stage = stage(QUICK);
    let id = stage.start(&script("echo one > one.txt", "echo two > two.txt"));
    until_mark(&stage, &id);
    let old = runner(&stage, &id);
    kill_process(old, Signal::STOP).unwrap();
    stage.run(&["daemon", "stop"]);
    // Put back from a copy, the locks are other files: nobody can tell that it lives.
    let site = stage.work.0.join(".git/khlone");
    for folder in ["attempts", "clones"] {
        let (there, aside) = (site.join(folder), site.join(format!("{folder}.aside")));
        fs::rename(&there, &aside).unwrap();
        Cmd::new("cp").arg("-a").args([aside, there]).output().unwrap();
    }
    stage.run(&["daemon", "start"]).ok();
    let task = stage.until("the second attempt's end", || {
        let task = stage.task(&id);
        (task["status"] == "done" || task["hold"].is_string()).then_some(task)
    });
    assert_eq!(
        (&task["status"], task["attempts"].as_array().unwrap().len()),
        (&"done".into(), 2),
        "{task:#}"
    );
    let refs = || {
        stage.work.git(&[
            "for-each-ref",
            "--format=%(refname) %(objectname)",
            "refs/heads",
            "refs/khlone",
        ])
    };
    let (before, files) = (refs(), stage.clone().status());
    kill_process(old, Signal::CONT).unwrap();
    stage.until("the old runner's end", || {
        rustix::process::test_kill_process(old).is_err().then_some(())
    });
    assert_eq!((refs(), stage.clone().status()), (before, files));
    assert!(stage.run(&["fsck"]).code == 0, "{}", stage.run(&["fsck"]).out);
}

#[test]
fn a_brain_that_is_killed_goes_on_and_its_last_files_are_in_doubt() {
    let stage = stage("limits: {checkpoint: 1h}\n");
    let (said, task) = stage.act(
        "if [ $KHLONE_ATTEMPT = 1 ]; then printf 'one\\ntw' > a.txt; : > b.txt; kill -9 $$; fi; echo two > two.txt",
    );
    assert_eq!((said.code, &task["outcome"]), (0, &"done".into()), "{}", said.err);
    assert_eq!(
        (
            task["attempts"].as_array().unwrap().len(),
            &task["attempts"][0]["exit"]
        ),
        (2, &"SIGKILL".into()),
        "{task:#}"
    );
    let effects = effects(&stage, task["task"].as_str().unwrap(), 1);
    let doubt = words(&effects["in_doubt"]).join("\n");
    assert!(
        doubt.contains("a.txt (modified, cut off or empty)") && doubt.contains("b.txt (modified, cut off"),
        "{effects:#}"
    );
}

#[test]
fn a_brain_that_is_killed_again_and_again_is_given_up_and_says_so() {
    let stage = stage("limits: {checkpoint: 1h, attempts: 2}\n");
    let (said, task) = stage.act("echo half > half.txt; kill -9 $$");
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"partial".into()),
        "{}",
        said.err
    );
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2, "{task:#}");
    for wanted in [
        "git khlone resume",
        "died in 2 attempts",
        "killed (SIGKILL), perhaps out of memory",
    ] {
        assert!(said.err.contains(wanted), "{wanted}: {}", said.err);
    }
}

/// Kills the runner of attempt `n`, whose brain has begun.
fn kill_attempt(stage: &Stage, id: &str, n: u32) {
    stage.until("the attempt at work", || {
        let attempts = stage.task(id)["attempts"].as_array()?.len();
        let begun = stage.attempt(id, n).join("begun");
        (u32::try_from(attempts).ok()? == n && begun.exists()).then_some(())
    });
    kill_process(runner(stage, id), Signal::KILL).unwrap();
}

#[test]
fn a_killed_runner_is_no_death_of_the_task_but_not_for_ever() {
    let stage = stage("limits: {checkpoint: 1h, attempts: 1}\n");
    let id = stage.start("if [ $KHLONE_ATTEMPT != 3 ]; then sleep 600; fi");
    (1..3).for_each(|n| kill_attempt(&stage, &id, n));
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));

    // One that always takes its runner along.
    let id = stage.start("sleep 600");
    (1..4).for_each(|n| kill_attempt(&stage, &id, n));
    let over = stage.run(&["await", &id]);
    assert_eq!(over.code, 1, "{}", over.err);
    assert!(
        over.err.contains("its runner was killed in 3 attempts"),
        "{}",
        over.err
    );
    // A person's word begins anew.
    stage.run(&["resume", &id]).ok();
    kill_attempt(&stage, &id, 4);
    stage.until("the fifth attempt", || {
        (stage.task(&id)["attempts"].as_array()?.len() == 5).then_some(())
    });
    stage.run(&["cancel", &id]).ok();
    stage.run(&["await", &id]);
}

#[test]
fn the_diff_of_a_task_that_went_on_is_all_of_it() {
    let stage = stage(QUICK);
    let id = stage.start(&script("echo one > one.txt", "echo two > two.txt; rm mark"));
    kill_at_mark(&stage, &id);
    assert_eq!(stage.run(&["await", &id]).code, 0, "{:#}", stage.task(&id));
    let names = stage.run(&["diff", "--name-only", &id]).ok();
    assert_eq!(names, "one.txt\ntwo.txt");
}

#[test]
fn who_resumes_a_task_while_its_death_is_looked_after_loses_no_branch_and_no_note() {
    let stage = stage(QUICK);
    let first = "echo one > one.txt; git add one.txt; git commit -qm one";
    let id = stage.start(&script(first, "echo two > two.txt; rm mark"));
    until_mark(&stage, &id);
    // Recovery comes to the notes last, and no further than here.
    let lock = stage.work.0.join(".git/refs/notes/khlone.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = fs::File::create_new(&lock).unwrap();
    fs4::FileExt::lock(&held).unwrap();
    kill_process(runner(&stage, &id), Signal::KILL).unwrap();
    stage.until("the death's record", || {
        stage.task(&id)["attempts"][0]["died"].is_object().then_some(())
    });
    stage.run(&["resume", &id]);
    for pid in runners(&stage) {
        let _may_be_gone = kill_process(pid, Signal::KILL);
    }
    fs::remove_file(&lock).unwrap();
    drop(held);
    let over = stage.run(&["await", &id]);
    assert_eq!(over.code, 0, "{}{:#}", over.err, stage.task(&id));
    let checked = stage.run(&["fsck"]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    let log = stage.work.git(&[
        "log",
        "--format=%s%n%N",
        "--notes=khlone",
        "main..khlone/main/foreman.1",
    ]);
    assert_eq!(log.matches(&format!("Khlone-Task: {id}")).count(), 2, "{log}");
}

/// The runners of this repository.
fn runners(stage: &Stage) -> Vec<Pid> {
    let common = stage.work.0.join(".git").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let runners = processes.filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&common) && line.contains(" runner ")
    });
    runners
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

#[test]
fn without_a_sandbox_locks_of_a_killed_git_go_and_anybody_elses_stay() {
    let stage = stage(QUICK);
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "sandbox: off\n").unwrap();
    let script = "d=$(git rev-parse --absolute-git-dir); c=$(git rev-parse --path-format=absolute --git-common-dir); \
                  touch \"$d/index.lock\" \"$d/HEAD.lock\" \"$c/$(git symbolic-ref HEAD).lock\"; echo x > x.txt";
    let (said, task) = stage.act(script);
    assert_eq!((said.code, &task["outcome"]), (0, &"done".into()), "{}", said.err);
    assert_eq!(stage.clone().status(), "");

    let admin = stage.clone().git(&["rev-parse", "--absolute-git-dir"]);
    let lock = Path::new(&admin).join("index.lock");
    let older = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::create_new(&lock).unwrap().set_modified(older).unwrap();
    let (said, task) = stage.act("echo y > y.txt");
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(task["hold"].as_str().unwrap().contains("index.lock"), "{task:#}");
    fs::remove_file(&lock).unwrap();
    let id = task["task"].as_str().unwrap();
    stage.run(&["resume", id]).ok();
    assert_eq!(stage.run(&["await", id]).code, 0, "{:#}", stage.task(id));
    assert_eq!(stage.clone().status(), "");
    assert_eq!(stage.run(&["fsck"]).code, 0, "{}", stage.run(&["fsck"]).out);
}
