use serde_json::Value;

use super::*;
use crate::{
    brain::{Event, Figures, Role},
    query::{CrewLine, Names, Needed, NeedsLine},
    refs::{TaskHead, now},
    render::width,
    task::{Attempt, Mode, Need, Outcome, Status, Task, TaskId},
    worktree::disk::Disk,
    zone::Waits,
};

fn line(n: u64, status: Status, outcome: Option<Outcome>, title: &str) -> TaskLine {
    TaskLine::of(&head(n, status, outcome, title))
}

fn needed(need: Need, head: &TaskHead, task: Option<&Task>) -> NeedsLine {
    let blocks = usize::from(need == Need::Blocked);
    NeedsLine::new(&Needed { head, need, blocks }, task)
}

fn head(n: u64, status: Status, outcome: Option<Outcome>, title: &str) -> TaskHead {
    TaskHead {
        id: TaskId::from_entropy(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        status,
        outcome,
        mode: Mode::Act,
        zone: "main".to_owned().try_into().unwrap(),
        clone: format!("foreman.{n}").parse().unwrap(),
        seq: n,
        priority: 0,
        updated: now() - 125,
        site_uuid: String::new(),
        title: title.to_owned(),
        question: (outcome == Some(Outcome::NoOp)).then(|| "Which database do you mean?".to_owned()),
        dismissed: false,
        reply_to: None,
        follows: n,
    }
}

fn clone(n: u64, busy: bool) -> CrewLine {
    CrewLine {
        clone: format!("foreman.{n}").parse().unwrap(),
        brain: "claude".to_owned(),
        branch: "main".to_owned(),
        zone: "main".to_owned().try_into().unwrap(),
        clone_branch: format!("khlone/main/foreman.{n}"),
        path: None,
        task: busy.then(|| TaskId::from_entropy(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        queued: 0,
        ahead: Some(usize::try_from(n).unwrap()),
        behind: Some(0),
    }
}

fn running(n: u64, says: &str) -> RunningLine {
    let mut figures = Figures::default();
    for m in 0..n {
        figures.count(&Event::ToolCall {
            id: m.to_string(),
            tool: "Edit".to_owned(),
            paths: vec![format!("src/{}.rs", m / 2)],
            input: String::new(),
        });
    }
    figures.count(&Event::Message {
        role: Role::Assistant,
        text: says.to_owned(),
        delta: false,
    });
    figures.cost = (n > 1).then_some(0.0421);
    let attempt = Attempt {
        n: 1 + u32::from(n == 3),
        started: Some(1000),
        ..Attempt::default()
    };
    RunningLine::new(
        line(n, Status::Running, None, "implement the parser"),
        Some(&attempt),
        &figures,
        1130,
    )
}

fn empty() -> StatusView {
    StatusView {
        needs_you: Vec::new(),
        running: Vec::new(),
        waiting: Vec::new(),
        crew: Vec::new(),
        cost_today: None,
        disk: Disk::default(),
        damaged: Vec::new(),
        lost_tasks: 0,
        stored_tasks: 0,
        other_sites: Vec::new(),
        brains: Vec::new(),
    }
}

fn full() -> StatusView {
    let long = "make each of the very many files of this old project pass the new lint, 修正 included";
    let mut view = empty();
    view.needs_you = vec![
        needed(
            Need::Failed,
            &head(20, Status::Failed, Some(Outcome::Partial), long),
            None,
        ),
        needed(
            Need::Question,
            &head(22, Status::Done, Some(Outcome::NoOp), "move to the database"),
            None,
        ),
        needed(
            Need::Land,
            &head(21, Status::Done, Some(Outcome::Done), "add a test"),
            None,
        ),
    ];
    view.running = (1..=8)
        .map(|n| running(n, &"I look at the tests of the parser first. ".repeat(4)))
        .collect();
    let behind = Waits::Behind {
        tasks: 2,
        first: TaskId::from_entropy(1),
    };
    let limit = ["anthropic is at its limit".to_owned()];
    view.waiting = vec![
        WaitingLine::new(line(9, Status::Queued, None, long), Some(behind), &[]),
        WaitingLine::new(
            line(10, Status::Parked, None, "later"),
            Some(Waits::Limit { until: None }),
            &limit,
        ),
    ];
    view.crew = (1..=12).map(|n| clone(n, n <= 8)).collect();
    view.cost_today = Some(12.5);
    view.disk = Disk {
        bytes: 5 << 30,
        complete: false,
    };
    view
}

fn plain(view: &StatusView) -> String {
    let text = anstream::adapter::strip_str(&Shown::new(view, &Names::default()).plain()).to_string();
    for line in text.lines() {
        assert!(width(line) <= 80, "{line}");
    }
    text
}

#[test]
fn nobody_yet() {
    let mut view = empty();
    let brain = |name: &'static str, state, hint: Option<&str>| Readiness {
        name: name.into(),
        state,
        version: None,
        path: None,
        hint: hint.map(str::to_owned),
    };
    let shell = brain("shell", State::Ready, None);
    let login = Some("codex login");
    let codex = brain("codex", State::SignedOut, login);
    view.brains = vec![codex, shell.clone()];
    insta::assert_snapshot!("none_ready", plain(&view));
    view.brains = vec![brain("codex", State::Unknown, None), shell];
    insta::assert_snapshot!("nobody_yet", plain(&view));
}

#[test]
fn one_clone() {
    let mut view = empty();
    view.running = vec![running(1, "")];
    view.crew = vec![clone(1, true)];
    insta::assert_snapshot!(plain(&view));
}

#[test]
fn twelve_clones() {
    insta::assert_snapshot!(plain(&full()));
}

#[test]
fn the_document_is_whole() {
    let mut document = serde_json::to_value(full()).unwrap();
    for part in ["needs_you", "running", "waiting"] {
        let lines = document[part].as_array_mut().unwrap();
        lines.truncate(1);
        lines[0]["updated"] = Value::from(0);
    }
    document["crew"].as_array_mut().unwrap().truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}
