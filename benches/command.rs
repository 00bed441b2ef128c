//! Whole commands against git, in one run, as ratios of medians: `cargo bench --bench command`.
//!
//! `act` to its durable return against `git -c core.fsync=all commit` of one file, in a small and a large repository
//! (`KHLONE_BENCH_FILES=100,100000`); the start of the program against `git --version`; ten thousand tasks listed
//! against `git for-each-ref` over as many packed refs (`KHLONE_BENCH_TASKS`). Goals stand beside the figures. A
//! first task keeps the clone busy, so that what is measured is the dispatch and not the work.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use git_khlone::{
    process::{Cmd, machine_id},
    refs::{Kind, ObjectSink, Pack, Repo, Site},
};

const ROUNDS: usize = 31;
const KHLONE: &str = env!("CARGO_BIN_EXE_git-khlone");

fn main() {
    let number = |name, default| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    start();
    let sizes = std::env::var("KHLONE_BENCH_FILES").unwrap_or_else(|_| "100,100000".to_owned());
    let mut acts = Vec::new();
    for size in sizes.split(',').map(|size| size.trim().parse().unwrap()) {
        acts.push(act(size));
    }
    if let [small, .., large] = acts.as_slice() {
        println!(
            "act, largest against smallest: {:.2} (goal 0.80 to 1.20)",
            ratio(*small, *large)
        );
    }
    list(number("KHLONE_BENCH_TASKS", 10_000));
}

/// A repository with a home of its own; its daemon ends with it.
struct Place {
    dir: tempfile::TempDir,
    busy: Option<String>,
}

impl Place {
    fn new(files: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("home/.config/khlone")).unwrap();
        fs::create_dir(dir.path().join("run")).unwrap();
        fs::write(
            dir.path().join("home/.config/khlone/config.yml"),
            "limits: {queue: 100000}\n",
        )
        .unwrap();
        let place = Self { dir, busy: None };
        fs::create_dir(place.work()).unwrap();
        place.git(&["init", "-q", "-b", "main"]);
        place.git(&["config", "user.name", "Ann"]);
        place.git(&["config", "user.email", "ann@example.com"]);
        place.git(&["config", "gc.auto", "0"]);
        let mut stream =
            String::from("commit refs/heads/main\ncommitter Ann <ann@example.com> 0 +0000\ndata 3\nall\n");
        for n in 0..files {
            let text = format!("file {n}\n");
            writeln!(
                stream,
                "M 644 inline src/{}/{}/f{n}.txt\ndata {}\n{text}",
                n / 2500,
                n / 50,
                text.len()
            )
            .unwrap();
        }
        place
            .cmd("git", &["fast-import", "--quiet"])
            .input(stream)
            .output()
            .unwrap();
        place.git(&["reset", "-q", "--hard"]);
        place
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn cmd(&self, program: &str, args: &[&str]) -> Cmd {
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.dir.path().join("home").into()),
            ("XDG_RUNTIME_DIR", self.dir.path().join("run").into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ];
        let env = env.map(|(name, value)| (name.into(), value));
        let cmd = Cmd::new(program).only_env(env).dir(self.work()).args(args);
        cmd.patience(Duration::from_mins(20))
    }

    fn git(&self, args: &[&str]) -> Duration {
        time(self.cmd("git", args))
    }

    /// Gives the clone something to do until the end.
    fn keep_busy(&mut self) {
        let id = self
            .cmd(KHLONE, &["act", "--who", "@shell", "sleep 3600"])
            .output()
            .unwrap();
        self.busy = Some(String::from_utf8(id).unwrap().trim().to_owned());
    }

    fn khlone(&self, args: &[&str]) -> Duration {
        time(self.cmd(KHLONE, args))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.cmd(KHLONE, &["daemon", "stop"]).finish());
        if let Some(task) = &self.busy {
            drop(self.cmd(KHLONE, &["cancel", task]).finish());
            drop(self.cmd(KHLONE, &["await", task]).finish());
        }
        drop(self.cmd(KHLONE, &["daemon", "stop"]).finish());
    }
}

fn start() {
    let place = Place::new(10);
    let (mut git, mut ours, mut status) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        git.push(place.git(&["--version"]));
        ours.push(place.khlone(&["--version"]));
        status.push(place.khlone(&["list", "zones"]));
    }
    let anchor = median(git);
    say(
        "start: git --version",
        anchor,
        "git-khlone --version",
        median(ours),
        "1.2",
    );
    say(
        "start: git --version",
        anchor,
        "git-khlone list zones",
        median(status),
        "2.5",
    );
}

fn act(files: usize) -> Duration {
    let mut place = Place::new(files);
    place.keep_busy();
    let (mut git, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        fs::write(place.work().join("src/0/0/f0.txt"), format!("round {round}\n")).unwrap();
        place.git(&["add", "src/0/0/f0.txt"]);
        git.push(place.git(&["-c", "core.fsync=all", "commit", "-qm", "one", "src/0/0/f0.txt"]));
        ours.push(place.khlone(&["act", "--who", "@shell", "true"]));
    }
    let ours = median(ours);
    say(
        &format!("{files} files: git commit, synced"),
        median(git),
        "act",
        ours,
        "1.0",
    );
    ours
}

/// As many finished tasks as asked for, each a tag as the first has it: what a listing reads is one object a task.
fn list(tasks: usize) {
    let mut place = Place::new(10);
    place.khlone(&["act", "--who", "@shell", "--await", "true"]);
    let tag = place.cmd(
        "sh",
        &[
            "-c",
            "git cat-file tag $(git for-each-ref --format='%(refname)' refs/khlone/tasks)",
        ],
    );
    let tag = String::from_utf8(tag.output().unwrap()).unwrap();
    let id = tag.lines().find_map(|line| line.strip_prefix("tag ")).unwrap();
    let repo = Repo::open(&place.work().join(".git")).unwrap();
    let site = Site::open(&repo, &machine_id()).unwrap();
    let mut pack = Pack::begin(&site).unwrap();
    let mut refs = String::new();
    for n in 0..tasks {
        let name = format!("t-{n:0>10}");
        let made = pack.put(Kind::Tag, tag.replace(id, &name).as_bytes()).unwrap();
        writeln!(refs, "create refs/khlone/tasks/{name} {made}").unwrap();
    }
    pack.publish().unwrap();
    let update = place.cmd("git", &["update-ref", "--stdin"]);
    update.input(refs).output().unwrap();
    place.git(&["pack-refs", "--all"]);
    let (mut git, mut ours, mut act) = (Vec::new(), Vec::new(), Vec::new());
    place.keep_busy();
    for _ in 0..ROUNDS {
        git.push(place.git(&["for-each-ref", "refs/khlone/tasks"]));
        ours.push(place.khlone(&["--json", "list", "tasks"]));
        act.push(place.khlone(&["act", "--who", "@shell", "true"]));
    }
    let anchor = median(git);
    let anchor_name = format!("{tasks} tasks: git for-each-ref");
    say(&anchor_name, anchor, "list tasks", median(ours), "4");
    say(&anchor_name, anchor, "act", median(act), "-");
}

fn time(cmd: Cmd) -> Duration {
    let start = Instant::now();
    cmd.output().unwrap();
    start.elapsed()
}

fn say(anchor_name: &str, anchor: Duration, name: &str, ours: Duration, goal: &str) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{anchor_name} {:.1} ms, {name} {:.1} ms, ratio {:.2} (goal {goal})",
        ms(anchor),
        ms(ours),
        ratio(anchor, ours)
    );
}

fn ratio(anchor: Duration, ours: Duration) -> f64 {
    ours.as_secs_f64() / anchor.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
