//! Callers that send garbage, too much, too little, or do not read.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::site::{Site, Talk, until};

#[test]
fn without_the_token_nothing_is_heard() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    for first in [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "hello", "params": { "protocol": 1, "token": "no" } }),
    ] {
        let mut talk = Talk(std::io::BufReader::new(site.raw()));
        talk.say(format!("{first}\n").as_bytes());
        assert_eq!(talk.hear().unwrap()["error"]["code"], -32001);
        assert!(talk.hear().is_none());
    }
}

#[test]
fn garbage_is_answered_and_the_daemon_lives() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let mut talk = site.greeted();
    for (frame, code) in [
        (&b"{\n"[..], -32700),
        (b"\xff\xfe\x00\n", -32700),
        (b"[]\n", -32600),
        (b"[1]\n", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}\n", -32601),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"x\":1}}\n",
            -32602,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"show\",\"params\":{\"task\":\"t-0000000000\"}}\n",
            -32010,
        ),
    ] {
        talk.say(frame);
        let answer = talk.hear().unwrap();
        let error = if answer.is_array() {
            &answer[0]["error"]
        } else {
            &answer["error"]
        };
        assert_eq!(error["code"], code, "{answer}");
    }
    talk.say(format!("{}\n", "[".repeat(100_000)).as_bytes());
    assert_eq!(talk.hear().unwrap()["error"]["code"], -32700);
    let mut endless = site.greeted();
    // The daemon may hang up before all of it is written.
    drop(endless.0.get_mut().write_all(&vec![b'x'; 2 << 20]));
    if let Some(answer) = endless.hear() {
        assert_eq!(answer["error"]["code"], -32700);
    }
    assert!(endless.hear().is_none());
    assert!(talk.ask("ping", &json!({}))["result"]["pid"].is_number());
}

#[test]
fn one_byte_and_silence_is_cut_off_while_others_are_served() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let began = Instant::now();
    let mut silent: Vec<_> = (0..20).map(|_| site.raw()).collect();
    for stream in &mut silent {
        stream.write_all(b"{").unwrap();
    }
    for _ in 0..50 {
        assert!(site.greeted().ask("ping", &json!({}))["result"].is_object());
    }
    for stream in silent {
        assert!(Talk(std::io::BufReader::new(stream)).hear().is_none());
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn hundreds_of_clients_at_once() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    thread::scope(|scope| {
        for _ in 0..300 {
            scope.spawn(|| {
                let mut talk = site.greeted();
                for _ in 0..5 {
                    assert!(talk.ask("status", &json!({}))["result"]["uptime"].is_number());
                }
            });
        }
    });
}

#[test]
fn watchers_that_never_read_cost_nobody_anything() {
    let site = Site::new();
    let config = site.path().join("home/.config/khlone");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.yml"), "limits: {watchers: 300}\n").unwrap();
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    let wordy = site.act("@shell", script);
    site.run(&["await", wordy.as_str()]);
    let before = site.memory();
    let watch = json!({ "task": wordy, "offset": 0, "wait": 5 });
    let mut deaf = Vec::new();
    for _ in 0..100 {
        let mut talk = site.greeted();
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "watch", "params": watch });
        // As much as fits into the socket; the daemon answers none of it past the first blocked write.
        talk.0.get_mut().set_nonblocking(true).unwrap();
        while talk.0.get_mut().write_all(format!("{call}\n").as_bytes()).is_ok() {}
        deaf.push(talk);
    }
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let (mut talk, mut offset, mut events) = (site.greeted(), 0, 0);
                loop {
                    let answer = talk.ask("watch", &json!({ "task": wordy, "offset": offset, "wait": 5 }));
                    let result = &answer["result"];
                    events += result["events"]
                        .as_array()
                        .unwrap_or_else(|| panic!("{answer}"))
                        .len();
                    offset = result["next"].as_u64().unwrap();
                    if result["ended"] == true {
                        break;
                    }
                }
                assert!(events > 0);
            });
        }
    });
    let grown = site.memory().saturating_sub(before);
    assert!(grown < 64 << 10, "the daemon grew by {grown} KiB");
    drop(deaf);
    until("the connections' end", || {
        let answer = site.greeted().ask("status", &json!({}));
        (answer["result"]["connections"] == 1).then_some(())
    });
}

impl Site {
    /// The daemon's resident memory in KiB.
    fn memory(&self) -> u64 {
        let pid = self.record().unwrap()["process"]["pid"].as_u64().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

#[test]
fn two_gigabytes_are_cut_off_and_a_half_open_caller_gets_its_answer() {
    let site = Site::new();
    site.run(&["daemon", "start"]);
    let before = site.memory();
    let mut flood = site.greeted();
    let chunk = vec![b'['; 1 << 20];
    let taken = (0..2048)
        .take_while(|_| flood.0.get_mut().write_all(&chunk).is_ok())
        .count();
    assert!(taken < 16, "{taken} MiB were taken");
    let grown = site.memory().saturating_sub(before);
    assert!(grown < 16 << 10, "the daemon grew by {grown} KiB");
    let mut half = site.greeted();
    half.say(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"}\n");
    half.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(half.hear().unwrap()["result"]["tasks"].is_array());
    assert!(half.hear().is_none());
}

#[test]
fn out_of_files_running_tasks_end_and_callers_are_served_again() {
    let site = Site::new();
    let few = "ulimit -n 64; exec \"$0\" daemon start";
    let (home, run) = (site.path().join("home"), site.path().join("run"));
    let env = [
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("HOME", home.into()),
        ("XDG_RUNTIME_DIR", run.into()),
    ];
    git_khlone::process::Cmd::new("sh")
        .only_env(env.map(|(name, value)| (name.into(), value)))
        .dir(&site.work.0)
        .args(["-c", few, env!("CARGO_BIN_EXE_git-khlone")])
        .output()
        .unwrap();
    let running = site.act("@shell", "until [ -e go ]; do sleep 0.05; done; echo x > x.txt");
    until("the start", || {
        site.task(&running).status.is_active().then_some(())
    });
    let path = site.record().unwrap()["socket"].as_str().unwrap().to_owned();
    // The kernel's backlog is full at some point; whoever got in waits there.
    let crowd: Vec<_> = (0..200)
        .filter_map(|_| {
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            let address = rustix::net::SocketAddrUnix::new(path.as_str()).unwrap();
            rustix::net::connect(&socket, &address).ok().map(|()| socket)
        })
        .collect();
    assert!(crowd.len() > 64, "{}", crowd.len());
    let tree = site.tree("foreman.1");
    std::fs::write(format!("{tree}/go"), "").unwrap();
    until("the end", || site.task(&running).status.is_over().then_some(()));
    assert_eq!(site.task(&running).outcome.unwrap().as_str(), "done");
    drop(crowd);
    assert!(site.greeted().ask("ping", &json!({}))["result"].is_object());
    let next = site.act("@shell", "true");
    site.run(&["await", next.as_str()]);
}
