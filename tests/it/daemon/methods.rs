//! The methods over the socket and over stdin and stdout.

use serde_json::{Value, json};

use super::site::{BOUND, Site, until};

#[test]
fn stdin_and_stdout_carry_batches_notifications_and_waits() {
    let site = Site::new();
    let task = site.act("@shell", "printf hi > hi.txt");
    let calls = [
        json!({ "jsonrpc": "2.0", "method": "wake" }),
        json!({ "jsonrpc": "2.0", "id": "w", "method": "await", "params": { "tasks": [task] } }),
        json!([
            { "jsonrpc": "2.0", "id": 1, "method": "ping" },
            { "jsonrpc": "2.0", "method": "ping" },
            { "jsonrpc": "2.0", "id": 2, "method": "show", "params": { "task": task } },
            { "jsonrpc": "2.0", "id": 3, "method": "list" },
        ]),
    ];
    let input: String = calls.iter().map(|call| format!("{call}\n")).collect();
    let out = site
        .cmd(&["daemon", "rpc"])
        .input(input)
        .patience(BOUND)
        .output()
        .unwrap();
    let answers: Vec<Value> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 2, "{answers:?}");
    let batch = answers.iter().find_map(Value::as_array).unwrap();
    let ids: Vec<_> = batch
        .iter()
        .map(|answer| answer["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(batch[1]["result"]["prompt"], "printf hi > hi.txt");
    assert_eq!(batch[2]["result"]["tasks"][0]["task"], json!(task));
    let waited = answers.iter().find(|answer| answer["id"] == "w").unwrap();
    assert_eq!(waited["result"][0]["outcome"], "done", "{waited}");
}

#[test]
fn waiting_and_running_tasks_are_cancelled_and_what_waits_for_them_is_skipped() {
    let site = Site::new();
    let running = site.act("@shell", "sleep 600");
    let waiting = site.act("@shell", "echo never > never.txt");
    let after = site.run(&[
        "act",
        "--who",
        "@shell",
        "--after",
        waiting.as_str(),
        "echo never",
    ]);
    until("the start", || {
        site.task(&running).status.is_active().then_some(())
    });
    let mut talk = site.greeted();
    let answer = talk.ask("cancel", &json!({ "task": waiting }));
    assert_eq!(answer["result"]["status"], "cancelled", "{answer}");
    let again = talk.ask("cancel", &json!({ "task": waiting }));
    assert_eq!(again["error"]["code"], -32026, "{again}");
    let answer = until("the runner's ear", || {
        let answer = talk.ask("cancel", &json!({ "task": running }));
        answer["result"].is_object().then_some(answer)
    });
    assert_eq!(answer["result"]["task"], json!(running));
    let over = talk.ask(
        "await",
        &json!({ "tasks": [running, after], "timeout": BOUND.as_secs() }),
    );
    assert_eq!(over["result"][0]["status"], "cancelled", "{over}");
    assert_eq!(over["result"][1]["status"], "skipped", "{over}");
}

#[test]
fn await_answers_for_any_or_all_or_when_its_time_is_over() {
    let site = Site::new();
    let slow = site.act("@shell", "sleep 600");
    let quick = site.act("@shell++", "true");
    let mut talk = site.greeted();
    let any = talk.ask("await", &json!({ "tasks": [slow, quick], "any": true }));
    let over = any["result"]
        .as_array()
        .unwrap()
        .iter()
        .find(|standing| standing["task"] == json!(quick));
    assert_eq!(over.unwrap()["status"], "done");
    let late = talk.ask("await", &json!({ "tasks": [slow], "timeout": 0.05 }));
    assert_eq!(
        (&late["error"]["code"], &late["error"]["data"]["exit"]),
        (&json!(-32041), &json!(7))
    );
    until("the runner's ear", || {
        talk.ask("cancel", &json!({ "task": slow }))["result"]
            .is_object()
            .then_some(())
    });
    talk.ask("await", &json!({ "tasks": [slow] }));
}
