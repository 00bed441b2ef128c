//! What a user may say about the sandbox, and what is told of it, through the real binary; and that no process outlives
//! its task, with a sandbox and without.

use std::{fs, os::unix::fs::PermissionsExt};

use git_khlone::{guard::sandbox::survivors::marked, process::ProcessId};

use crate::{
    stage::{BOUND, Stage, said},
    tools,
};

/// Styles in which a process leaves its parent, its group, its session, its environment.
const STYLES: [&str; 7] = [
    "sleep 300 &",
    "nohup sleep 300 >/dev/null 2>&1 &",
    "(setsid sleep 300 >/dev/null 2>&1 </dev/null &)",
    "sh -c '(setsid sh -c \"trap : TERM HUP INT; sleep 300 & sleep 300\" >/dev/null 2>&1 </dev/null &)'",
    "setsid -f env -i \"$(command -v sleep)\" 300 >/dev/null 2>&1 </dev/null",
    "(exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; setsid -f sleep 300 >/dev/null 2>&1 </dev/null)",
    "sh -c 'kill -STOP $$; sleep 300' >/dev/null 2>&1 &",
];

fn user_config(stage: &Stage, text: &str) {
    let folder = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.yml"), text).unwrap();
}

/// Processes that run `sleep 300` and stand in the clone's worktree, whatever became of their environment.
fn sleepers(stage: &Stage) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let is_sleep = read("cmdline").windows(4).any(|word| word == b"\x00300");
        let inside = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(stage.path()));
        if is_sleep && inside {
            found.push(String::from_utf8_lossy(&read("cmdline")).into_owned());
        }
    }
    found
}

#[test]
fn nothing_outlives_its_task_at_its_end_at_cancel_and_at_time_out() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::new();
        let daemons = STYLES.join("\n");
        user_config(&stage, &format!("sandbox: {sandbox}\n"));
        let (done, task) = stage.act(&daemons);
        assert_eq!(done.code, 0, "{sandbox} {}", done.err);
        assert_eq!(sleepers(&stage), Vec::<String>::new(), "{sandbox}: after its end");
        let id = stage
            .run(&[
                "act",
                "--who",
                "@shell",
                "-m",
                &format!("{daemons}\ntouch up; exec sleep 300"),
            ])
            .ok();
        let clone = stage.clone();
        stage.until("the brain runs", || clone.read("up"));
        stage.run(&["cancel", &id]).ok();
        assert_eq!(stage.run(&["await", &id]).code, 6);
        assert_eq!(sleepers(&stage), Vec::<String>::new(), "{sandbox}: after cancel");
        user_config(&stage, &format!("sandbox: {sandbox}\nlimits: {{task: 1s}}\n"));
        let late = stage.run(&[
            "act",
            "--who",
            "@shell",
            "--await",
            "-m",
            &format!("{daemons}\nexec sleep 300"),
        ]);
        assert_eq!(late.code, 7, "{}", late.err);
        assert_eq!(
            sleepers(&stage),
            Vec::<String>::new(),
            "{sandbox}: after time-out"
        );
        assert_eq!(marked("KHLONE_TASK", task["task"].as_str().unwrap()), []);
    }
}

#[test]
fn nothing_outlives_a_killed_runner() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::new();
        user_config(&stage, &format!("sandbox: {sandbox}\nlimits: {{attempts: 1}}\n"));
        let script = "setsid -f sleep 300 >/dev/null 2>&1 </dev/null; touch up; exec sleep 300";
        let id = stage.run(&["act", "--who", "@shell", "-m", script]).ok();
        let pid = stage.until("the brain runs", || {
            let up = stage.run(&["path"]).out;
            fs::metadata(format!("{}/up", up.trim())).ok()?;
            stage.task(&id)["attempts"][0]["pid"].as_i64()
        });
        assert!(!sleepers(&stage).is_empty());
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        stage.until("the rest is gone", || sleepers(&stage).is_empty().then_some(()));
    }
}

#[test]
fn nothing_outlives_its_task_under_a_killed_daemon() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::new();
        user_config(&stage, &format!("sandbox: {sandbox}\n"));
        let script = |end: &str| format!("{}\ntouch up; {end}", STYLES.join("\n"));
        let waits = "until test -e go; do sleep 0.02; done; rm up go";
        let first = stage.start(&script(waits));
        let second = stage.start(&script("exec sleep 300"));
        let clone = stage.until("the worktree", || {
            let path = stage.run(&["path"]).out;
            Some(crate::scratch::Work(path.trim().into())).filter(|clone| !clone.0.as_os_str().is_empty())
        });
        stage.until("the brain runs", || clone.read("up"));
        assert!(!sleepers(&stage).is_empty());
        kill_daemon(&stage);
        // The brain lives on, and ends without a daemon; so does all that it has started.
        clone.write("go", "");
        stage.until("the end", || {
            (stage.task(&first)["status"] == "done" && sleepers(&stage).is_empty()).then_some(())
        });
        stage.run(&["daemon", "start"]).ok();
        stage.until("the next brain runs", || clone.read("up"));
        kill_daemon(&stage);
        stage.run(&["cancel", &second]).ok();
        assert_eq!(stage.run(&["await", &second]).code, 6, "{sandbox}");
        assert_eq!(sleepers(&stage), Vec::<String>::new(), "{sandbox}: after cancel");
        for task in [&first, &second] {
            assert_eq!(marked("KHLONE_TASK", task), [], "{sandbox}");
        }
    }
}

/// Kills the daemon at once, and waits for its death.
fn kill_daemon(stage: &Stage) {
    let record = fs::read(stage.work.0.join(".git/khlone/daemon.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let process: ProcessId = serde_json::from_value(record["process"].clone()).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    stage.until("its death", || (!process.is_alive()).then_some(()));
}

#[test]
fn the_users_word_on_the_sandbox_counts_and_is_told() {
    let stage = Stage::new();
    stage.work.write("khlone.yml", "sandbox: off\n");
    user_config(&stage, "sandbox: require\n");
    let doctor = stage.run(&["doctor"]).ok();
    if doctor.starts_with("sandbox  none") {
        tools::skip("there is no sandbox here");
        return;
    }
    assert!(
        doctor.starts_with("sandbox  bubblewrap (sandbox: require, network: open)"),
        "{doctor}"
    );
    stage.run(&["trust", "--yes"]).ok();
    let (_, task) = stage.act("true");
    assert_eq!(task["attempts"][0]["tier"], "T2");
    user_config(&stage, "sandbox: off\n");
    let (done, task) = stage.act("true");
    assert_eq!(task["attempts"][0]["tier"], "T0");
    assert!(done.err.contains("sandbox is off"), "{}", done.err);
    assert!(
        stage
            .run(&["doctor"])
            .ok()
            .starts_with("sandbox  none (sandbox: off")
    );
    // Where there can be none, what needs one is refused before anything is queued.
    user_config(&stage, "sandbox: require\n");
    let cmd = stage.cmd(&stage.work.0, &["act", "--who", "@shell", "-m", "true"]);
    let none = said(cmd.env("PATH", path_without_bwrap(&stage)).patience(BOUND));
    assert_eq!((none.code, none.out.as_str()), (4, ""), "{}", none.err);
    assert!(none.err.contains("bubblewrap"), "{}", none.err);
}

/// A `PATH` with all of the usual one but bubblewrap.
pub(crate) fn path_without_bwrap(stage: &Stage) -> std::path::PathBuf {
    let folder = stage.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    for from in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(from).into_iter().flatten().flatten() {
            if entry.file_name() != "bwrap" {
                drop(std::os::unix::fs::symlink(
                    entry.path(),
                    folder.join(entry.file_name()),
                ));
            }
        }
    }
    folder
}

#[test]
fn no_network_is_none_and_never_claimed_without_a_sandbox() {
    let stage = Stage::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let reach =
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo reached || echo cut off");
    let ask = |stage: &Stage| stage.run(&["ask", "--who", "@shell", "--await", "-m", &reach]);
    if stage.run(&["doctor"]).ok().starts_with("sandbox  none") {
        tools::skip("there is no sandbox here");
        return;
    }
    assert_eq!(ask(&stage).out, "reached\n");
    // Either side may close it, neither can open it for the other.
    stage.work.write("khlone.yml", "network: none\n");
    assert_eq!(ask(&stage).out, "cut off\n");
    assert!(stage.run(&["show"]).ok().contains("no network"));
    stage.work.write("khlone.yml", "network: open\n");
    user_config(&stage, "network: none\n");
    assert_eq!(ask(&stage).out, "cut off\n");
    user_config(&stage, "network: none\nsandbox: off\n");
    let refused = ask(&stage);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("network: none"), "{}", refused.err);
}

#[test]
fn the_user_names_what_else_can_be_seen_and_changed() {
    let stage = Stage::new();
    for name in ["notes", "data", "private"] {
        fs::create_dir_all(stage.path().join("home").join(name)).unwrap();
        fs::write(stage.path().join("home").join(name).join("f"), name).unwrap();
    }
    user_config(&stage, "readable: [~/notes]\nwritable: [~/data]\n");
    let script = "cat ~/notes/f ~/data/f; cat ~/private/f && echo seen; echo x > ~/notes/f || echo kept; echo new > ~/data/f";
    let (done, task) = stage.act(script);
    assert_eq!(done.code, 0, "{}", done.err);
    if task["attempts"][0]["tier"] == "T2" {
        assert_eq!(task["answer"], "notesdatakept\n", "{task:#}");
    }
    assert_eq!(
        fs::read_to_string(stage.path().join("home/data/f")).unwrap(),
        "new\n"
    );
    stage.work.write("khlone.yml", "writable: [~/private]\n");
    let refused = stage.run(&["act", "--who", "@shell", "-m", "true"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
}

#[test]
fn the_environment_is_listed_by_name() {
    let stage = Stage::new();
    let cmd = stage.cmd(&stage.work.0, &["act", "--who", "@shell", "--await", "-m", "env"]);
    let mut cmd = cmd.env("HTTPS_PROXY", "http://proxy.example:3128");
    for n in 0..50 {
        cmd = cmd.env(format!("CANARY_{n}"), format!("canary-value-{n}"));
    }
    let done = said(cmd);
    assert_eq!(done.code, 0, "{}", done.err);
    let log = stage.run(&["log"]).ok();
    assert!(
        log.contains("HTTPS_PROXY=") && !log.contains("canary-value"),
        "{log}"
    );
    let listed = stage.run(&["show", "--env"]).ok();
    let dropped = listed
        .lines()
        .filter(|line| line.starts_with("dropped  CANARY_"))
        .count();
    assert_eq!(dropped, 50, "{listed}");
    assert!(
        listed.contains("passed   HTTPS_PROXY\n") && listed.contains("passed   KHLONE_TASK\n"),
        "{listed}"
    );
    assert!(!listed.contains("canary-value"), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&stage.run(&["--json", "show", "--env"]).ok()).unwrap();
    assert_eq!(json["format"], 1);
}

#[test]
fn unix_sockets_of_the_machine_are_out_of_reach_without_a_network_and_for_an_ask() {
    let stage = Stage::new();
    // Outside of homes, temp and run folders, which are covered anyway.
    let Ok(folder) = tempfile::Builder::new().prefix("khlone-test-").tempdir_in("/srv") else {
        return;
    };
    if stage.run(&["doctor"]).ok().starts_with("sandbox  none") {
        return;
    }
    let path = folder.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let reach = format!(
        "/usr/bin/python3 -c 'import socket as k; k.socket(k.AF_UNIX).connect(\"{}\")' 2>&1 && echo reached || echo cut off",
        path.display()
    );
    let said = |verb: &str| {
        let done = stage.run(&[verb, "--who", "@shell", "--await", "-m", &reach]);
        assert_eq!(done.code, 0, "{}", done.err);
        serde_json::from_str::<serde_json::Value>(&stage.run(&["--json", "show"]).ok()).unwrap()["answer"]
            .as_str()
            .unwrap()
            .lines()
            .rfind(|line| !line.is_empty())
            .unwrap()
            .to_owned()
    };
    assert_eq!(said("act"), "reached");
    assert_eq!(said("ask"), "cut off");
    stage.work.write("khlone.yml", "network: none\n");
    assert_eq!(said("act"), "cut off");
    // One that is bound anew in the same folder while the sandbox is there.
    let id = stage.start(&format!(
        "touch up; until test -e go; do sleep 0.02; done; {reach}"
    ));
    let clone = stage.clone();
    stage.until("the brain runs", || clone.read("up"));
    fs::remove_file(&path).unwrap();
    let _again = std::os::unix::net::UnixListener::bind(&path).unwrap();
    clone.write("go", "");
    stage.run(&["await", &id]).ok();
    let answer = stage.task(&id)["answer"].to_string();
    assert!(answer.contains("cut off"), "{answer}");
}

#[test]
fn secrets_in_names_are_not_written_down() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::new();
        user_config(&stage, &format!("sandbox: {sandbox}\n"));
        let secret = format!("ghp_{}", "Zq7Xv3Lm9Kt2Rw8Pb5Nc1Hd6Jf4Gs0Ya3UeB");
        let script = format!("echo x > {secret}; git branch b-{secret}; git tag t-{secret}");
        let (_, task) = stage.act(&script.replace(
            &secret,
            "$(printf ghp_; printf Zq7Xv3Lm9Kt2Rw8Pb5Nc1Hd6Jf4Gs0Ya3UeB)",
        ));
        let id = task["task"].as_str().unwrap();
        let effects = stage.work.git(&[
            "cat-file",
            "-p",
            &format!("refs/khlone/tasks/{id}:attempts/1/effects.json"),
        ]);
        assert!(
            effects.contains("redacted") && !effects.contains(&secret),
            "{sandbox}: {effects}"
        );
        assert!(!task.to_string().contains(&secret), "{sandbox}: {task:#}");
    }
}

#[test]
fn only_named_hosts_are_reached_and_others_are_named_in_the_task() {
    use std::io::{Read, Write};
    let stage = Stage::new();
    if stage.run(&["doctor"]).ok().starts_with("sandbox  none") {
        return;
    }
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _any = stream.read_exact(&mut [0; 5]);
            let _any = stream.write_all(b"hello\n");
        }
    });
    user_config(&stage, &format!("network: {{allow: ['127.0.0.1:{port}']}}\n"));
    // A repository narrows it, and opens nothing.
    stage.work.write("khlone.yml", "network: open\n");
    let script = format!(
        "through() {{ bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; printf \"CONNECT $1 HTTP/1.1\\r\\n\\r\\nping!\" >&3; cat <&3' x $1; }}\n\
         through 127.0.0.1:{port} | tail -n 1; through evil.example:443 | head -n 1; through localhost:{port} | head -n 1\n\
         bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null || echo cut off; echo $HTTPS_PROXY"
    );
    let (done, task) = stage.act(&script);
    assert_eq!(done.code, 0, "{}", done.err);
    let answer = task["answer"].as_str().unwrap();
    assert_eq!(
        answer.trim_end().replace('\r', ""),
        "hello\nHTTP/1.1 403 Forbidden\nHTTP/1.1 403 Forbidden\ncut off\nhttp://127.0.0.1:3128"
    );
    let attempt = &task["attempts"][0];
    assert_eq!(attempt["network"], "allow");
    assert_eq!(attempt["hosts"], serde_json::json!([format!("127.0.0.1:{port}")]));
    assert!(
        task["reasons"]
            .to_string()
            .contains("evil.example:443 was refused"),
        "{task:#}"
    );
    stage
        .work
        .write("khlone.yml", "network: {allow: [other.example]}\n");
    let (_, task) = stage.act(&script);
    assert!(!task["answer"].as_str().unwrap().contains("hello"), "{task:#}");
    user_config(&stage, "network: {allow: [example.com]}\nsandbox: off\n");
    assert_eq!(stage.run(&["act", "--who", "@shell", "-m", "true"]).code, 4);
    let left = fs::read_dir(stage.path().join("run/khlone")).unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "net"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_cancel_reaches_what_the_brain_waits_for() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::new();
        fs::create_dir_all(stage.path().join("home/.config/khlone")).unwrap();
        let config = stage.path().join("home/.config/khlone/config.yml");
        fs::write(config, format!("sandbox: {sandbox}\n")).unwrap();
        // A shell takes no notice of signals while it waits for its command.
        let id = stage.start("echo up; sleep 300");
        stage.until("the first word", || {
            let log = stage.run(&["log", &id]).out;
            log.contains("up").then_some(())
        });
        let began = std::time::Instant::now();
        stage.run(&["cancel", &id]).ok();
        assert_eq!(stage.run(&["await", &id]).code, 6);
        // Each step of the grace is 5 s.
        assert!(began.elapsed().as_secs() < 4, "{sandbox}: {:?}", began.elapsed());
    }
}

/// A bubblewrap that every other time is asked to cover a folder that has gone in the meantime.
fn unsteady_bwrap(stage: &Stage) -> std::ffi::OsString {
    let folder = stage.path().join("unsteady");
    fs::create_dir(&folder).unwrap();
    let real = git_khlone::process::Cmd::new("sh")
        .args(["-c", "command -v bwrap"])
        .output()
        .unwrap();
    let script = format!(
        "#!/bin/sh\ncd '{}' || exit 2\nif rm gone 2>/dev/null; then exec '{real}' \"$@\"; fi\n: >gone; echo >>failed\n\
         exec '{real}' --ro-bind / / --tmpfs /has-gone \"$@\"\n",
        folder.display(),
        real = String::from_utf8_lossy(&real).trim(),
    );
    let program = folder.join("bwrap");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap()
}

#[test]
fn a_folder_that_goes_while_it_is_covered_fails_no_step_and_runs_nothing_twice() {
    if !tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::with(&[
        ("a.txt", "a\n"),
        ("khlone.yml", "worktree: {setup: ['echo set >> setup.log']}\n"),
        (".gitignore", "*.log\n"),
    ]);
    let path = unsteady_bwrap(&stage);
    let run = |args: &[&str]| said(stage.cmd(&stage.work.0, args).env("PATH", &path));
    run(&["trust", "--yes"]).ok();
    let script =
        "echo ran >> ran.log; echo b > b.txt; git add b.txt; git commit -qm b; echo c > c.txt; cat setup.log";
    let acted = run(&["act", "--who", "@shell", "--await", "-m", script]);
    assert_eq!(acted.code, 0, "{}", acted.err);
    let failed = fs::read_to_string(stage.path().join("unsteady/failed")).unwrap();
    assert!(failed.lines().count() >= 4, "setup, brain, commit and import");
    let clone = stage.clone();
    assert_eq!(clone.read("ran.log").as_deref(), Some("ran\n"));
    assert_eq!(clone.read("setup.log").as_deref(), Some("set\n"));
    let log = stage
        .work
        .git(&["log", "--format=%s", "main..khlone/main/foreman.1"]);
    assert_eq!(log.lines().count(), 2, "{log}");
}
