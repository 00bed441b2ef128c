//! The daemon: `cargo bench --bench daemon`.
//!
//! RPC round trips with 1 and 64 clients at once; its memory when idle and with fifty running clones, and that of a
//! runner; how fast watchers are served. Goals stand beside the figures; each holds for this machine and load only.
//! The clones run without a sandbox, one `sleep` each, so that what is measured is ours.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use git_khlone::process::Cmd;
use serde_json::{Value, json};

const KHLONE: &str = env!("CARGO_BIN_EXE_git-khlone");
/// What a client waits between two requests, where it waits.
const PAUSE: Duration = Duration::from_millis(20);
/// How many clones run at once.
const CLONES: usize = 50;

fn main() {
    let place = Place::new();
    place.run(&["daemon", "start"]);
    let (all, own) = (Place::memory(place.daemon()), Place::own_memory(place.daemon()));
    println!("idle RSS: {} MB, its own {} MB (goal ≤ 8)", all >> 10, own >> 10);
    let (alone, _) = round_trips(&place, 1, Duration::ZERO);
    println!(
        "RPC round trip p50, 1 client: {} µs (goal ≤ 100)",
        alone.as_micros()
    );
    let (paced, _) = round_trips(&place, 64, PAUSE);
    println!(
        "RPC round trip p50, 64 clients, each 50 times a second: {} µs (goal ≤ 300)",
        paced.as_micros()
    );
    // Here one waits for the other's turn: what counts is how many are served.
    let (_, rate) = round_trips(&place, 64, Duration::ZERO);
    println!("RPC, 64 clients without a pause: {rate:.0} requests/s");
    watch(&place);
    running(&place);
}

/// A repository with a home and a daemon of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for folder in ["home/.config/khlone", "run", "repo"] {
            fs::create_dir_all(place.dir.path().join(folder)).unwrap();
        }
        let config =
            format!("sandbox: off\nlimits: {{clones: {CLONES}, running: {CLONES}, watchers: 100}}\n");
        fs::write(place.dir.path().join("home/.config/khlone/config.yml"), config).unwrap();
        let git = |args: &[&str]| drop(Cmd::new("git").dir(place.repo()).args(args).output().unwrap());
        git(&["init", "-q", "-b", "main"]);
        git(&["config", "user.name", "Ann"]);
        git(&["config", "user.email", "ann@example.com"]);
        git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        place
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn run(&self, args: &[&str]) -> String {
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap()),
            ("HOME", self.dir.path().join("home").into()),
            ("XDG_RUNTIME_DIR", self.dir.path().join("run").into()),
        ];
        let out = Cmd::new(KHLONE)
            .only_env(env.map(|(name, value)| (name.into(), value)))
            .dir(self.repo())
            .args(args)
            .patience(Duration::from_secs(300))
            .output();
        String::from_utf8(out.unwrap()).unwrap().trim().to_owned()
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.repo().join(".git/khlone/daemon.json")).unwrap()).unwrap()
    }

    fn daemon(&self) -> u64 {
        self.record()["process"]["pid"].as_u64().unwrap()
    }

    /// The resident memory of a process in KiB.
    fn memory(pid: u64) -> u64 {
        Self::of_status(pid, "VmRSS:")
    }

    /// What of it is the process's own, rather than pages of the program's file.
    fn own_memory(pid: u64) -> u64 {
        Self::of_status(pid, "RssAnon:")
    }

    fn of_status(pid: u64, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or("0")
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    fn connect(&self) -> Client {
        let record = self.record();
        let stream = UnixStream::connect(record["socket"].as_str().unwrap()).unwrap();
        let mut client = Client(BufReader::new(stream));
        client.ask("hello", &json!({ "protocol": 1, "token": record["token"] }));
        client
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["daemon", "stop"]);
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.0
            .get_mut()
            .write_all(format!("{call}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// The median over all of `clients` that ask one request at a time each, with a pause between; and how many requests
/// a second were served.
fn round_trips(place: &Place, clients: usize, pause: Duration) -> (Duration, f64) {
    let rounds = if pause.is_zero() { 20_000 / clients } else { 100 };
    let began = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let ask = || {
            let mut client = place.connect();
            let mut times = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let began = Instant::now();
                client.ask("ping", &json!({}));
                times.push(began.elapsed());
                std::thread::sleep(pause);
            }
            times
        };
        let asking: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        asking
            .into_iter()
            .flat_map(|asked| asked.join().unwrap())
            .collect()
    });
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    (times[times.len() / 2], rate)
}

/// One task's events, read through by many watchers at once.
fn watch(place: &Place) {
    const WATCHERS: usize = 32;
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let task = place.run(&["ask", "--who", "@shell", script]);
    place.run(&["await", &task]);
    let before = Place::memory(place.daemon());
    let began = Instant::now();
    let events: usize = std::thread::scope(|scope| {
        let read = || {
            let (mut client, mut offset, mut events) = (place.connect(), 0, 0);
            loop {
                let answer = client.ask("watch", &json!({ "task": task, "offset": offset, "wait": 0 }));
                let result = &answer["result"];
                events += result["events"].as_array().unwrap().len();
                offset = result["next"].as_u64().unwrap();
                if result["ended"] == true {
                    return events;
                }
            }
        };
        let reading: Vec<_> = (0..WATCHERS).map(|_| scope.spawn(read)).collect();
        reading.into_iter().map(|read| read.join().unwrap()).sum()
    });
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let rate = events as f64 / began.elapsed().as_secs_f64();
    let grown = Place::memory(place.daemon()).saturating_sub(before);
    println!("watch, {WATCHERS} watchers: {rate:.0} events/s; the daemon grew by {grown} KiB (goal: flat)");
}

/// Memory while many clones run.
fn running(place: &Place) {
    for _ in 0..CLONES - 1 {
        place.run(&["ask", "--who", "@shell++", "sleep 120"]);
    }
    place.run(&["ask", "--who", "foreman.1", "sleep 120"]);
    let mut client = place.connect();
    let bound = Instant::now() + Duration::from_secs(240);
    let pids = loop {
        let status = client.ask("status", &json!({}));
        let running = status["result"]["running"].as_array().unwrap().clone();
        let shown: Vec<Value> = running
            .iter()
            .map(|task| client.ask("show", &json!({ "task": task })))
            .collect();
        let pids: Vec<u64> = shown
            .iter()
            .filter_map(|shown| shown["result"]["task"]["attempts"][0]["pid"].as_u64())
            .collect();
        if pids.len() == CLONES || Instant::now() > bound {
            break pids;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    println!(
        "daemon with {} running clones: {} MB (goal ≤ 40)",
        pids.len(),
        Place::memory(place.daemon()) >> 10
    );
    let mut runners: Vec<u64> = pids.iter().map(|pid| Place::memory(*pid)).collect();
    runners.sort_unstable();
    if let Some(median) = runners.get(runners.len() / 2) {
        println!("a runner: {} MB (goal ≤ 12)", median >> 10);
    }
    let list = client.ask("list", &json!({}));
    for task in list["result"]["tasks"].as_array().unwrap() {
        client.ask("cancel", &json!({ "task": task["task"] }));
    }
}
