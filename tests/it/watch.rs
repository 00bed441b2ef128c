//! Watching and waiting: streams that go on whatever dies, and offsets that lose and double nothing.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdout, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    stage::{Stage, said},
    terminal::Terminal,
};

/// Says a word, waits until its worktree has the file `go`, says another.
const HELD: &str = "echo before; while [ ! -e go ]; do sleep 0.02; done; echo after";

/// A watcher, read line by line.
struct Watcher {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Watcher {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The first line from here on that has `part` in it.
    fn line_with(&mut self, part: &str) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "no line with {part}");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// What is left to its end: exit code, stdout, stderr.
    fn rest(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), out, err)
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }
}

impl Stage {
    fn watch(&self, args: &[&str]) -> Watcher {
        let mut cmd = self.cmd(&self.work.0, args).env("TZ", "UTC").into_inner();
        let mut child = cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Watcher { child, out, err }
    }

    fn queue(&self, script: &str) -> String {
        self.run(&["act", "--who", "@shell", "-m", script]).ok()
    }

    fn go(&self) {
        let tree = self.run(&["path", "foreman.1"]).ok();
        fs::write(format!("{tree}/go"), "").unwrap();
    }

    fn kill_daemon(&self) {
        let record = fs::read(self.work.0.join(".git/khlone/daemon.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let pid = i32::try_from(record["process"]["pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

#[test]
fn a_stream_ends_with_its_task_and_goes_on_when_the_daemon_dies() {
    let stage = Stage::new();
    let task = stage.queue(HELD);
    let mut served = stage.watch(&["watch", &task]);
    assert!(served.line().ends_with("foreman.1    before"));
    stage.kill_daemon();
    // One that begins without a daemon starts none, and reads for itself.
    let mut alone = stage.watch(&["watch"]);
    assert!(alone.line().ends_with("foreman.1    before"));
    stage.go();
    for watcher in [served, alone] {
        let (code, out, err) = watcher.rest();
        assert_eq!(code, 0, "{err}");
        assert!(out.lines().next().unwrap().ends_with("    after"), "{out}");
        assert!(
            !err.contains("· offset") && err.contains(&format!("{task} done")),
            "{err}"
        );
    }
    assert!(stage.run(&["daemon", "status"]).err.contains("no daemon runs"));
    // Of a task that is over there is the transcript, with its outcome as the exit code.
    let failed = stage.act("echo said; exit 3").0;
    let again = stage.run(&["watch", &failed.id()]);
    assert!(again.code == 1 && again.out.contains("said\n"), "{}", again.out);
}

#[test]
fn offsets_lose_and_double_nothing() {
    let stage = Stage::new();
    fs::write(stage.work.0.join("khlone.yml"), "limits: {transcript: 4KiB}\n").unwrap();
    let (said, _) = stage.act("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done");
    let task = &said.id();
    let whole = stage.run(&["watch", "--raw", task]).ok();
    assert!(whole.contains("the middle of this stream is not kept"), "{whole}");
    assert!(whole.contains("line 999\\n"), "{whole}");
    let json = stage.run(&["watch", "--json", task]).ok();
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, events) = lines.split_last().unwrap();
    assert_eq!(
        (&end["status"], &end["outcome"]),
        (&"done".into(), &"no-op".into())
    );
    assert_eq!(events.len(), whole.lines().count());
    for at in [0, 3, events.len() / 2, events.len() - 1] {
        let since = format!("{}:{}", events[at]["attempt"], events[at]["offset"]);
        let rest = stage.run(&["watch", "--raw", task, "--since", &since]).ok();
        assert!(whole.ends_with(&rest), "{since}: {rest}");
        assert_eq!(rest.lines().count(), events.len() - at - 1);
        // What was printed so far is as long as the offset says.
        let printed: usize = whole.lines().take(at + 1).map(|line| line.len() + 1).sum();
        assert_eq!(events[at]["offset"], printed);
    }
    let bad = stage.run(&["watch", task, "--since", "0:1"]);
    assert!(bad.code == 2 && bad.err.contains("attempt:bytes"), "{}", bad.err);
}

#[test]
fn a_stream_longer_than_what_is_kept_is_followed_to_its_end() {
    let stage = Stage::new();
    fs::write(stage.work.0.join("khlone.yml"), "limits: {transcript: 4KiB}\n").unwrap();
    let lines = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.01; done";
    let task = stage.queue(&format!("{lines}; {HELD}"));
    let mut served = stage.watch(&["watch", &task]);
    served.line_with("before");
    stage.kill_daemon();
    let mut alone = stage.watch(&["watch", &task]);
    alone.line_with("before");
    let log = stage.run(&["log", &task]).ok();
    assert!(log.contains("line 0\n") && log.contains("before"), "{log}");
    stage.go();
    for watcher in [served, alone] {
        let (code, out, err) = watcher.rest();
        assert!(code == 0 && err.contains(&format!("{task} done")), "{err}");
        assert!(out.lines().next().unwrap().ends_with("    after"), "{out}");
        assert!(out.lines().count() <= 2, "{out}");
    }
}

#[test]
fn an_interrupt_leaves_and_the_clone_works_on() {
    let stage = Stage::new();
    let task = stage.queue(HELD);
    let mut terminal = stage.at_terminal(80, "watch");
    terminal.wait_until("the stream", |screen| screen.contains("foreman.1    before"));
    // The line that moves is there only on a terminal.
    terminal.wait_until("the figures", |screen| screen.contains("foreman.1 · 0 tools"));
    terminal.press("\x03");
    let screen = terminal.wait_for("code 130");
    assert!(screen.contains("foreman.1 keeps running"), "{screen}");
    let next = screen
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: git khlone "));
    let words: Vec<_> = next.unwrap().split(' ').collect();
    assert_eq!(words[..3], ["watch", &task, "--since"]);
    stage.go();
    let rest = stage.run(&words);
    assert_eq!(rest.code, 0, "{}", rest.err);
    assert!(
        rest.out.contains("after") && !rest.out.contains("before"),
        "{}",
        rest.out
    );
}

#[test]
fn an_interrupt_before_any_news_says_as_much() {
    let stage = Stage::new();
    let task = stage.queue("while [ ! -e go ]; do sleep 0.02; done");
    let since = format!("next: git khlone watch {task} --since 1:0");
    let waiting = stage.queue("echo second");
    let queued = format!("next: git khlone watch {waiting} --since 1:0");
    for (line, seen, next) in [
        ("watch", "foreman.1 · 0 tools", since.as_str()),
        (&format!("watch {waiting}"), "queued behind", &queued),
        (
            "watch --all",
            "1 under way, 1 waiting",
            "next: git khlone watch --all",
        ),
        (
            "watch -z",
            "1 under way, 1 waiting",
            "next: git khlone watch -z main",
        ),
    ] {
        let mut terminal = stage.at_terminal(80, line);
        terminal.wait_until("the figures", |screen| screen.contains(seen));
        terminal.press("\x03");
        let screen = terminal.wait_for("code 130");
        assert!(
            (screen.contains("keeps running") || screen.contains("in the background"))
                && screen.contains(next),
            "{line}: {screen}"
        );
    }
    stage.go();
    stage.run(&["await", &task, &waiting]).ok();
}

#[test]
fn lines_fit_the_terminal() {
    let stage = Stage::new();
    let path = std::env::var("PATH").unwrap();
    let (home, run) = (stage.path().join("home"), stage.path().join("run"));
    let env = [
        ("PATH", path.as_str()),
        ("HOME", home.to_str().unwrap()),
        ("XDG_RUNTIME_DIR", run.to_str().unwrap()),
        ("TERM", "xterm"),
    ];
    let long = "x".repeat(300);
    let script = format!("printf '{long}\\n修正修正\\033[31m red\\n'");
    let argv = [
        env!("CARGO_BIN_EXE_git-khlone"),
        "act",
        "--who",
        "@shell",
        "--watch",
        "-m",
        &script,
    ];
    let mut terminal = Terminal::start(&argv, &stage.work.0, &env);
    let screen = terminal.wait_for("no changes");
    let said: Vec<_> = screen
        .lines()
        .filter(|line| line.contains("foreman.1   "))
        .collect();
    assert_eq!(said.len(), 2, "{screen}");
    assert!(
        said[0].ends_with("xxx…") && said[0].chars().count() == 80,
        "{screen}"
    );
    assert!(said[1].ends_with("修正修正 red"), "{screen}");
}

#[test]
fn a_waiting_task_says_what_for_and_a_clone_is_watched_through_its_queue() {
    let stage = Stage::new();
    let first = stage.queue(HELD);
    let second = stage.queue("echo second");
    let mut waiting = stage.watch(&["watch", &second]);
    let mut told = String::new();
    waiting.err.read_line(&mut told).unwrap();
    assert_eq!(told, format!("… {second} queued behind {first}\n"));
    let mut clone = stage.watch(&["watch", "foreman.1"]);
    assert!(clone.line().ends_with("before"));
    stage.go();
    let (code, out, err) = waiting.rest();
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("second"), "{out}");
    let (code, out, _) = clone.rest();
    assert_eq!(code, 0);
    assert!(out.contains("after") && out.contains("second"), "{out}");
}

#[test]
fn the_next_attempt_is_part_of_the_stream() {
    let stage = Stage::new();
    let task = stage.queue("echo begun; [ -e second ] || { touch second; sleep 600; }; echo ended");
    let mut watcher = stage.watch(&["watch", &task]);
    watcher.line_with("begun");
    let tree = stage.clone();
    stage.until("the file", || tree.read("second"));
    let pid = stage.task(&task)["attempts"][0]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    watcher.line_with("attempt 2");
    watcher.line_with("begun");
    let (code, out, err) = watcher.rest();
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ended"), "{out}");
}

#[test]
fn everything_is_followed_with_what_begins_later() {
    let stage = Stage::new();
    stage.act("echo long ago");
    let running = stage.queue(HELD);
    let mut all = stage.watch(&["watch", "--all"]);
    assert!(all.line().contains("foreman.1@main  ▶ echo before"));
    assert!(all.line().ends_with("before"));
    let mut zone = stage.watch(&["--json", "watch", "--zone"]);
    let begun: Value = serde_json::from_str(&zone.line()).unwrap();
    assert_eq!(
        (&begun["task"], &begun["status"]),
        (&running.as_str().into(), &"running".into())
    );
    stage.run(&["act", "--who", "@shell++", "--await", "-m", "echo later; exit 1"]);
    all.line_with("foreman.2@main    later");
    all.line_with("✗ failed");
    zone.line_with("\"outcome\":\"failed\"");
    stage.go();
    all.line_with("    after");
    for watcher in [all, zone] {
        watcher.interrupt();
        assert_eq!(watcher.rest().0, 130);
    }
    let mixed = stage.run(&["watch", "--all", "--raw"]);
    assert_eq!(mixed.code, 2, "{}", mixed.err);
}

#[test]
fn what_is_watched_from_the_start_leaves_stdout_to_the_answer() {
    let stage = Stage::new();
    let act = stage.run(&[
        "act",
        "--who",
        "@shell",
        "--watch",
        "-m",
        "echo doing; echo x > x.txt",
    ]);
    assert_eq!(act.code, 0, "{}", act.err);
    assert!(
        act.out.starts_with("t-") && act.out.lines().count() == 1,
        "{}",
        act.out
    );
    assert!(
        act.err.contains("    doing\n") && act.err.contains("x.txt | 1 +"),
        "{}",
        act.err
    );
    let ask = stage.run(&["ask", "--who", "@shell", "--watch", "-m", "cat a.txt"]);
    assert_eq!((ask.code, ask.out.as_str()), (0, "a\n"), "{}", ask.err);
    let both = stage.run(&["act", "--watch", "--await", "-m", "x"]);
    assert_eq!(both.code, 2);
}

#[test]
fn waiting_brings_a_killed_daemon_back_and_tells_of_each() {
    let stage = Stage::new();
    let held = stage.queue(HELD);
    let failing = stage.queue("exit 3");
    let waiter = stage.watch(&["await", &held, &failing]);
    assert!(stage.watch(&["watch", &held]).line().ends_with("before"));
    let tree = stage.run(&["path"]).ok();
    stage.kill_daemon();
    fs::write(format!("{tree}/go"), "").unwrap();
    // The second task of the clone needs a daemon.
    let (code, _, err) = waiter.rest();
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains(&format!("{held} done")) && err.contains(&format!("{failing} failed")),
        "{err}"
    );
    let any = stage.run(&["--json", "await", "--any", &held, &failing]);
    let document: Value = serde_json::from_str(&any.out).unwrap();
    assert_eq!(document["tasks"][0]["outcome"], "done", "{}", any.out);
    fs::remove_file(format!("{tree}/go")).unwrap();
    stage.queue(HELD);
    let late = said(stage.cmd(&stage.work.0, &["await", "--timeout", "0"]));
    assert_eq!(late.code, 7, "{}", late.err);
    stage.go();
    assert_eq!(stage.run(&["await", "--all"]).code, 0);
}

#[test]
fn what_a_brain_prints_last_is_read_though_it_has_ended() {
    let stage = Stage::new();
    // More than a pipe holds, and nobody is left to wait for it.
    for n in 0..5 {
        let script = format!("head -c 300000 /dev/zero | tr '\\0' x; echo; echo 'the end {n}'");
        let (said, task) = stage.act(&script);
        assert_eq!(said.code, 0, "{}", said.err);
        let whole = stage
            .run(&["watch", "--raw", task["task"].as_str().unwrap()])
            .ok();
        assert!(whole.contains(&format!("the end {n}")), "{n}");
    }
}
