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
    // Whether or not its runner listens yet.
    let answer = talk.ask("cancel", &json!({ "task": running }));
    assert_eq!(answer["result"]["task"], json!(running), "{answer}");
    let again = talk.ask("cancel", &json!({ "task": running }));
    assert!(
        again["error"].is_null() || again["error"]["code"] == -32026,
        "{again}"
    );
    let over = talk.ask(
        "await",
        &json!({ "tasks": [running, after], "timeout": BOUND.as_secs() }),
    );
    assert_eq!(over["result"][0]["status"], "cancelled", "{over}");
    assert_eq!(over["result"][1]["status"], "skipped", "{over}");
    let told = site.finish(&["await", &after]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(
        told.contains("skipped") && told.contains(waiting.as_str()),
        "{told}"
    );
    let late = site.finish(&[
        "act",
        "--who",
        "@shell",
        "--after",
        waiting.as_str(),
        "echo never",
    ]);
    let told = String::from_utf8(late.stderr).unwrap();
    assert!(told.contains("was not done, so this one is skipped"), "{told}");
}

#[test]
fn a_cancel_holds_even_if_the_runner_dies_of_it() {
    let site = Site::new();
    let task = site.act("@shell", "sleep 600");
    let pid = until("the start", || site.task(&task).attempts.first()?.pid);
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    site.run(&["cancel", task.as_str()]);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end", || site.task(&task).status.is_over().then_some(()));
    let task = site.task(&task);
    assert_eq!(
        (task.status.as_str(), task.attempts.len()),
        ("cancelled", 1),
        "{task:?}"
    );
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
    talk.ask("cancel", &json!({ "task": slow }));
    talk.ask("await", &json!({ "tasks": [slow] }));
}

#[test]
fn enqueue_repeated_gives_the_first_result_and_queues_nothing() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let order = json!({ "task": "t-0000000001", "prompt": "echo x >> x.txt", "who": "@shell" });
    // Answers that nobody waits for, and callers at once.
    for _ in 0..3 {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "enqueue", "params": order });
        site.greeted().say(format!("{call}\n").as_bytes());
    }
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let ask = || site.greeted().ask("enqueue", &order);
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let first = &answers[0]["result"];
    assert_eq!(
        (&first["task"], &first["clone"]),
        (&json!("t-0000000001"), &json!("foreman.1")),
        "{first}"
    );
    assert!(
        answers.iter().all(|answer| answer["result"] == *first),
        "{answers:?}"
    );
    site.run(&["await", "t-0000000001"]);
    site.kill();
    site.run(&["daemon", "start"]);
    let mut talk = site.greeted();
    assert_eq!(talk.ask("enqueue", &order)["result"], *first);
    assert_eq!(site.work.git(&["show", "khlone/main/foreman.1:x.txt"]), "x");
    assert_eq!(
        talk.ask("list", &json!({}))["result"]["tasks"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_order_begins_in_a_folder_and_answers_a_task() {
    let site = Site::new();
    site.work.commit(&[("sub/deep/a", "a\n")], "a folder");
    site.run(&["daemon", "start"]);
    let mut talk = site.greeted();
    let mut order = |order: Value| {
        let id = order["task"].clone();
        let told = talk.ask("enqueue", &order);
        assert_eq!(told["result"]["task"], id, "{told}");
        talk.ask("await", &json!({ "tasks": [id] }));
        talk.ask("show", &json!({ "task": id }))["result"].clone()
    };
    let asks = json!({ "task": "t-0000000001", "prompt": "pwd; echo 'Which one?'", "who": "@shell", "folder": "sub/deep" });
    let asked = order(asks);
    assert!(asked.to_string().contains("Which one?"), "{asked}");
    let reply = json!({ "task": "t-0000000002", "prompt": "pwd > here", "reply_to": "t-0000000001" });
    let answered = order(reply.clone());
    assert!(answered.to_string().contains("t-0000000001"), "{answered}");
    let branch = site
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/heads/khlone"]);
    let here = site.work.git(&["show", &format!("{branch}:sub/deep/here")]);
    assert!(here.ends_with("/sub/deep"), "{here}");
    // Asked again, it is the same one.
    assert_eq!(order(reply), answered);
}

#[test]
fn an_order_makes_its_zone_and_starts_from_uncommitted_files() {
    let site = Site::new();
    site.work.write("new.txt", "not committed\n");
    site.run(&["daemon", "start"]);
    let mut talk = site.greeted();
    let order = json!({ "task": "t-0000000001", "prompt": "cp new.txt copy.txt", "who": "@shell", "zone": "feat",
        "create": true, "base": "HEAD", "with_changes": true });
    let told = talk.ask("enqueue", &order);
    assert_eq!(told["result"]["branch"], "feat", "{told}");
    assert_eq!(talk.ask("enqueue", &order), told, "asked again, nothing new");
    talk.ask("await", &json!({ "tasks": ["t-0000000001"] }));
    let copied = site.work.git(&["show", "khlone/feat/foreman.1:copy.txt"]);
    assert_eq!(copied, "not committed");
    assert_eq!(
        site.work.git(&["rev-parse", "feat"]),
        site.work.git(&["rev-parse", "HEAD"])
    );
    assert_eq!(
        site.work.status(),
        "?? new.txt",
        "the user's files are as they were"
    );
}

#[test]
fn tasks_are_tried_again_over_rpc_as_by_the_verbs() {
    let site = Site::new();
    let script = "test -e go || { echo half > half.txt; exit 3; }; echo done > done.txt";
    let failed = site.act("@shell", script);
    let mut talk = site.greeted();
    let wait = json!({ "tasks": [failed] });
    assert_eq!(talk.ask("await", &wait)["result"][0]["status"], "failed");
    let resumed = talk.ask("resume", &json!({ "task": failed }));
    assert_eq!(resumed["result"]["status"], "queued", "{resumed}");
    assert_eq!(talk.ask("await", &wait)["result"][0]["status"], "failed");
    let fresh = talk.ask("retry", &json!({ "task": failed, "fresh": true }));
    assert!(fresh["result"]["undo"].is_u64(), "{fresh}");
    assert_eq!(talk.ask("await", &wait)["result"][0]["status"], "failed");
    let tried = site.task(&failed);
    assert_eq!(tried.attempts.len(), 3, "{tried:?}");
    // What it did before was taken back, and is saved.
    assert!(site.run(&["undo", "--list"]).contains("retry --fresh"));
    let log = site
        .work
        .git(&["log", "--format=%s", "main..khlone/main/foreman.1"]);
    assert_eq!(log.lines().count(), 1, "{log}");
    let history = talk.ask("show", &json!({ "task": failed }))["result"]["history"].to_string();
    assert!(
        history.contains("resumed") && history.contains("tried anew"),
        "{history}"
    );

    let done = site.act("@shell", "true");
    talk.ask("await", &json!({ "tasks": [done] }));
    for (method, params, code) in [
        ("resume", json!({ "task": done }), -32026),
        ("retry", json!({ "task": done, "fresh": true }), -32026),
        ("resume", json!({ "task": done, "fresh": true }), -32602),
        ("retry", json!({ "task": "t-zzzzzzzzzz" }), -32010),
    ] {
        let refused = talk.ask(method, &params);
        assert_eq!(refused["error"]["code"], code, "{method} {params} {refused}");
    }
}

#[test]
fn orders_that_cannot_be_taken_say_why_and_leave_nothing() {
    let site = Site::new();
    site.work.write("khlone.yml", "limits: {queue: 1, clones: 1}\n");
    let busy = site.act("@shell", "sleep 600");
    let mut talk = site.greeted();
    let mut refused = |change: Value, code: i32| {
        let mut order = json!({ "task": "t-0000000001", "prompt": "echo x", "who": "@shell" });
        order
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = talk.ask("enqueue", &order);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    let full = refused(json!({}), -32022);
    assert!(full.contains('1') && full.contains("limits.queue"), "{full}");
    let most = refused(json!({ "who": "@shell++" }), -32023);
    assert!(most.contains('1') && most.contains("limits.clones"), "{most}");
    refused(json!({ "zone": "nowhere" }), -32011);
    refused(json!({ "who": "foreman.7" }), -32012);
    for folder in ["../out", "/etc", "a/../b", ""] {
        let outside = refused(json!({ "folder": folder }), -32602);
        assert!(outside.contains("below the top"), "{outside}");
    }
    refused(json!({ "reply_to": "t-zzzzzzzzzz" }), -32010);
    let open = refused(json!({ "reply_to": busy.as_str() }), -32020);
    assert!(open.contains("once it is over"), "{open}");
    for apart in [
        json!({ "create": true }),
        json!({ "zone": "main", "base": "HEAD" }),
        json!({ "reply_to": "t-zzzzzzzzzz", "with_changes": true }),
        json!({ "reply_to": "t-zzzzzzzzzz", "zone": "x", "create": true }),
    ] {
        refused(apart, -32602);
    }
    refused(json!({ "zone": "a..b", "create": true }), -32602);
    refused(
        json!({ "zone": "made", "create": true, "base": "nowhere" }),
        -32013,
    );
    refused(json!({ "after": ["t-zzzzzzzzzz"] }), -32010);
    refused(json!({ "after": ["t-0000000001"] }), -32602);
    refused(json!({ "task": busy.as_str() }), -32602);
    refused(json!({ "prompt": " " }), -32602);
    refused(json!({ "promt": "x" }), -32602);
    site.work.write("khlone.yml", "worktree: {setup: [make]}\n");
    let untrusted = refused(json!({}), -32025);
    assert!(untrusted.contains("make"), "{untrusted}");
    site.work.write("khlone.yml", "");
    refused(json!({ "who": "@codex" }), -32030);
    assert_eq!(
        talk.ask("list", &json!({}))["result"]["tasks"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    site.run(&["cancel", busy.as_str()]);
}

#[test]
fn the_prioritized_go_first_and_a_disrupting_task_before_all() {
    let site = Site::new();
    let running = site.act("@shell", "sleep 600");
    until("the start", || {
        site.task(&running).status.is_active().then_some(())
    });
    let gate = |word: &str| format!("echo {word} > {word}.txt");
    let plain = site.act("@shell", &gate("plain"));
    let first = site.run(&["act", "--who", "@shell", "--prioritize", &gate("first")]);
    let disrupt = site.cmd(&["act", "--who", "@shell", "--when", "disrupt", &gate("disrupt")]);
    let said = disrupt.patience(BOUND).finish().unwrap();
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains(&format!("{running} is stopped for it")), "{told}");
    let disrupt = String::from_utf8(said.stdout).unwrap().trim().to_owned();
    site.run(&["await", plain.as_str(), &first, &disrupt]);
    let task = site.task(&running);
    assert_eq!(task.status.as_str(), "cancelled", "{task:?}");
    let names = site.work.git(&[
        "log",
        "--format=",
        "--name-only",
        "--reverse",
        "main..khlone/main/foreman.1",
    ]);
    let names: Vec<&str> = names.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(names, ["disrupt.txt", "first.txt", "plain.txt"]);
}

#[test]
fn callers_at_once_never_fill_a_queue_beyond_its_limit() {
    let site = Site::new();
    site.work.write("khlone.yml", "limits: {queue: 3}\n");
    let busy = site.act("@shell", "sleep 600");
    let codes: Vec<_> = std::thread::scope(|scope| {
        let act = || {
            site.finish(&["act", "--who", "@shell", "true"])
                .status
                .code()
                .unwrap()
        };
        let acting: Vec<_> = (0..8).map(|_| scope.spawn(act)).collect();
        acting.into_iter().map(|acted| acted.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 4).count(), 6, "{codes:?}");
    site.run(&["cancel", busy.as_str()]);
}

#[test]
fn an_order_by_rpc_is_refused_for_what_the_command_line_is_refused_for() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let order = |id: &str| {
        let params = json!({ "task": id, "prompt": "true", "who": "@shell" });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "enqueue", "params": params });
        format!("{call}\n")
    };
    let by = |name: &str, id: &str| -> Value {
        let bridge = site.cmd(&["daemon", "rpc"]).env(name, "t-0000000000");
        let said = bridge.input(order(id)).finish().unwrap();
        serde_json::from_slice(&said.stdout).unwrap()
    };
    // A task may not dispatch tasks.
    let refused = by("KHLONE_TASK", "t-0000000001");
    assert_eq!(refused["error"]["data"]["exit"], 4, "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("a task may not"),
        "{refused}"
    );
    let taken = by("KHLONE_TASKS", "t-0000000002");
    assert_eq!(taken["result"]["task"], "t-0000000002", "{taken}");
    site.run(&["await", "t-0000000002"]);
    assert!(!site.finish(&["show", "t-0000000001"]).status.success());
}
