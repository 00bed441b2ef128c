//! The adapters against what the real CLIs printed (`tests/fixtures/transcripts`), and against anything at all.

use std::{fmt::Write as _, path::Path};

use proptest::prelude::*;

use super::*;
use crate::task::{Class, Explain, Usage};

mod said;

/// How a recorded run ended, where not with exit code 0.
fn exit_code(cli: &str, scenario: &str) -> Option<i32> {
    match (cli, scenario) {
        (_, "kill" | "refused") | ("claude" | "gemini", "usage-limit") | ("opencode", "full") => None,
        ("gemini", "auth-401") => Some(145),
        ("gemini", "full") => Some(144),
        ("gemini", "forbidden") => Some(147),
        ("gemini", "daily-quota") => Some(173),
        ("claude", "resume-malformed")
        | (
            _,
            "resume-unknown" | "auth-401" | "err-500" | "rate-429" | "nokey" | "no-credit" | "full"
            | "forbidden" | "usage-limit",
        ) => Some(1),
        _ => Some(0),
    }
}

/// The session that a recorded run was asked for.
fn id_in(name: &str, recorded: &str) -> Session {
    let id = match name {
        "codex/resume" => "01a205e6-1f5f-73d1-96f9-4a0f9074b5bf",
        "codex/resume-malformed" => "01a205e6-1f5f-73d1-96f9-000000000000",
        "claude/resume" => "c3a61a40-2a27-41ad-ac1b-ff9c3ea2c56e",
        "gemini/resume" => "8ac90195-bf13-4dc3-a13a-be0528343325",
        "opencode/resume" => "ses_dfa1fced1ffe8ziTvO7ke0mAmT",
        _ => {
            let id = recorded
                .split_once("\"session_id\":\"")
                .map_or("none", |(_, rest)| &rest[..36]);
            return Session::New(id.to_owned());
        }
    };
    // What every one of these sessions had counted before.
    let usage = Usage {
        input: Some(1000),
        output: Some(34),
        cached: Some(200),
    };
    Session::Resume {
        id: id.to_owned(),
        before: Total {
            usage,
            cost: Some(0.00552),
        },
    }
}

#[test]
fn recorded_runs_mean_what_they_did() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts");
    let mut seen = 0;
    for folder in std::fs::read_dir(root).unwrap() {
        let folder = folder.unwrap();
        let version = folder.file_name().into_string().unwrap();
        let cli = version.split_once('-').unwrap().0;
        let Ok(brain) = find(&cli.parse().unwrap()) else {
            continue;
        };
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "jsonl") {
                continue;
            }
            let scenario = path.file_stem().unwrap().to_str().unwrap();
            // What it printed beside that, where it says something of its own.
            let errors = std::fs::read(path.with_extension("stderr")).unwrap_or_default();
            let text = run(brain, scenario, (&std::fs::read(&path).unwrap(), &errors));
            insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
                insta::assert_snapshot!(format!("{version}/{scenario}"), text);
            });
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// The events of a recorded run, its verdict, and where it was found to be hopeless.
fn run(brain: &'static dyn Brain, scenario: &str, (recorded, errors): (&[u8], &[u8])) -> String {
    let cli = brain.name();
    let mut translator = brain.translator(&id_in(
        &format!("{cli}/{scenario}"),
        &String::from_utf8_lossy(recorded),
    ));
    let mut out = String::new();
    for line in recorded.split_inclusive(|byte| *byte == b'\n') {
        let before = translator.hopeless();
        let (head, tail) = line.split_at(line.len() / 2);
        for event in [translator.stdout(head), translator.stdout(tail)].concat() {
            writeln!(out, "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }
        if let (None, Some(trouble)) = (before, translator.hopeless()) {
            writeln!(out, "-- hopeless: {trouble:?}").unwrap();
        }
    }
    for event in translator.stderr(errors) {
        writeln!(out, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    for event in translator.finish(exit_code(cli, scenario)) {
        writeln!(out, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    let mut verdict = translator.verdict();
    // A time of the clock is another one every day.
    verdict.limited_until = verdict.limited_until.map(|_| 0);
    writeln!(out, "{}", serde_json::to_string_pretty(&verdict).unwrap()).unwrap();
    out
}

/// A translator of `cli` that has read these lines, and nothing but them.
fn read(cli: &str, session: &Session, lines: &[&str]) -> Translator {
    let mut translator = find(&cli.parse().unwrap()).unwrap().translator(session);
    for line in lines {
        translator.stdout(format!("{line}\n").as_bytes());
    }
    translator
}

#[test]
fn a_run_with_several_results_costs_what_the_last_one_says() {
    let result = |cost: &str| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"x","total_cost_usd":{cost},"usage":{{"input_tokens":10,"output_tokens":1}}}}"#
        )
    };
    let lines = ["0.0116", "0.0240", "0.0372", "0.0511"].map(result);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let told = |cost: Option<f64>| format!("{:.4}", cost.unwrap());
    let first = read("claude", &id_in("", ""), &lines).verdict();
    assert_eq!(
        (told(first.cost), first.usage.clone().unwrap().input),
        ("0.0511".to_owned(), Some(40))
    );
    // The next task goes on from there.
    let goes_on = Session::Resume {
        id: "none".to_owned(),
        before: first.total,
    };
    let lines = ["0.0600", "0.0711"].map(result);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let second = read("claude", &goes_on, &lines).verdict();
    assert_eq!(
        (told(second.cost), told(second.total.cost)),
        ("0.0200".to_owned(), "0.0711".to_owned())
    );
    let turn = |n: u32| {
        format!(r#"{{"type":"turn.completed","usage":{{"input_tokens":{n}00,"output_tokens":{n}}}}}"#)
    };
    let codex = read("codex", &id_in("", ""), &[&turn(1), &turn(3)]).verdict();
    assert_eq!(codex.usage.unwrap().input, Some(300));
}

#[test]
fn one_odd_field_loses_no_line() {
    let codex = read(
        "codex",
        &id_in("", ""),
        &[
            r#"{"type":"item.completed","item":{"id":"i","type":"file_change","changes":null,"status":"completed"}}"#,
            r#"{"type":"item.completed","item":{"id":"j","type":"command_execution","exit_code":"one","status":"failed"}}"#,
            r#"{"type":"turn.completed","usage":{"input_tokens":"1200","output_tokens":{}}}"#,
        ],
    );
    let verdict = codex.verdict();
    assert_eq!((verdict.result, verdict.unread), (Some(true), 0), "{verdict:?}");
    assert_eq!(verdict.usage.unwrap().input, Some(1200));
    let claude = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok","usage":7,"total_cost_usd":"free","permission_denials":{},"api_error_status":99999}"#;
    let gemini = r#"{"type":"result","status":"success","stats":[1],"error":4}"#;
    let opencode = r#"{"type":"step_finish","sessionID":"s","timestamp":"now","part":{"reason":"stop","tokens":[],"cost":"none"}}"#;
    for (cli, line) in [("claude", claude), ("gemini", gemini), ("opencode", opencode)] {
        let mut translator = read(cli, &id_in("", ""), &[line, r#"{"type":"resu"#, "plain words"]);
        translator.finish(Some(0));
        let verdict = translator.verdict();
        assert_eq!(
            (verdict.result, verdict.unread),
            (Some(true), 1),
            "{cli} {verdict:?}"
        );
    }
}

#[test]
fn a_refusal_that_comes_beside_the_calls_counts_where_nothing_went_well() {
    let refused = b"2026-11-28T00:47:47Z ERROR codex_core::tools::router: error=patch rejected: writing is blocked by read-only sandbox; rejected by user approval settings\n";
    let shell = [
        r#"{"type":"item.started","item":{"id":"i","type":"command_execution","command":"true"}}"#,
        r#"{"type":"item.completed","item":{"id":"i","type":"command_execution","exit_code":0,"status":"completed"}}"#,
    ];
    for (lines, last) in [(&shell[..], false), (&[], true)] {
        for after in [true, false] {
            let mut codex = read("codex", &id_in("", ""), if after { lines } else { &[] });
            codex.stderr(refused);
            if !after {
                for line in lines {
                    codex.line(line.as_bytes());
                }
            }
            let verdict = codex.verdict();
            assert_eq!(
                (verdict.denials, verdict.last_denied),
                (1, last),
                "{after} {verdict:?}"
            );
            assert!(verdict.reasons[0].starts_with("refused: "), "{verdict:?}");
        }
    }
    let mut full_disk = read("codex", &id_in("", ""), &[]);
    full_disk.stderr(b"Failed to write file /tree/a\n");
    let verdict = full_disk.verdict();
    assert_eq!(
        (verdict.denials, verdict.reasons),
        (0, vec!["Failed to write file /tree/a".to_owned()])
    );
}

#[test]
fn what_was_still_running_is_known() {
    let started =
        r#"{"type":"item.started","item":{"id":"i","type":"command_execution","command":"sleep 90"}}"#;
    let ended = r#"{"type":"item.completed","item":{"id":"i","type":"command_execution","exit_code":0}}"#;
    let end = r#"{"type":"turn.completed"}"#;
    assert_eq!(
        read("codex", &id_in("", ""), &[started, end]).verdict().open,
        ["sleep 90"]
    );
    assert!(
        read("codex", &id_in("", ""), &[started, ended, end])
            .verdict()
            .open
            .is_empty()
    );
}

#[test]
fn a_brain_that_only_tries_again_struggles_until_it_gets_on() {
    let waits = |n: u32| {
        format!(
            r#"{{"type":"error","message":"Reconnecting... {n}/5 (Connection failed: error sending request)"}}"#
        )
    };
    let mut codex = read("codex", &id_in("", ""), &[&waits(1)]);
    let first = codex.struggles().unwrap();
    codex.line(waits(2).as_bytes());
    assert!(codex.struggles().unwrap() > first, "from the first try on");
    assert_eq!(
        codex.verdict().reasons,
        ["Connection failed: error sending request"]
    );
    codex.line(br#"{"type":"item.completed","item":{"type":"agent_message","text":"There."}}"#);
    assert_eq!((codex.struggles(), codex.verdict().reasons), (None, vec![]));
}

proptest! {
    #[test]
    fn no_bytes_break_a_translator(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
        for brain in all() {
            let mut translator = brain.translator(&id_in("", ""));
            let mut events = 0;
            for chunk in &chunks {
                events += translator.stdout(chunk).len();
                translator.stderr(chunk);
            }
            events += translator.finish(Some(0)).len();
            let said = chunks.concat();
            let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            prop_assert!(events >= lines || brain.name() == "shell", "{}: {events} events of {lines} lines", brain.name());
        }
    }

    #[test]
    fn any_json_gives_an_event_and_any_order_of_fields_the_same(line in json_line()) {
        for brain in all() {
            let text = serde_json::to_vec(&line).unwrap();
            let events = brain.translator(&id_in("", "")).line(&text);
            prop_assert!(!events.is_empty());
            let serde_json::Value::Object(fields) = &line else { unreachable!() };
            let turned: serde_json::Map<_, _> = fields.clone().into_iter().rev().collect();
            let turned = brain.translator(&id_in("", "")).line(&serde_json::to_vec(&turned).unwrap());
            let raw = |events: &[Event]| events.iter().all(|event| matches!(event, Event::Unknown { .. }));
            prop_assert!(events == turned || raw(&events) && raw(&turned) || brain.name() == "shell");
        }
    }
}

/// Objects with the field names that brains use and values that they do not.
fn json_line() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec![
        "type",
        "message",
        "item",
        "part",
        "error",
        "usage",
        "result",
        "content",
        "state",
        "system",
        "assistant",
        "user",
        "tool_use",
        "tool_result",
        "text",
        "status",
        "stats",
        "input",
        "turn.failed",
        "item.completed",
        "session_id",
        "sessionID",
        "subtype",
        "init",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let object = move |value: BoxedStrategy<serde_json::Value>| {
        prop::collection::hash_map(word.clone().prop_map(str::to_owned), value, 0..6)
            .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
    };
    let inner = leaf.boxed().prop_recursive(3, 20, 5, {
        let object = object.clone();
        move |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..3).prop_map(serde_json::Value::from),
                object(value.boxed())
            ]
        }
    });
    object(inner.boxed())
}

#[test]
fn a_line_of_any_length_is_bounded() {
    let codex = find(&"codex".parse().unwrap()).unwrap();
    let mut translator = codex.translator(&id_in("", ""));
    let huge = vec![b'x'; 1 << 20];
    for _ in 0..12 {
        assert!(translator.stdout(&huge).is_empty());
    }
    let events = translator.stdout(b"\n{\"type\":\"turn.completed\"}\n");
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(matches!(&events[0], Event::Unknown { raw } if raw.len() < 20_000));
}

#[test]
fn the_schema_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/event.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("KHLONE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &current).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == current,
        "run KHLONE_BLESS=1 cargo test --lib the_schema_file_is_current"
    );
}

#[test]
fn unknown_brains_name_the_nearest() {
    let error = find(&"cluade".parse().unwrap()).err().unwrap();
    assert_eq!(
        error.hint().unwrap(),
        "git khlone list brains    # did you mean @claude?"
    );
    assert!(error.to_string().contains("codex"));
}

/// An environment of these variables, and nothing from the configuration.
fn preflight<T>(vars: &[(&str, &str)], cache: &Path, look: impl FnOnce(&Preflight<'_>) -> T) -> T {
    let vars = |name: &str| {
        let found = vars.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| std::ffi::OsString::from(value))
    };
    look(&Preflight {
        vars: &vars,
        cache,
        program: &|_| None,
    })
}

fn program(dir: &Path, name: &str, script: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn preflight_tells_what_is_missing_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (home, path) = (dir.path().to_str().unwrap(), dir.path().join("bin"));
    std::fs::create_dir(&path).unwrap();
    let vars = [("HOME", home), ("PATH", path.to_str().unwrap())];
    let cache = dir.path().join("cache");
    let codex = find(&"codex".parse().unwrap()).unwrap();
    let quick = |vars: &[(&str, &str)]| preflight(vars, &cache, |look| look.quick(codex));

    assert_eq!(quick(&vars).hint.unwrap(), "npm install -g @openai/codex");
    let none = preflight(&vars, &cache, |look| look.default_brain().map(Brain::name));
    assert_eq!(none, None);

    program(&path, "codex", "echo codex-cli 1.2.3; echo ran >> $0.log", 0o644);
    assert_eq!(quick(&vars).state, State::Broken);

    program(&path, "codex", "echo codex-cli 1.2.3; echo ran >> $0.log", 0o755);
    let out = preflight(&vars, &cache, |look| look.require(codex)).unwrap_err();
    assert_eq!(out.class(), Class::Brain);
    assert_eq!(out.hint().unwrap(), "codex login");
    assert!(!path.join("codex.log").exists(), "a quick check starts nothing");

    let with_key = [vars[0], vars[1], ("CODEX_API_KEY", "k")];
    assert_eq!(quick(&with_key).state, State::Ready);
    let default = preflight(&with_key, &cache, |look| look.default_brain().map(Brain::name));
    assert_eq!(default, Some("codex"));
}

#[test]
fn preflight_asks_a_program_once() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let vars = [("HOME", home), ("PATH", home), ("CODEX_API_KEY", "k")];
    let codex = find(&"codex".parse().unwrap()).unwrap();
    let check = |full: bool| {
        preflight(&vars, &dir.path().join("cache"), |look| {
            if full { look.full(codex) } else { look.quick(codex) }
        })
    };
    program(
        dir.path(),
        "codex",
        "echo codex-cli 1.2.3; echo ran >> $0.log",
        0o755,
    );
    assert_eq!(check(true).version.as_deref(), Some("1.2.3"));
    assert_eq!(check(true).version, check(false).version);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("codex.log")).unwrap(),
        "ran\n"
    );

    program(dir.path(), "codex", "exit 127", 0o755);
    assert_eq!(check(false).state, State::Ready, "not asked yet");
    assert_eq!(check(true).state, State::Broken);
    assert_eq!(check(false).state, State::Broken);
}

#[test]
fn logins_are_found_where_each_brain_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let vars = |name: &str| (name == "HOME").then(|| home.into());
    let sign = |name: &str| find(&name.parse().unwrap()).unwrap().signed_in(&vars);
    let nobody = ["claude", "codex", "opencode", "gemini"].map(sign);
    assert_eq!(
        nobody,
        [SignedIn::No, SignedIn::No, SignedIn::Unknown, SignedIn::No]
    );
    for path in [
        ".claude/.credentials.json",
        ".codex/auth.json",
        ".local/share/opencode/auth.json",
        ".gemini/oauth_creds.json",
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, r#"{"token": 1}"#).unwrap();
    }
    assert_eq!(
        ["claude", "codex", "opencode", "gemini"].map(sign),
        [SignedIn::Yes; 4]
    );
}
