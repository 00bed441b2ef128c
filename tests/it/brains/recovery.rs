//! Runners of the real CLIs killed in the middle of a tool: the session goes on.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::dispatch::Desk;

const BOUND: Duration = Duration::from_secs(120);

fn until<T>(what: &str, desk: &Desk, mut there: impl FnMut() -> Option<T>) -> T {
    let bound = Instant::now() + BOUND;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < bound, "never: {what}\n{}", desk.story());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Whether a file of lines below `dir` has `text` in it.
fn holds(dir: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() && !path.is_symlink() {
            return holds(&path, text);
        }
        let lines = path.extension().is_some_and(|it| it == "jsonl");
        lines && std::fs::read_to_string(&path).unwrap_or_default().contains(text)
    })
}

/// The runner of `name` is killed while its tool runs; gives the task when it has ended.
fn killed_mid_tool(name: &'static str) -> Value {
    let desk = Desk::new(name);
    let who = format!("@{name}");
    let said = desk.khlone(&["act", "--who", &who, "SCENARIO=once"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let id = said.out.trim().to_owned();
    let task = || -> Value {
        let text = desk
            .repo
            .git(&["show", &format!("refs/khlone/tasks/{id}:task.json")]);
        serde_json::from_str(&text).unwrap()
    };
    until("the tool", &desk, || {
        let path = desk.khlone(&["path", &id]).out;
        Path::new(path.trim()).join("marker").exists().then_some(())
    });
    // What the CLI has not written yet, no kill leaves behind.
    let home = std::path::PathBuf::from(&desk.vars["HOME"]);
    until("the session's file", &desk, || {
        holds(&home, "echo started > marker").then_some(())
    });
    // Nor does anybody know what the runner has not heard yet.
    let heard = desk
        .repo
        .0
        .join(format!(".git/khlone/attempts/{id}/1/events.jsonl"));
    until("the session's name", &desk, || {
        let events = std::fs::read_to_string(&heard).unwrap_or_default();
        events.contains("\"session\"").then_some(())
    });
    let pid = task()["attempts"][0]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let ended = until("the end", &desk, || {
        let task = task();
        let status = task["status"].as_str().unwrap_or_default();
        (["done", "failed"].contains(&status) || task["hold"].is_string()).then_some(task)
    });
    assert_eq!(ended["outcome"], "done", "{ended:#}\n{}", desk.story());
    let effects = desk
        .repo
        .git(&["show", &format!("refs/khlone/tasks/{id}:attempts/1/effects.json")]);
    assert!(effects.contains("marker"), "{effects}");
    ended
}

#[test]
fn a_killed_runner_of_claude_goes_on_in_the_same_session() {
    let task = killed_mid_tool("claude");
    let session = |n: usize| {
        task["attempts"][n]["session"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(!session(0).is_empty() && session(0) == session(1), "{task:#}");
    assert_eq!(task["attempts"][1]["how"], "resume");
}

#[test]
fn a_killed_runner_of_codex_goes_on_in_the_same_session() {
    let task = killed_mid_tool("codex");
    let session = |n: usize| {
        task["attempts"][n]["session"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(!session(0).is_empty() && session(0) == session(1), "{task:#}");
}
