//! After the machine was started anew: daemons of all sites with open tasks, and the unit that starts them.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{scratch::Work, stage::Stage};

#[test]
fn every_site_with_open_tasks_gets_its_daemon_and_no_other() {
    let stage = Stage::new();
    stage.act("true");
    // One with an open task, and one that is gone since.
    let clone = |name: &str| {
        stage.work.git(&["clone", "-q", ".", &format!("../{name}")]);
        Work(stage.path().join(name))
    };
    let (other, gone) = (clone("other"), clone("gone"));
    let act = |work: &Work, script: &str| {
        let said = stage.run_in(&work.0, &["act", "--who", "@shell", script]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.ok()
    };
    let open = act(&other, "sleep 1000");
    let last = act(&gone, "true");
    stage.run_in(&gone.0, &["await", &last]).ok();
    let stop = |work: &Work| drop(stage.run_in(&work.0, &["daemon", "stop"]));
    for work in [&stage.work, &other, &gone] {
        stop(work);
    }
    fs::remove_dir_all(&gone.0).unwrap();
    // From anywhere; the runner of the task goes on meanwhile.
    let said = stage.run_in(&stage.path(), &["--json", "daemon", "start", "--all"]);
    let started: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err));
    let sites = started["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 1, "{started}");
    assert_eq!(sites[0]["path"], other.0.to_str().unwrap());
    assert_eq!(stage.run_in(&other.0, &["daemon", "status"]).code, 0);
    assert_ne!(stage.run(&["daemon", "status"]).code, 0);
    stage.run_in(&other.0, &["cancel", &open]).ok();
    stage.run_in(&other.0, &["await", &open]);
    stop(&other);
    let said = stage.run_in(&stage.path(), &["daemon", "start", "--all"]);
    assert!(
        said.err.contains("no repository of this machine has open tasks"),
        "{}",
        said.err
    );
}

#[test]
fn the_unit_is_put_enabled_and_taken_away() {
    let stage = Stage::new();
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let log = stage.path().join("systemctl.log");
    let fake = |text: &str| {
        fs::write(bin.join("systemctl"), text).unwrap();
        fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    fake(&format!("#!/bin/sh\necho \"$@\" >> '{}'\n", log.display()));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |args: &[&str]| {
        let done = stage
            .cmd(&stage.path(), args)
            .env("PATH", &path)
            .finish()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let unit = stage.path().join("home/.config/systemd/user/git-khlone.service");
    let told = run(&["daemon", "install"]);
    assert!(told.contains("loginctl enable-linger"), "{told}");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(
        text.contains("daemon start --all") && text.contains(&path),
        "{text}"
    );
    let calls = fs::read_to_string(&log).unwrap();
    assert_eq!(calls, "--user daemon-reload\n--user enable git-khlone.service\n");
    run(&["daemon", "uninstall"]);
    assert!(!unit.exists());
    assert!(run(&["daemon", "uninstall"]).contains("no unit was installed"));
    // In a container nothing answers: what is left to do is told.
    fake("#!/bin/sh\nexit 1\n");
    assert!(run(&["daemon", "install"]).contains("systemctl --user enable git-khlone.service"));
}
