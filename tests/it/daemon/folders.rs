//! Folders that go while a daemon runs: those for temporary files and for sockets belong to a login session, and the daemon
//! outlives it.

use std::fs;

use git_khlone::task::Outcome;

use super::site::Site;

#[test]
fn tasks_go_on_where_the_folder_for_temporary_files_has_gone() {
    let site = Site::new();
    let temp = site.path().join("session");
    fs::create_dir(&temp).unwrap();
    let cmd = |args: &[&str]| site.cmd(args).env("TMPDIR", &temp).output().unwrap();
    cmd(&["act", "--await", "--who", "@shell", "echo 1 > one"]);
    let daemon = site.record().unwrap();
    let running = site.act(
        "@shell++",
        "until [ -e go ]; do sleep 0.02; done; mktemp; echo 2 > two",
    );
    let tree = site.tree("foreman.2");
    fs::remove_dir_all(&temp).unwrap();
    fs::write(format!("{tree}/go"), "").unwrap();
    site.run(&["await", running.as_str()]);
    cmd(&[
        "act",
        "--await",
        "--who",
        "foreman.1",
        "echo 3 > three; git add three; git commit -qm three",
    ]);
    cmd(&["land", "foreman.1"]);
    assert_eq!(site.record().unwrap(), daemon);
    let tasks = site.with_ledger(|ledger| ledger.heads().unwrap());
    let outcomes: Vec<_> = tasks.iter().map(|head| head.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Done); 3]);
}

/// Nobody reaches the daemon any more: the next command has another one.
#[test]
fn a_daemon_whose_folder_for_sockets_has_gone_is_replaced() {
    let site = Site::new();
    site.done("@shell", "echo 1 > one");
    let daemon = site.record().unwrap();
    let running = site.act("@shell", "until [ -e go ]; do sleep 0.02; done; echo 2 > two");
    let tree = site.tree("foreman.1");
    fs::remove_dir_all(site.path().join("run/khlone")).unwrap();
    let next = site.done("@shell++", "echo 3 > three");
    assert_ne!(site.record().unwrap()["process"], daemon["process"]);
    fs::write(format!("{tree}/go"), "").unwrap();
    site.run(&["await", running.as_str()]);
    for id in [running, next] {
        let task = site.task(&id);
        let (outcome, attempts) = (task.outcome, task.attempts.len());
        assert_eq!((outcome, attempts), (Some(Outcome::Done), 1), "{task:?}");
    }
}
