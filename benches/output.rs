//! How fast a brain's output is taken in: `cargo bench --bench output`.
//!
//! A shell brain prints `KHLONE_BENCH_MB` megabytes and times itself; the anchor is the same script with `cat` writing
//! what it prints to a file. The goal is 50 MB/s; that memory stays bounded is a test.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{fs, time::Duration};

use git_khlone::process::Cmd;

const KHLONE: &str = env!("CARGO_BIN_EXE_git-khlone");
/// What is printed: the lines of a build, and one that never ends.
const KINDS: [(&str, &str); 2] = [
    (
        "lines",
        "yes '   Compiling something v1.2.3 (/home/ann/src/something)'",
    ),
    ("one line", "tr '\\0' x < /dev/zero"),
];
const ROUNDS: usize = 3;

fn main() {
    let megabytes: u64 = std::env::var("KHLONE_BENCH_MB").map_or(512, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for folder in ["home", "run", "work"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let cmd = |program: &str, args: &[&str]| {
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", root.join("home").into()),
            ("XDG_RUNTIME_DIR", root.join("run").into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ];
        let env = env.map(|(name, value)| (name.into(), value));
        let cmd = Cmd::new(program).only_env(env).dir(root.join("work"));
        cmd.args(args).patience(Duration::from_mins(20))
    };
    let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
    let init = ["init", "-q", "-b", "main"];
    cmd("git", &init).output().unwrap();
    let first = [&who[..], &["commit", "-q", "--allow-empty", "-m", "first"]].concat();
    cmd("git", &first).output().unwrap();
    for (kind, source) in KINDS {
        // The pipe is full when the reader is behind, so the time of printing is that of reading.
        let print = format!("{source} | head -c {}", megabytes * 1_000_000);
        let timed =
            |to: &str| format!("s=$(date +%s%N); {print}{to}; e=$(date +%s%N); echo $((e-s)) > time.log");
        let (mut ours, mut anchor) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            cmd(KHLONE, &["act", "--who", "@shell", "--await", "-m", &timed("")])
                .output()
                .unwrap();
            ours.push(nanos(&root.join("work.khlone/work-main.foreman.1/time.log")));
            cmd("sh", &["-c", &timed(" | cat > printed.log")])
                .output()
                .unwrap();
            anchor.push(nanos(&root.join("work/time.log")));
        }
        let rate = |times: Vec<u64>| megabytes * 1_000_000_000 / median(times).max(1);
        let (ours, anchor) = (rate(ours), rate(anchor));
        println!("{megabytes} MB, {kind}: {ours} MB/s (goal 50), cat to a file {anchor} MB/s");
    }
    drop(cmd(KHLONE, &["daemon", "stop"]).finish());
}

fn nanos(file: &std::path::Path) -> u64 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}
