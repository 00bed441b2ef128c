//! Runners of the real CLIs killed in the middle of a tool: the session goes on.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bstr::ByteSlice;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{dispatch::Desk, each_of};

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

/// The files below `dir` that sessions are kept in, and that have `text` in them.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).flat_map(|path| {
        if path.is_dir() && !path.is_symlink() {
            return holding(&path, text);
        }
        let kinds = ["jsonl", "json", "db", "db-wal"];
        let name = path.to_string_lossy();
        let keeps = kinds.iter().any(|kind| name.ends_with(&format!(".{kind}")));
        let holds = keeps && std::fs::read(&path).unwrap_or_default().contains_str(text);
        if holds { vec![path] } else { Vec::new() }
    });
    found.collect()
}

fn task(desk: &Desk, id: &str) -> Value {
    let text = desk
        .repo
        .git(&["show", &format!("refs/khlone/tasks/{id}:task.json")]);
    serde_json::from_str(&text).unwrap()
}

/// A task of `name`, in the middle of a tool: the CLI has written its session, and the runner has heard of it.
fn mid_tool(name: &'static str, scenario: &str) -> (Desk, String) {
    let desk = Desk::new(name);
    let said = desk.khlone(&[
        "act",
        "--who",
        &format!("@{name}"),
        &format!("SCENARIO={scenario}"),
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let id = said.out.trim().to_owned();
    until("the tool", &desk, || {
        let path = desk.khlone(&["path", &id]).out;
        Path::new(path.trim()).join("marker").exists().then_some(())
    });
    // What the CLI has not written yet, no kill leaves behind.
    let homes = [PathBuf::from(&desk.vars["HOME"]), desk.repo.0.join(".git/khlone")];
    until("the session's file", &desk, || {
        let mut kept = homes
            .iter()
            .flat_map(|home| holding(home, "echo started > marker"));
        kept.next().map(drop)
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
    (desk, id)
}

fn kill_runner(desk: &Desk, id: &str) {
    let pid = task(desk, id)["attempts"][0]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn until_over(desk: &Desk, id: &str) -> Value {
    let ended = until("the end", desk, || {
        let task = task(desk, id);
        let status = task["status"].as_str().unwrap_or_default();
        (["done", "failed"].contains(&status) || task["hold"].is_string()).then_some(task)
    });
    assert_eq!(ended["outcome"], "done", "{ended:#}\n{}", desk.story());
    ended
}

/// The runner of `name` is killed while its tool runs; gives the task when it has ended.
fn killed_mid_tool(name: &'static str) -> Value {
    let (desk, id) = mid_tool(name, "once");
    kill_runner(&desk, &id);
    let ended = until_over(&desk, &id);
    let effects = desk
        .repo
        .git(&["show", &format!("refs/khlone/tasks/{id}:attempts/1/effects.json")]);
    assert!(effects.contains("marker"), "{effects}");
    ended
}

#[test]
fn a_session_that_the_cli_has_lost_is_told_anew_with_what_is_done_in_doubt_and_others() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    each_of(&["claude"], told_anew);
}

fn told_anew(name: &'static str) {
    let (desk, id) = mid_tool(name, "half");
    desk.khlone(&["daemon", "stop"]);
    kill_runner(&desk, &id);
    for file in holding(Path::new(&desk.vars["HOME"]), "echo started > marker") {
        std::fs::remove_file(file).unwrap();
    }
    desk.repo.commit(&[("theirs.txt", "theirs\n")], "theirs");
    // A commit of the user's holds nothing up, and the configuration does.
    desk.repo.git(&["config", "core.abbrev", "12"]);
    desk.khlone(&["daemon", "start"]);
    until("the hold", &desk, || task(&desk, &id)["hold"].as_str().map(drop));
    let before = desk.server.requests().len();
    assert_eq!(desk.khlone(&["resume", &id]).code, Some(0));
    let ended = until_over(&desk, &id);
    let session = |n: usize| ended["attempts"][n]["session"].as_str().unwrap_or_default();
    assert!(!session(0).is_empty() && session(0) != session(1), "{ended:#}");
    // What the model was told when it began anew.
    let requests = desk.server.requests().split_off(before);
    let told: Vec<String> = requests.iter().map(|body| body["messages"].to_string()).collect();
    let first = told.iter().find(|text| text.contains("SCENARIO=half")).unwrap();
    for wanted in [
        "Attempt 1 of this task was interrupted",
        "a step",
        "In doubt",
        "half.txt (added, cut off or empty)",
        "marker (added)",
        "Tools that may have been running",
        "Changed by somebody else meanwhile",
        "refs/heads/main",
        "What happened before, shortened",
        "echo started > marker",
    ] {
        assert!(first.contains(wanted), "{wanted}: {first}");
    }
    let branch = desk.repo.git(&["log", "--format=%s", "khlone/main/foreman.1"]);
    assert_eq!(branch.matches("a step").count(), 1, "{branch}");
}

fn assert_same_session(task: &Value) {
    let session = |n: usize| task["attempts"][n]["session"].as_str().unwrap_or_default();
    assert!(!session(0).is_empty() && session(0) == session(1), "{task:#}");
}

#[test]
fn a_killed_runner_of_claude_goes_on_in_the_same_session() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    each_of(&["claude"], |name| {
        let task = killed_mid_tool(name);
        assert_same_session(&task);
        assert_eq!(task["attempts"][1]["how"], "resume");
    });
}

#[test]
fn a_killed_runner_of_the_others_goes_on_in_the_same_session() {
    each_of(&["codex", "opencode", "gemini"], |name| {
        assert_same_session(&killed_mid_tool(name));
    });
}
