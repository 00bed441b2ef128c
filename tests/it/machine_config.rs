//! The machine's config file is a floor that neither the user's nor a repository's opens, and every value says where it
//! comes from.

use std::fs;

use serde_json::Value;

use crate::stage::{Said, Stage, said};

fn run(stage: &Stage, args: &[&str]) -> Said {
    let system = stage.path().join("etc/khlone/config.yml");
    said(stage.cmd(&stage.work.0, args).env("KHLONE_SYSTEM_CONFIG", system))
}

fn stage(system: &str, user: &str, repo: &str) -> Stage {
    let stage = Stage::new();
    for (folder, text) in [("etc/khlone", system), ("home/.config/khlone", user)] {
        let folder = stage.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.yml"), text).unwrap();
    }
    stage.work.write("khlone.yml", repo);
    stage
}

#[test]
fn neither_user_nor_repository_opens_what_the_machine_closes() {
    let stage = stage(
        "sandbox: require\nnetwork: none\npermissions: edits\ndelegation: refuse\nreadable: [/srv/shared]\nwritable: []\n\
         limits: {task: 1h, running: 1}\nresume: ask\n",
        "sandbox: off\nnetwork: open\npermissions: all\ndelegation: allow\n\
         readable: [/srv/shared/a, /srv/shared/../secret, /srv/sharedother, ~/notes]\nwritable: [~/data]\n\
         limits: {task: 5h, running: 4}\nresume: auto\nbrains: {codex: {permissions: all}}\n",
        "sandbox: off\nnetwork: open\nlimits: {task: 9h, queue: 3}\n",
    );
    let shown: Value = serde_json::from_str(&run(&stage, &["--json", "config"]).ok()).unwrap();
    let config = &shown["config"];
    for (pointer, value) in [
        ("/sandbox", "require"),
        ("/network", "none"),
        ("/permissions", "edits"),
        ("/brains/codex/permissions", "edits"),
        ("/delegation", "refuse"),
        ("/limits/task", "1h"),
        ("/resume", "auto"),
    ] {
        assert_eq!(config.pointer(pointer).unwrap(), value, "{pointer}");
    }
    assert_eq!(config["limits"]["running"], 1);
    assert_eq!(config["readable"], serde_json::json!(["/srv/shared/a"]));
    assert_eq!(config["writable"], serde_json::json!([]));
    let origins = &shown["origins"];
    for (key, origin) in [
        ("sandbox", "system"),
        ("limits.task", "system"),
        ("limits.queue", "repository"),
        ("limits.clones", "default"),
        ("resume", "user"),
    ] {
        assert_eq!(origins[key], origin, "{key}");
    }
    let text = run(&stage, &["config"]).ok();
    for line in [
        "sandbox: require  # /etc/khlone/config.yml",
        "  queue: 3  # khlone.yml",
        "  clones: 8  # default",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    // It still is a config file.
    let yaml: Value = serde_yaml_ng_value(&text);
    assert_eq!(yaml["limits"]["queue"], 3);
}

/// YAML as the program itself reads it: as the user's file of another stage.
fn serde_yaml_ng_value(text: &str) -> Value {
    let other = stage("", text, "");
    let shown: Value = serde_json::from_str(&run(&other, &["--json", "config"]).ok()).unwrap();
    shown["config"].clone()
}

#[test]
fn trust_never_holds_for_all_repositories() {
    let stage = stage("trust: never\n", "trust: ask\n", "permissions: all\n");
    let trusted = run(&stage, &["trust", "--yes"]);
    assert_eq!(trusted.code, 4, "{}", trusted.err);
    let act = run(&stage, &["act", "--who", "@shell", "-m", "true"]);
    assert_eq!(act.code, 4, "{}", act.err);
    assert!(act.err.contains("trust: never"), "{}", act.err);
    stage.work.write("khlone.yml", "trust: ask\n");
    assert_eq!(run(&stage, &["config"]).code, 2, "a repository cannot say it");
}

#[test]
fn a_machine_file_that_cannot_be_read_opens_nothing() {
    let stage = stage("sandbox: require\n", "", "");
    fs::write(stage.path().join("etc/khlone/config.yml"), "sandbox: reqire\n").unwrap();
    let act = run(&stage, &["act", "--who", "@shell", "-m", "true"]);
    assert_eq!(act.code, 2, "{}", act.err);
    assert!(act.err.contains("etc/khlone/config.yml"), "{}", act.err);
}

#[test]
fn every_default_is_shown_and_doctor_looks_at_broken_settings() {
    let stage = crate::stage::Stage::new();
    let shown = stage.run(&["config"]).ok();
    assert!(shown.contains("  running: 4  # default"), "{shown}");
    for key in ["hero", "notify", "providers"] {
        assert!(shown.contains(&format!("# {key}:  # not set: ")), "{shown}");
    }
    let config = stage.path().join("home/.config/khlone");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.yml"), "limits: {running: 4000000}\n").unwrap();
    let doctor = stage.run(&["doctor"]).ok();
    assert!(
        doctor.contains("limits.running is 4000000, and this machine has"),
        "{doctor}"
    );
    stage.work.write("khlone.yml", "limitz: {}\n");
    let doctor = stage.run(&["doctor"]).ok();
    assert!(
        doctor.contains("limitz") && doctor.contains("limits.running is"),
        "{doctor}"
    );
}
