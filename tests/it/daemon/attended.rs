//! `KHLONE_DAEMON=never`: a command runs its task itself, and nothing stays when it is over, however it ends.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Stdio},
};

use git_khlone::process::Cmd;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::{
    stage::{BOUND, Stage, id_in},
    tools,
};

impl Stage {
    fn never(&self, args: &[&str]) -> Cmd {
        self.cmd(&self.work.0, args).env("KHLONE_DAEMON", "never")
    }

    /// Processes that have to do with this stage's folder.
    fn processes(&self) -> Vec<String> {
        let dir = self.path().to_str().unwrap().to_owned();
        let pids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let lines = pids.filter_map(|path| {
            let words = fs::read(path.join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let at = fs::read_link(path.join("cwd")).unwrap_or_default();
            (words.contains(&dir) || at.starts_with(&dir)).then_some(words)
        });
        lines.collect()
    }

    fn begin(&self, args: &[&str]) -> Child {
        let mut command = self.never(args).into_inner();
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        command.spawn().unwrap()
    }
}

fn id_of(out: &[u8]) -> String {
    String::from_utf8_lossy(out).trim().to_owned()
}

#[test]
fn a_task_runs_with_its_command_and_nothing_stays() {
    let stage = Stage::new();
    let done = stage.never(&["act", "--who", "@shell", "echo said; echo one > one"]);
    let done = done.patience(BOUND).finish().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(told.contains("said"), "it is watched: {told}");
    assert_eq!(stage.processes(), Vec::<String>::new());
    assert!(!stage.work.0.join(".git/khlone/daemon.json").exists());
    let id = id_of(&done.stdout);
    assert_eq!(stage.task(&id)["outcome"], "done");
    // An answer is all of stdout, and the exit code is the outcome's.
    let asked = stage
        .never(&["ask", "--who", "@shell", "echo 42"])
        .finish()
        .unwrap();
    assert_eq!(id_of(&asked.stdout), "42");
    let failed = stage
        .never(&["act", "--who", "@shell", "exit 3"])
        .finish()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let again = stage.never(&["retry", &id_of(&failed.stdout)]).finish().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(stage.processes(), Vec::<String>::new());
}

#[test]
fn what_it_streams_is_json_a_line() {
    let stage = Stage::new();
    let done = stage
        .never(&["--json", "act", "--who", "@shell", "echo said; echo x > x"])
        .finish()
        .unwrap();
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    let events: Vec<Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let last = events.last().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(
        (&last["task"], &last["outcome"]),
        (&answer["task"], &Value::from("done"))
    );
}

#[test]
fn a_command_that_ends_early_takes_along_what_it_runs() {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let stage = Stage::new();
        let script = "[ -e one ] || { echo one > one; sleep 1000; }; echo two > two";
        let mut act = stage.begin(&["act", "--who", "@shell", script]);
        stage.until("the brain", || {
            let clone = stage.run(&["path"]);
            let at = fs::metadata(format!("{}/one", clone.out.trim())).ok();
            (clone.code == 0 && at.is_some()).then_some(())
        });
        let pid = Pid::from_raw(i32::try_from(act.id()).unwrap()).unwrap();
        // Ctrl-c reaches the whole group, a kill one process.
        if signal == Signal::INT {
            kill_process_group(pid, signal).unwrap();
        } else {
            kill_process(pid, signal).unwrap();
        }
        act.wait().unwrap();
        stage.until("the end of all", || stage.processes().is_empty().then_some(()));
        let id = id_in(&stage.run(&["show"]).out);
        assert_eq!(stage.task(&id)["status"], "cancelled", "{signal:?}");
        let on = stage.never(&["resume", &id]).patience(BOUND).finish().unwrap();
        assert!(on.status.success(), "{}", String::from_utf8_lossy(&on.stderr));
        assert_eq!(stage.task(&id)["outcome"], "done", "{signal:?}");
        assert_eq!(stage.processes(), Vec::<String>::new());
    }
}

/// Two pipelines in one checkout: the first to end takes nothing from the other.
#[test]
fn commands_at_once_share_it_and_the_last_ends_it() {
    let stage = Stage::new();
    // In the worktree, which the sandbox shows.
    let script = "touch began; until [ -e go ]; do sleep .05; done";
    let mut slow = stage.begin(&["act", "--who", "foreman.1@shell", script]);
    let at = stage.until("the slow one", || {
        let at = PathBuf::from(stage.run(&["path", "foreman.1"]).out.trim());
        at.join("began").exists().then_some(at)
    });
    let quick = stage.never(&["act", "--who", "@shell++", "echo x > x"]);
    let quick = quick.patience(BOUND).finish().unwrap();
    assert!(
        quick.status.success(),
        "{}",
        String::from_utf8_lossy(&quick.stderr)
    );
    assert!(slow.try_wait().unwrap().is_none());
    fs::write(at.join("go"), "").unwrap();
    assert!(slow.wait().unwrap().success());
    assert_eq!(stage.processes(), Vec::<String>::new());
}

#[test]
fn a_daemon_that_is_there_is_used_and_stays() {
    let stage = Stage::new();
    stage.run(&["daemon", "start"]).ok();
    let done = stage
        .never(&["act", "--who", "@shell", "echo x > x"])
        .finish()
        .unwrap();
    assert!(done.status.success());
    assert_eq!(stage.run(&["daemon", "status"]).code, 0);
    // What runs there goes on without the command, which says so.
    let script = "echo said; until [ -e go ]; do sleep .05; done";
    let log = stage.path().join("told");
    let mut command = stage.never(&["act", "--who", "@shell", script]).into_inner();
    command.stdout(Stdio::null()).process_group(0);
    command.stderr(fs::File::create(&log).unwrap());
    let mut act = command.spawn().unwrap();
    let clone = stage.clone();
    let told = || fs::read_to_string(&log).unwrap();
    stage.until("its words", || told().contains("said").then_some(()));
    let pid = Pid::from_raw(i32::try_from(act.id()).unwrap()).unwrap();
    kill_process_group(pid, Signal::INT).unwrap();
    act.wait().unwrap();
    assert!(told().contains("keeps running"), "{}", told());
    fs::write(clone.0.join("go"), "").unwrap();
    stage.run(&["await"]).ok();
    let refused = stage.never(&["daemon", "start"]).finish().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    let wrong = stage.cmd(&stage.work.0, &["list"]).env("KHLONE_DAEMON", "nevr");
    let wrong = wrong.finish().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected `auto` or `never`"));
}

/// As in a container: first process of its pid namespace, no run folder, a home that cannot be written.
#[test]
fn it_runs_where_a_container_has_nothing_else() {
    let inside = "exec unshare --pid --fork --mount-proc --mount sh -c 'mount -t tmpfs -o ro none \"$HOME\"; unset XDG_RUNTIME_DIR; \"$@\"; code=$?; \
                  ps -e -o pid=,args= | grep -c \"[d]aemon run\"; exit $code' \"$0\" \"$@\"";
    let stage = Stage::new();
    let enter = |args: &[&str]| {
        let cmd = Cmd::new("sh").args(["-c", inside, "sh"]).args(args);
        stage
            .surrounded(cmd)
            .env("KHLONE_DAEMON", "never")
            .env("KHLONE_HOME", stage.path().join("state"))
            .patience(BOUND)
            .finish()
            .unwrap()
    };
    if !enter(&["true"]).status.success() {
        tools::skip("no pid namespace can be made here");
        return;
    }
    let done = enter(&[
        env!("CARGO_BIN_EXE_git-khlone"),
        "act",
        "--who",
        "@shell",
        "echo x > x",
    ]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    let out = String::from_utf8_lossy(&done.stdout);
    assert_eq!(out.lines().last(), Some("0"), "{out}{told}");
    assert_eq!(stage.task(&id_in(&out))["outcome"], "done");
}
