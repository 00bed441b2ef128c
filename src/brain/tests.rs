//! The adapters against what the real CLIs printed (`tests/fixtures/transcripts`), and against anything at all.

use std::{fmt::Write as _, path::Path};

use proptest::prelude::*;

use super::*;
use crate::task::Usage;

/// How a recorded run ended, where not with exit code 0.
fn exit_code(cli: &str, scenario: &str) -> Option<i32> {
    match (cli, scenario) {
        (_, "kill") => None,
        ("gemini", "auth-401") => Some(145),
        ("claude", "resume-malformed")
        | (_, "resume-unknown" | "auth-401" | "err-500" | "rate-429" | "nokey") => Some(1),
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
            let scenario = path.file_stem().unwrap().to_str().unwrap();
            let text = run(brain, scenario, &std::fs::read(&path).unwrap());
            insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
                insta::assert_snapshot!(format!("{version}/{scenario}"), text);
            });
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// The events of a recorded run, its verdict, and where it was found to be hopeless.
fn run(brain: &'static dyn Brain, scenario: &str, recorded: &[u8]) -> String {
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
    for event in translator.finish(exit_code(cli, scenario)) {
        writeln!(out, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    writeln!(
        out,
        "{}",
        serde_json::to_string_pretty(&translator.verdict()).unwrap()
    )
    .unwrap();
    out
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
    assert_eq!(error.hint().unwrap(), "did you mean @claude?");
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
