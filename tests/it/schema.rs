//! What `--json` prints is what its published schema says: held for every answer that any test here asks for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::OnceLock,
};

use git_khlone::cli;
use jsonschema::Validator;
use serde_json::Value;

use crate::stage::{Said, Stage};

/// Fields that tell one form of an object from the others, each of which is described.
const TAGS: [&str; 2] = ["for", "type"];

fn validators() -> &'static HashMap<&'static str, Validator> {
    static VALIDATORS: OnceLock<HashMap<&'static str, Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let schemas = cli::schemas().into_iter();
        schemas
            .map(|(verb, schema)| {
                (
                    verb,
                    jsonschema::validator_for(&strict(schema.to_value())).unwrap(),
                )
            })
            .collect()
    })
}

/// The schema with every object closed: a field that it does not name is an error here, and none for a reader.
fn strict(mut schema: Value) -> Value {
    // A part of one is not closed by itself: it does not see the fields that stand beside it.
    fn close(schema: &mut Value, is_whole: bool) {
        let Some(keywords) = schema.as_object_mut() else {
            return;
        };
        for (keyword, value) in keywords.iter_mut() {
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Value::Object(of)) => {
                    for part in of.values_mut() {
                        close(part, true);
                    }
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(of)) => {
                    for part in of {
                        close(part, false);
                    }
                }
                ("items" | "additionalProperties", of) => close(of, true),
                _ => {}
            }
        }
        let has = |keyword| keywords.contains_key(keyword);
        if is_whole && ["properties", "anyOf", "oneOf"].into_iter().any(has) {
            keywords
                .entry("unevaluatedProperties")
                .or_insert_with(|| false.into());
        }
    }
    close(&mut schema, true);
    schema
}

/// Holds what a command said to its schema, if JSON was asked for.
pub(crate) fn hold(args: &[&str], said: &Said) {
    let Some(verb) = verb_of(args) else {
        return;
    };
    let check = |verb: &str, text: &str| {
        let document: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
        let Some(validator) = validators().get(verb) else {
            panic!("{args:?} answers in JSON, and has no schema");
        };
        let wrong: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{args:?}: {wrong:#?}\n{document:#}");
    };
    match verb {
        "watch" => said.out.lines().for_each(|line| check(verb, line)),
        _ if !said.out.is_empty() => check(verb, &said.out),
        _ => {}
    }
    if let Some(at) = said.err.find("{\n").filter(|_| said.code != 0) {
        check("error", &said.err[at..]);
    }
}

/// The verb of a command line that asks for JSON; `None` if it does not, or in another form than its own.
fn verb_of<'a>(args: &[&'a str]) -> Option<&'a str> {
    let ours = || args.iter().take_while(|arg| **arg != "--");
    let other_form = ["--raw", "--schema", "rpc", "--prompt"];
    if !ours().any(|arg| *arg == "--json") || ours().any(|arg| other_form.contains(arg)) {
        return None;
    }
    let mut words = ours().filter(|arg| **arg != "--json");
    loop {
        match *words.next()? {
            "-C" => drop(words.next()),
            word if word.starts_with('-') => {}
            word => return Some(word),
        }
    }
}

/// The fields of every object in a schema: the kinds of value that each has, and what it is said to mean.
pub(crate) type Fields = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

/// Answers in another vocabulary: the settings, which have that of `khlone.yml`.
pub(crate) const SETTINGS: &str = "config";

/// Documents with a vocabulary of their own, which answers hold as they are stored: effects, and events of a brain.
const STORED: [&str; 4] = ["BranchMove", "Effects", "Record", "RefChange"];

/// The fields of a schema.
pub(crate) fn fields(schema: &Value) -> Fields {
    let mut found = BTreeMap::new();
    walk(schema, schema, &mut found);
    found
}

fn walk(root: &Value, schema: &Value, found: &mut Fields) {
    match schema {
        Value::Object(map) => {
            for (name, field) in map
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let mut words = BTreeSet::new();
                kinds(root, field, &mut words);
                words.remove("null");
                let described = field["description"].as_str().map(str::to_owned);
                let entry = found.entry(name.clone()).or_default();
                entry.0.extend(words);
                entry.1.extend(described);
            }
            let ours = map.iter().filter(|(name, _)| !STORED.contains(&name.as_str()));
            ours.for_each(|(_, inner)| walk(root, inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| walk(root, inner, found)),
        _ => {}
    }
}

/// What JSON has where this schema holds: `string`, `array` and so on.
fn kinds(root: &Value, schema: &Value, words: &mut BTreeSet<String>) {
    match &schema["type"] {
        Value::String(word) => drop(words.insert(word.replace("integer", "number"))),
        Value::Array(all) => {
            let all = all.iter().filter_map(Value::as_str);
            words.extend(all.map(|word| word.replace("integer", "number")));
        }
        _ => {}
    }
    if schema.get("const").is_some_and(Value::is_string) {
        words.insert("string".to_owned());
    }
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        kinds(root, &root["$defs"][name], words);
    }
    for of in ["anyOf", "oneOf", "allOf"] {
        for inner in schema[of].as_array().into_iter().flatten() {
            kinds(root, inner, words);
        }
    }
}

/// Whoever reads one answer can read all: one name means one kind of thing, and says what.
#[test]
fn a_field_has_one_meaning_in_all_answers() {
    let mut all: BTreeMap<String, BTreeMap<String, BTreeSet<&str>>> = BTreeMap::new();
    let mut silent = BTreeSet::new();
    for (verb, schema) in cli::schemas().into_iter().filter(|(verb, _)| *verb != SETTINGS) {
        for (name, (kinds, described)) in fields(schema.as_value()) {
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(" or ");
            all.entry(name.clone())
                .or_default()
                .entry(kinds)
                .or_default()
                .insert(verb);
            if described.is_empty() && !TAGS.contains(&name.as_str()) {
                silent.insert(format!("{verb}: {name}"));
            }
        }
    }
    assert!(silent.is_empty(), "not described: {silent:#?}");
    all.retain(|_, kinds| kinds.len() > 1);
    assert!(all.is_empty(), "of several kinds: {all:#?}");
}

/// Each verb, once, in the order of a day; what it prints is held to its schema by the stage.
#[test]
fn every_verb_answers_in_json() {
    let stage = Stage::new();
    let mut seen = BTreeSet::new();
    let mut ask = |args: &[&str]| -> Value {
        let said = stage.run(&[&["--json"], args].concat());
        seen.insert(args[0].to_owned());
        assert!(!said.out.is_empty(), "{args:?} prints no JSON: {}", said.err);
        serde_json::from_str(&said.out).unwrap_or(Value::Null)
    };
    let act = |script| ["act", "--who", "@shell", "--await", "-m", script];
    let id = |answer: &Value| answer["task"].as_str().unwrap().to_owned();
    let first = id(&ask(&act("echo one > one.txt")));
    ask(&["ask", "--who", "@shell", "--await", "-m", "cat a.txt"]);
    ask(&["diff", &first, "--stat"]);
    for verb in ["show", "diff", "log", "audit", "path", "watch", "await"] {
        ask(&[verb, &first]);
    }
    ask(&["show", "--env", &first]);
    ask(&["land", &first]);
    ask(&["undo", "--list"]);
    ask(&["undo"]);
    ask(&["land", &first]);
    let failed = id(&ask(&act("echo two > two.txt; exit 3")));
    ask(&["retry", &failed]);
    ask(&["await", &failed]);
    ask(&["resume", &failed]);
    ask(&["await", &failed, &first]);
    ask(&["rollback", &failed]);
    ask(&["dismiss", &failed]);
    stage.work.commit(&[("b.txt", "on\n")], "the zone goes on");
    ask(&["update", "foreman.1"]);
    let queued = id(&ask(&["act", "--who", "foreman.1", "-m", "sleep 60"]));
    ask(&["cancel", &queued]);
    ask(&["await", &queued]);
    ask(&["reply", &first, "--await", "-m", "true"]);
    for what in ["tasks", "needs", "crew", "zones", "sites", "brains"] {
        ask(&["list", what]);
    }
    ask(&["status"]);
    ask(&["sites"]);
    ask(&["config"]);
    ask(&["config", "--path"]);
    ask(&["trust"]);
    ask(&["trust", "--list"]);
    ask(&["doctor"]);
    ask(&["fsck"]);
    ask(&["redact", &first]);
    for verb in ["start", "status", "logs", "stop", "stop"] {
        ask(&["daemon", verb]);
    }
    ask(&["zone", "new", "other"]);
    ask(&["zone", "repair"]);
    ask(&["zone", "prune"]);
    ask(&["zone", "remove", "main", "--force"]);
    ask(&["gc"]);
    ask(&["uninstall", "--force"]);
    let published: BTreeSet<_> = cli::schemas()
        .into_iter()
        .map(|(verb, _)| verb.to_owned())
        .collect();
    let unseen: Vec<_> = published
        .difference(&seen)
        .filter(|verb| *verb != "error")
        .collect();
    assert!(unseen.is_empty(), "not tried: {unseen:?}");
    let verbs = cli::command();
    let without: BTreeSet<_> = verbs
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && !published.contains(verb.get_name()))
        .map(|verb| verb.get_name().to_owned())
        .collect();
    assert_eq!(without, ["completions", "help", "man"].map(str::to_owned).into());
}

/// Errors are JSON on stderr where JSON was asked for, those of the command line itself among them.
#[test]
fn errors_answer_in_json() {
    let stage = Stage::new();
    for (args, class) in [
        (&["--json", "cancel"][..], "usage"),
        (&["frobnicate", "--json"], "usage"),
        (&["show", "--json", "t-0000000000"], "not-found"),
        (&["--json", "completions", "bash"], "usage"),
        (&["--json", "man", "--install"], "usage"),
    ] {
        let said = stage.run(args);
        assert_eq!(said.out, "", "{args:?}");
        let document: Value =
            serde_json::from_str(&said.err).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.err));
        assert_eq!(document["error"]["class"], class, "{args:?}: {document}");
        assert_eq!(document["error"]["exit_code"], said.code, "{args:?}");
        assert!(document["error"]["next"].is_string(), "{args:?}: {document}");
    }
}
