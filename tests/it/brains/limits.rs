//! What keeps the real CLIs from their work: limits, money, a full session, no network.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{dispatch::Desk, each_name, each_of};

const BOUND: Duration = Duration::from_secs(150);

/// Dispatches without waiting; gives the task's id.
fn dispatch(desk: &Desk, name: &str, prompt: &str) -> String {
    let said = desk.khlone(&["act", "--who", &format!("@{name}"), prompt]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out.trim().to_owned()
}

fn task(desk: &Desk, id: &str) -> Value {
    let text = desk
        .repo
        .git(&["show", &format!("refs/khlone/tasks/{id}:task.json")]);
    serde_json::from_str(&text).unwrap()
}

/// The task once that holds of it.
fn until(desk: &Desk, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let bound = Instant::now() + BOUND;
    loop {
        let task = task(desk, id);
        if holds(&task) {
            return task;
        }
        assert!(Instant::now() < bound, "never: {task:#}\n{}", desk.story());
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn a_limit_is_waited_for_until_the_reset_told_and_retry_lifts_it() {
    each_of(&["claude", "codex", "gemini"], |name| {
        let desk = Desk::new(name);
        let start = jiff::Timestamp::now().as_second();
        let id = dispatch(&desk, name, "SCENARIO=usage-limit");
        let parked = until(&desk, &id, |task| task["status"] == "parked");
        let wait = parked["parked_until"].as_i64().unwrap_or_default() - start;
        // Some tell it to the minute.
        assert!(
            (7100..7500).contains(&wait),
            "{name} {wait} {parked:#}\n{}",
            desk.story()
        );
        assert_eq!(parked["attempts"][0].get("obstacle"), None, "{parked:#}");
        let lifted = desk.khlone(&["retry", &id]);
        assert_eq!(lifted.code, Some(0), "{lifted:?}");
        until(&desk, &id, |task| task["attempts"].as_array().unwrap().len() == 2);
        let cancelled = desk.khlone(&["cancel", &id]);
        assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    });
}

#[test]
fn no_money_and_no_leave_need_a_person_and_say_what_to_do() {
    each_name(|name| {
        let desk = Desk::new(name);
        let said = desk.act("SCENARIO=no-credit");
        assert_eq!(said.code, Some(5), "{name} {said:?}\n{}", desk.story());
        assert!(
            said.err.contains("    # first add credit to the account"),
            "{name} {said:?}"
        );
        let login = [
            "claude auth login",
            "codex login",
            "opencode auth login",
            "gemini",
        ];
        let said = desk.act("SCENARIO=forbidden");
        assert_eq!(said.code, Some(5), "{name} {said:?}\n{}", desk.story());
        let told = login
            .iter()
            .any(|login| said.err.contains(&format!("  {login} && git khlone resume t-")));
        assert!(told, "{name} {said:?}");
    });
}

#[test]
fn a_full_session_is_given_up_and_the_next_one_knows_of_it() {
    each_name(|name| {
        let desk = Desk::new(name);
        let first = desk.ask("SCENARIO=answer one");
        assert_eq!(first.code, Some(0), "{name} {first:?}\n{}", desk.story());
        let before = desk.server.requests().len();
        let second = desk.ask("SCENARIO=crowded two");
        assert_eq!(second.code, Some(0), "{name} {second:?}\n{}", desk.story());
        assert_eq!(second.out.trim(), "The answer is 42.", "{name}");
        let sent = desk.server.requests().split_off(before);
        let last = sent.iter().rfind(|body| body.to_string().contains("crowded two"));
        let last = last.unwrap().to_string();
        // One that makes room by itself needs no other session.
        let digest = last.contains("ask SCENARIO=answer one: done");
        assert!(
            digest || ["claude", "opencode"].contains(&name),
            "{name} {last:.3000}"
        );
    });
}

#[test]
fn a_provider_out_of_reach_ends_the_try_and_says_so_meanwhile() {
    each_name(|name| {
        let mut desk = Desk::new(name);
        // A port that nobody listens on.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let home = desk.vars["HOME"].clone();
        let url = desk.server.url();
        for settings in [".codex/config.toml", ".config/opencode/opencode.json"] {
            let settings = format!("{home}/{settings}");
            if let Ok(text) = std::fs::read_to_string(&settings) {
                std::fs::write(&settings, text.replace(&url, &format!("http://{free}"))).unwrap();
            }
        }
        for value in desk.vars.values_mut().filter(|value| **value == url) {
            *value = format!("http://{free}");
        }
        desk.settings("limits: {silence: 45s}\n");
        let id = dispatch(&desk, name, "SCENARIO=answer");
        let bound = Instant::now() + BOUND;
        while !desk.khlone(&[]).out.contains("cannot reach its provider, try ") {
            assert!(Instant::now() < bound, "{}", desk.story());
        }
        let parked = until(&desk, &id, |task| task["attempts"][0]["ended"].is_i64());
        assert_eq!(parked["attempts"][0]["obstacle"], "offline", "{parked:#}");
        assert!(
            parked["reasons"].to_string().contains("could not be reached"),
            "{parked:#}"
        );
        until(&desk, &id, |task| task["status"] == "parked");
        assert_eq!(desk.khlone(&["cancel", &id]).code, Some(0));
    });
}

#[test]
fn a_provider_whose_errors_last_is_waited_for() {
    each_name(|name| {
        let desk = Desk::new(name);
        desk.settings("limits: {silence: 30s}\n");
        let id = dispatch(&desk, name, "SCENARIO=500");
        let tried = until(&desk, &id, |task| task["attempts"][0]["ended"].is_i64());
        assert_eq!(tried["attempts"][0]["obstacle"], "offline", "{name} {tried:#}");
        until(&desk, &id, |task| task["status"] == "parked");
        assert_eq!(desk.khlone(&["cancel", &id]).code, Some(0));
    });
}

#[test]
fn a_limit_waited_for_inside_stands_in_the_status() {
    each_name(|name| {
        let desk = Desk::new(name);
        let id = dispatch(&desk, name, "SCENARIO=429");
        let bound = Instant::now() + BOUND;
        while !desk.khlone(&[]).out.contains("at a limit, try ") {
            let status = task(&desk, &id)["status"].clone();
            assert!(status != "parked", "{name} never said so\n{}", desk.story());
            assert!(Instant::now() < bound, "{name} {}", desk.story());
        }
        until(&desk, &id, |task| task["status"] == "parked");
        assert_eq!(desk.khlone(&["cancel", &id]).code, Some(0));
    });
}

#[test]
fn a_run_with_several_results_is_counted_once() {
    each_of(&["claude"], |name| {
        let desk = Desk::new(name);
        let spent = |scenario: &str| {
            let said = desk.act(&format!("SCENARIO={scenario}"));
            assert_eq!(said.code, Some(0), "{name} {said:?}\n{}", desk.story());
            let read = |verb| serde_json::from_str(&desk.khlone(&["--json", verb]).out).unwrap();
            let (show, log): (Value, Value) = (read("show"), read("log"));
            let events = log["events"].as_array().unwrap();
            let results = events.iter().filter(|event| event["type"] == "result").count();
            let output = show["usage"]["output"].as_f64().unwrap();
            (results, output, show["cost"].as_f64().unwrap())
        };
        let (results, output, cost) = spent("shell");
        assert_eq!(results, 1, "{}", desk.story());
        // Once the command in the background has ended the model has another turn, with a result of its own.
        let (results, more, total) = spent("background");
        assert!(results > 1, "{}", desk.story());
        assert!(
            (total - cost / output * more).abs() < 1e-9,
            "every turn costs the same here: {output} {cost}, {more} {total}\n{}",
            desk.story()
        );
    });
}

#[test]
fn a_command_that_still_runs_at_the_end_is_named() {
    each_of(&["codex"], |name| {
        let desk = Desk::new(name);
        let said = desk.act("SCENARIO=slow");
        assert_eq!(said.code, Some(0), "{said:?}\n{}", desk.story());
        let told = desk.khlone(&["show"]).out;
        assert!(
            told.contains("still running at the end, stopped:") && told.contains("sleep 90"),
            "{told}"
        );
    });
}

#[test]
fn a_model_holds_for_its_task_only() {
    let others = [
        ("claude", "claude-haiku-4-5"),
        ("codex", "gpt-5.5-mini"),
        ("gemini", "gemini-2.5-pro"),
        ("opencode", "fake/second-model"),
    ];
    each_of(&others.map(|(name, _)| name), |name| {
        let (_, other) = others.into_iter().find(|(of, _)| *of == name).unwrap();
        let desk = Desk::new(name);
        let who = format!("@{name}");
        let ask = |more: &[&str]| {
            let args = ["ask", "--who", &who, "--await", "SCENARIO=answer"];
            let said = desk.khlone(&[&args[..], more].concat());
            assert_eq!(said.code, Some(0), "{name} {said:?}\n{}", desk.story());
        };
        ask(&[]);
        ask(&["--model", other]);
        let told = desk.khlone(&["show"]).out;
        assert!(
            told.lines()
                .any(|line| line.starts_with("model") && line.contains(other)),
            "{name} {told}"
        );
        ask(&[]);
        let told = desk.khlone(&["show"]).out;
        assert!(!told.contains(other), "{name} {told}");
        if name != "gemini" {
            let models: Vec<_> = desk
                .server
                .requests()
                .iter()
                .map(|body| body["model"].clone())
                .collect();
            assert_eq!(models.first(), models.last(), "{name} {models:?}");
            let asked = other.rsplit('/').next().unwrap();
            assert!(models.contains(&asked.into()), "{name} {models:?}");
        }
    });
}
