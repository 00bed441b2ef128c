//! One daemon, whoever races to start it; and none that stays without work.

use std::{fs, os::unix::fs::MetadataExt, thread};

use git_khlone::process::{Cmd, ProcessId};

use super::site::{Site, until};

fn pids_of_racers(site: &Site) -> Vec<String> {
    let racers = 24;
    let all: Vec<String> = thread::scope(|scope| {
        let start = || String::from_utf8(site.finish(&["daemon", "start"]).stderr).unwrap();
        let racing: Vec<_> = (0..racers).map(|_| scope.spawn(start)).collect();
        racing.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let mut pids: Vec<String> = all
        .iter()
        .map(|said| said.trim().rsplit(' ').next().unwrap().to_owned())
        .collect();
    pids.sort();
    pids.dedup();
    pids
}

#[test]
fn racing_callers_get_one_daemon_also_after_a_kill() {
    let site = Site::new();
    let first = pids_of_racers(&site);
    assert_eq!(first.len(), 1, "{first:?}\n{}", site.log());
    assert!(site.kill());
    let second = pids_of_racers(&site);
    assert_eq!(second.len(), 1, "{second:?}\n{}", site.log());
    assert_ne!(first, second);
    assert_eq!(site.log().matches("listening").count(), 2);
}

#[test]
fn a_start_names_only_a_daemon_that_answered_it() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let record = site.record().unwrap();
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(record["process"]["pid"].as_i64().unwrap()).unwrap());
    let pid = pid.unwrap();
    // It accepts connections and will never answer, as one does that is just dying.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let said = thread::scope(|scope| {
        let start = scope.spawn(|| String::from_utf8(site.finish(&["daemon", "start"]).stderr).unwrap());
        until("the caller's connection", || {
            (site.waiting_callers() > 0).then_some(())
        });
        site.kill();
        start.join().unwrap()
    });
    assert!(said.contains("daemon started"), "{said}");
    let second = site.record().unwrap()["process"]["pid"].as_u64().unwrap();
    assert!(said.trim().ends_with(&second.to_string()), "{said} {second}");
}

impl Site {
    /// Connections to the daemon's socket, accepted or not.
    fn waiting_callers(&self) -> usize {
        let socket = self.record().unwrap()["socket"].as_str().unwrap().to_owned();
        let all = fs::read_to_string("/proc/net/unix").unwrap();
        // One line is the listener itself.
        all.lines()
            .filter(|line| line.ends_with(&socket))
            .count()
            .saturating_sub(1)
    }
}

#[test]
fn a_caller_with_another_environment_reaches_the_same_daemon() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let cron = site
        .cmd(&["daemon", "start"])
        .env("XDG_RUNTIME_DIR", "/nonexistent");
    let said = String::from_utf8(cron.finish().unwrap().stderr).unwrap();
    assert!(said.contains("runs already"), "{said}");
}

#[test]
fn nobody_else_can_reach_the_socket_or_read_the_token() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let socket = site.record().unwrap()["socket"].as_str().unwrap().to_owned();
    let mode = |path: &str| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.rsplit_once('/').unwrap().0), 0o700);
    assert_eq!(
        mode(site.common().join("khlone/daemon.json").to_str().unwrap()),
        0o600
    );
}

#[test]
fn an_idle_daemon_leaves_nothing_behind_but_its_lock_file() {
    let site = Site::new();
    site.cmd(&["daemon", "start"])
        .env("KHLONE_IDLE", "0.2")
        .output()
        .unwrap();
    let record = site.record();
    until("the idle exit", || site.record().is_none().then_some(()));
    if let Some(record) = record {
        assert!(!fs::exists(record["socket"].as_str().unwrap()).unwrap());
    }
    assert!(site.common().join("khlone/daemon.lock").exists());
    assert_eq!(site.finish(&["daemon", "status"]).status.code(), Some(3));
    // Work that comes to a leaving daemon is done, by it or by the next.
    for n in 0..10 {
        let act = site.cmd(&["act", "--who", "@shell", "--await", &format!("echo {n} > n")]);
        act.env("KHLONE_IDLE", "0").output().unwrap();
    }
}

#[test]
fn a_daemon_that_is_told_to_stop_leaves_its_attempts_to_their_runners() {
    let site = Site::new();
    let gate = site.path().join("home/gate");
    let task = site.act(
        "@shell",
        "until [ -e go ]; do sleep 0.02; done; echo done > done.txt",
    );
    until("the start", || site.task(&task).status.is_active().then_some(()));
    site.run(&["daemon", "stop"]);
    assert!(site.task(&task).status.is_active() && !gate.exists());
    let tree = site.tree("foreman.1");
    fs::write(format!("{tree}/go"), "").unwrap();
    until("the end", || site.task(&task).status.is_over().then_some(()));
    assert_eq!(site.task(&task).outcome.unwrap().as_str(), "done");
}

#[test]
fn a_daemon_of_another_build_is_replaced_and_its_task_goes_on() {
    let site = Site::new();
    let old = site.path().join("git-khlone-before");
    fs::copy(env!("CARGO_BIN_EXE_git-khlone"), &old).unwrap();
    let script = "until test -e gate; do sleep 0.02; done; rm gate; echo x > x.txt";
    let (home, run) = (site.path().join("home"), site.path().join("run"));
    let env = [
        ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
        ("HOME".into(), home.into()),
        ("XDG_RUNTIME_DIR".into(), run.into()),
    ];
    let act = Cmd::new(&old)
        .only_env(env)
        .dir(&site.work.0)
        .args(["act", "--who", "@shell", "-m", script]);
    let first = String::from_utf8(act.output().unwrap()).unwrap();
    let first = first.trim();
    until("the first task", || {
        site.task(&first.parse().unwrap())
            .status
            .is_active()
            .then_some(())
    });
    let before = site.record().unwrap()["process"]["pid"].clone();
    let second = site.act("@shell++", "true");
    site.run(&["await", second.as_str()]);
    assert_ne!(site.record().unwrap()["process"]["pid"], before);
    fs::write(format!("{}/gate", site.tree("foreman.1")), "").unwrap();
    site.run(&["await", first]);
    assert_eq!(site.task(&first.parse().unwrap()).attempts.len(), 1);
    // Of the same build, it stays.
    let after = site.record().unwrap()["process"]["pid"].clone();
    site.act("@shell", "true");
    assert_eq!(site.record().unwrap()["process"]["pid"], after);
}

#[test]
fn a_program_that_was_removed_under_its_daemon_fails_no_task() {
    let site = Site::new();
    let old = site.path().join("git-khlone-before");
    fs::copy(env!("CARGO_BIN_EXE_git-khlone"), &old).unwrap();
    let act = |script: &str| {
        let cmd = site.cmd(&[]).into_inner();
        let env = cmd
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let act = Cmd::new(&old).only_env(env).dir(&site.work.0);
        let id = act
            .args(["act", "--who", "@shell", "-m", script])
            .output()
            .unwrap();
        String::from_utf8(id).unwrap().trim().parse().unwrap()
    };
    let first = act("until test -e gate; do sleep 0.02; done; rm gate");
    let second = act("echo x > x.txt");
    until("the first task", || {
        site.task(&first).status.is_active().then_some(())
    });
    fs::remove_file(&old).unwrap();
    fs::write(format!("{}/gate", site.tree("foreman.1")), "").unwrap();
    until("a start that fails", || {
        site.log().contains("a runner cannot be started").then_some(())
    });
    // The next command brings a daemon of its own.
    let third = site.act("@shell++", "true");
    for task in [first, second, third] {
        site.run(&["await", task.as_str()]);
    }
}

#[test]
fn a_stopped_daemon_is_told_at_once_and_loses_nothing() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let pid = site.record().unwrap()["process"]["pid"].as_i64().unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let begun = std::time::Instant::now();
    let acted = site.finish(&["act", "--who", "@shell", "-m", "true"]);
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    let told = String::from_utf8(acted.stderr).unwrap();
    assert!(acted.status.success(), "{told}");
    assert!(
        told.contains("is stopped") && told.contains(&format!("kill -CONT {pid}")),
        "{told}"
    );
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    let task = String::from_utf8(acted.stdout).unwrap();
    site.run(&["await", task.trim()]);
}

#[test]
fn a_daemon_whose_socket_is_gone_is_stopped_or_replaced() {
    let site = Site::new();
    let unlink = || {
        let record = site.record().unwrap();
        fs::remove_file(record["socket"].as_str().unwrap()).unwrap();
        let process: ProcessId = serde_json::from_value(record["process"].clone()).unwrap();
        process
    };
    site.run(&["daemon", "start"]);
    let first = unlink();
    site.run(&["daemon", "stop"]);
    assert!(!first.is_alive(), "{}", site.log());
    site.run(&["daemon", "start"]);
    let second = unlink();
    let task = site.act("@shell", "true");
    site.run(&["await", task.as_str()]);
    until("the end of the one that nobody reaches", || {
        (!second.is_alive()).then_some(())
    });
}
