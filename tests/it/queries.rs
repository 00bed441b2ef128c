//! Each question is answered by the ledger here and by a daemon with the same document, byte for byte.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, time::Duration};

use git_khlone::{
    daemon::{Line, Place},
    process::Cmd,
    query::{Diff, Document, Env, List, Log, Naming, Query, QueryError, Rpc, Show, Source, Status, What},
    refs::LedgerError,
    render::view::ErrorView,
    task::{self, Explain, TaskId},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::daemon::site::{BOUND, Site, until};

/// Every state of a task.
const STATES: [task::Status; 11] = [
    task::Status::Queued,
    task::Status::Parked,
    task::Status::Running,
    task::Status::Finishing,
    task::Status::Paused,
    task::Status::Cancelling,
    task::Status::Interrupted,
    task::Status::Done,
    task::Status::Failed,
    task::Status::Cancelled,
    task::Status::Skipped,
];

fn rpc(site: &Site) -> Rpc {
    Rpc::new(Line::new(Place::new(&site.common()).unwrap(), true))
}

fn printed(document: &impl Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(document).unwrap())
}

/// What a verb prints, and what the daemon says to its question. Times go on: it is asked until both say the same.
fn same<Q: Query>(site: &Site, verb: &[&str], query: &Q)
where
    Q::Answer: Serialize,
{
    let mut differ = (String::new(), String::new());
    let mut tries = 0;
    until("the same answer", || {
        let here = site.finish(&[&["--json"], verb].concat());
        let there = rpc(site).ask(query);
        differ = match there {
            Ok(answer) => (
                String::from_utf8(here.stdout).unwrap(),
                printed(&Document::of(&answer)),
            ),
            Err(error) => {
                let error: Box<dyn Explain> = error.into();
                let stderr = String::from_utf8(here.stderr).unwrap();
                (stderr, printed(&Document::of(&ErrorView::of(&*error))))
            }
        };
        tries += 1;
        assert!(tries < 40, "{verb:?}:\n{}\n{}", differ.0, differ.1);
        (differ.0 == differ.1).then_some(())
    });
    assert!(!differ.0.is_empty());
}

/// Makes a task of another site of each state out of one that is done: nothing here moves it.
fn in_every_state(site: &Site) -> Vec<TaskId> {
    let states = STATES.iter().map(|state| {
        let id = site.done(
            "@shell",
            &format!("echo {state} > {state}; echo What about {state}?"),
        );
        site.with_ledger(|ledger| {
            ledger
                .update(&id, "test", |update| {
                    update.task.owner.site_uuid = "00000000-elsewhere".to_owned();
                    update.task.status = *state;
                    update.task.cost = Some(0.1 + 0.2);
                    if !state.is_over() {
                        update.task.outcome = None;
                    }
                    if *state == task::Status::Interrupted {
                        update.task.hold = Some("it needs a look".to_owned());
                    }
                    Ok::<_, LedgerError>(())
                })
                .unwrap();
        });
        id
    });
    states.collect()
}

#[test]
fn answers_are_the_same_by_the_ledger_and_by_the_daemon() {
    let site = Site::new();
    let tasks = in_every_state(&site);
    let failed = site.act("@shell++", "printf '\\377x\\n' > raw; echo no >&2; exit 3");
    assert!(!site.finish(&["await", failed.as_str()]).status.success());
    let changed = site.done(
        "@shell++",
        "git mv a.txt b.txt; seq 1 9 > n; printf 'a\\0b' > bin",
    );
    let runs = site.act("@shell++", "while [ ! -e go ]; do sleep 0.02; done");
    let clone = site.task(&runs).clone.to_string();
    let waits = site.act(&clone, "true");
    let tree = site.tree(&clone);
    until("the run", || {
        (site.task(&runs).status == task::Status::Running).then_some(())
    });
    let all = tasks.iter().chain([&failed, &changed, &runs, &waits]);
    for id in all {
        let (id, word) = (id.as_str(), Some(id.to_string()));
        let (task, zone) = (word.clone(), None);
        same(&site, &["show", id], &Show { task, zone });
        let (task, zone) = (word.clone(), None);
        same(&site, &["show", "--env", id], &Env { task, zone });
        let (task, zone) = (word.clone(), None);
        same(&site, &["log", id], &Log { task, zone });
        let (target, zone) = (word, None);
        let patch = true;
        same(&site, &["diff", id], &Diff { target, zone, patch });
    }
    let of = |target: Option<&str>, zone: Option<&str>, patch| Diff {
        target: target.map(str::to_owned),
        zone: zone.map(str::to_owned),
        patch,
    };
    same(&site, &["diff"], &of(None, None, true));
    same(
        &site,
        &["diff", "foreman.3", "-z", "main"],
        &of(Some("foreman.3"), Some("main"), true),
    );
    same(
        &site,
        &["diff", "--stat", changed.as_str()],
        &of(Some(changed.as_str()), None, false),
    );
    for (word, what) in [
        ("tasks", What::Tasks),
        ("needs", What::Needs),
        ("crew", What::Crew),
        ("zones", What::Zones),
        ("brains", What::Brains),
        ("sites", What::Sites),
    ] {
        same(&site, &["list", word], &List { what, zone: None });
        let zone = Some("main".to_owned());
        same(&site, &["list", word, "-z", "main"], &List { what, zone });
    }
    let midnight = jiff::Zoned::now().start_of_day().unwrap().timestamp();
    same(
        &site,
        &["status"],
        &Status {
            since: midnight.as_second(),
        },
    );
    // What is not there is missed in the same words.
    let missing = |task: &str| Show {
        task: Some(task.to_owned()),
        zone: None,
    };
    for word in ["t-zzzzzzzzzz", "nobody.9", "t-!", ""] {
        same(&site, &["show", word], &missing(word));
    }
    same(&site, &["diff", "foreman.9"], &of(Some("foreman.9"), None, true));
    same(&site, &["diff", "-z", "mian"], &of(None, Some("mian"), true));
    fs::write(format!("{tree}/go"), "").unwrap();
    site.run(&["await", runs.as_str(), waits.as_str()]);
    let names = rpc(&site).ask(&Naming {}).unwrap();
    assert_eq!((names.tasks.len(), names.branches.len()), (STATES.len() + 4, 1));
}

#[test]
fn a_long_diff_keeps_nobody_waiting() {
    let site = Site::new();
    // A git that takes its time over a diff.
    let bin = site.path().join("slow");
    fs::create_dir(&bin).unwrap();
    let real = Cmd::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real).unwrap();
    let (real, go) = (real.trim(), site.path().join("go"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' --numstat '*) while [ ! -e {} ]; do sleep 0.05; done;; esac\nexec {real} \"$@\"\n",
        go.display()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let start = site
        .cmd(&["daemon", "start"])
        .env("PATH", format!("{}:{path}", bin.display()));
    start.patience(BOUND).output().unwrap();
    let task = site.done("@shell", "echo x > x");
    let diff =
        |id: u32| json!({ "jsonrpc": "2.0", "id": id, "method": "query.diff", "params": { "target": task } });
    let mut callers: Vec<_> = (0..3).map(|_| site.greeted()).collect();
    for (caller, id) in callers.iter_mut().zip(1..) {
        caller
            .0
            .get_mut()
            .write_all(format!("{}\n", diff(id)).as_bytes())
            .unwrap();
    }
    // Tasks come and run, and callers are heard, on that connection, too.
    let ping = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    callers[0].say(format!("{ping}\n").as_bytes());
    assert_eq!(callers[0].hear().unwrap()["id"], 9);
    site.done("@shell", "echo y > y");
    let mut other = site.greeted();
    assert!(other.ask("show", &json!({ "task": task }))["result"]["task"].is_object());
    fs::write(go, "").unwrap();
    for (caller, id) in callers.iter_mut().zip(1..) {
        let answer = caller.hear().unwrap();
        assert_eq!(
            (&answer["id"], answer["result"]["files"][0]["path"].as_str()),
            (&json!(id), Some("x"))
        );
    }
}

#[test]
fn strange_questions_and_long_answers_are_refused_in_their_place() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let mut caller = site.greeted();
    for (method, params, code) in [
        ("query.nothing", json!({}), -32601),
        ("query.", json!({}), -32601),
        ("query.show", json!({ "tusk": "t-1" }), -32602),
        ("query.show", json!({ "task": 7 }), -32602),
        ("query.list", json!({ "what": "everything" }), -32602),
        ("query.status", json!({}), -32602),
        ("query.show", json!({ "task": "t-zzzzzzzzzz" }), -32010),
        ("query.diff", json!({ "target": "foreman.7" }), -32012),
        ("query.diff", json!({ "zone": "mian" }), -32011),
        ("query.log", json!({ "task": "../../etc" }), -32602),
    ] {
        let answer = caller.ask(method, &params);
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
    }
    // In a batch each has its answer, and what is too long there is to be asked alone.
    let task = site.done("@shell", "seq 1 200000 > long");
    let one = |id: u32, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let batch = json!([
        one(1, "query.names", json!({})),
        one(2, "query.diff", json!({ "target": task, "patch": true })),
        one(3, "ping", json!({})),
    ]);
    caller.say(format!("{batch}\n").as_bytes());
    let answers = caller.hear().unwrap();
    assert_eq!(answers[0]["result"]["tasks"], json!([task]), "{answers}");
    assert_eq!(answers[1]["error"]["code"], -32020, "{answers}");
    assert!(answers[2]["result"]["pid"].is_number(), "{answers}");
    let alone = caller.ask("query.diff", &json!({ "target": task, "patch": true }));
    assert!(alone["result"]["patch"].as_str().unwrap().len() > 1 << 20);
}

#[test]
fn a_daemon_of_an_earlier_build_is_told_from_a_missing_answer() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    // In its place one that knows no questions.
    let mut record = site.record().unwrap();
    site.kill();
    let socket = site.path().join("old.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    record["socket"] = json!(socket);
    record["process"] = json!(git_khlone::process::ProcessId::current().unwrap());
    fs::write(site.common().join("khlone/daemon.json"), record.to_string()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
            let mut reader = std::io::BufReader::new(&stream);
            for _ in 0..2 {
                let mut line = String::new();
                std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
                let call: Value = serde_json::from_str(&line).unwrap();
                let mut answer = json!({ "jsonrpc": "2.0", "id": call["id"] });
                if call["method"] == "hello" {
                    answer["result"] =
                        json!({ "protocol": 1, "version": "0.0.9", "pid": std::process::id() });
                } else {
                    answer["error"] = json!({ "code": -32601, "message": "there is no method" });
                }
                (&stream).write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
        });
        let old = Rpc::new(Line::new(Place::new(&site.common()).unwrap(), false));
        let error: QueryError = old.ask(&Naming {}).unwrap_err();
        assert!(error.to_string().contains("older"), "{error}");
        assert!(old.call(&Naming {}, Duration::ZERO).is_none());
    });
    fs::remove_file(site.common().join("khlone/daemon.json")).unwrap();
}
