//! What checkpoints cost a brain: the same work with them and without, in turn: `cargo bench --bench checkpoint`.
//!
//! The brain is a shell script that computes and writes files all the time, in a repository of many files
//! (`KHLONE_BENCH_FILES`), and times itself. "Without" is a least distance that it never reaches.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use git_khlone::process::Cmd;

const KHLONE: &str = env!("CARGO_BIN_EXE_git-khlone");
/// Pairs of runs.
const ROUNDS: usize = 5;
/// Rounds of work, a file each.
const WORK: &str = "s=$(date +%s%N); i=0; while [ $i -lt 100 ]; do i=$((i+1)); \
    head -c 20000000 /dev/zero | sha256sum > out$i.txt; done; e=$(date +%s%N); echo $((e-s)) > time.txt";

fn main() {
    let files = std::env::var("KHLONE_BENCH_FILES").map_or(15_000, |text| text.parse().unwrap());
    let place = Place::new(files);
    let (mut with, mut without, mut taken) = (Vec::new(), Vec::new(), 0);
    place.run("1h");
    for _ in 0..ROUNDS {
        // As close as they may come: only the share of the run that they may take keeps them apart.
        let (time, checkpoints) = place.run("0s");
        with.push(time);
        taken += checkpoints;
        without.push(place.run("1h").0);
    }
    let (with, without) = (median(with), median(without));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    println!(
        "{files} files, {:.1} checkpoints a run: {:.2} s with, {:.2} s without: {:+.1} % (goal +3 %)",
        f64::from(taken) / f64::from(u32::try_from(ROUNDS).unwrap()),
        with.as_secs_f64(),
        without.as_secs_f64(),
        (ratio - 1.0) * 100.0
    );
}

/// A repository with a home of its own; its daemon ends with it.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["home/.config/khlone", "run", "work"] {
            fs::create_dir_all(place.0.path().join(folder)).unwrap();
        }
        let git = |args: &[&str]| place.cmd("git", args);
        git(&["init", "-q", "-b", "main"]).output().unwrap();
        // A gc that git starts by itself works on behind the next step's back.
        git(&["config", "gc.auto", "0"]).output().unwrap();
        git(&["config", "maintenance.auto", "false"]).output().unwrap();
        let mut stream =
            String::from("commit refs/heads/main\ncommitter Ann <ann@example.com> 0 +0000\ndata 3\nall\n");
        for n in 0..files {
            let text = format!("file {n}\n");
            let path = format!("src/{}/f{n}.txt", n / 50);
            writeln!(stream, "M 644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
        }
        git(&["fast-import", "--quiet"]).input(stream).output().unwrap();
        git(&["reset", "-q", "--hard"]).output().unwrap();
        place
    }

    fn cmd(&self, program: &str, args: &[&str]) -> Cmd {
        let env = [
            ("PATH", std::env::var_os("PATH").unwrap_or_default()),
            ("HOME", self.0.path().join("home").into()),
            ("XDG_RUNTIME_DIR", self.0.path().join("run").into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ];
        let env = env.map(|(name, value)| (name.into(), value));
        let cmd = Cmd::new(program).only_env(env).dir(self.work()).args(args);
        cmd.patience(Duration::from_mins(20))
    }

    fn work(&self) -> PathBuf {
        self.0.path().join("work")
    }

    /// Does the work with checkpoints at this distance; gives its time by its own clock, and how many were kept.
    fn run(&self, distance: &str) -> (Duration, u32) {
        let config = self.0.path().join("home/.config/khlone/config.yml");
        fs::write(config, format!("limits: {{checkpoint: {distance}}}\n")).unwrap();
        let act = ["act", "--who", "@shell", "--await", "-m", WORK];
        let id = String::from_utf8(self.cmd(KHLONE, &act).output().unwrap()).unwrap();
        let kept = format!("refs/khlone/tasks/{}:attempts/1/checkpoints", id.trim());
        // None where the work was over before the first.
        let kept = self.cmd("git", &["ls-tree", "--name-only", &kept]).finish();
        let kept = kept.unwrap().stdout;
        let time = self.0.path().join("work.khlone/work-main.foreman.1/time.txt");
        let time = fs::read_to_string(time).unwrap();
        let kept = String::from_utf8(kept).unwrap().lines().count();
        (
            Duration::from_nanos(time.trim().parse().unwrap()),
            u32::try_from(kept).unwrap(),
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.cmd(KHLONE, &["daemon", "stop"]).finish());
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
