//! Snapshots against git, as ratios measured in one run: `cargo bench --bench snapshot [-- FILES]`.
//!
//! The anchors are what one would otherwise use: `git status --porcelain=v2 -uall` to learn that nothing changed,
//! `git add -A` and `write-tree` on a private index to store what did. Rounds are interleaved, figures are medians.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::expect_used, reason = "a benchmark stops where it cannot go on")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git_khlone::{
    process::Cmd,
    refs::{MemorySink, Oid, Repo},
    worktree::snapshot::{Limits, Manifest, Snapshot, Source, snapshot},
};

const ROUNDS: usize = 15;
const CHANGES: usize = 100;
/// Files in a folder.
const FOLDER: usize = 14;

struct Bench {
    work: PathBuf,
    git_dir: PathBuf,
    repo: Repo,
    head: Oid,
}

fn main() {
    let files = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(20_000);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench::new(dir.path(), files);
    println!("{files} files, medians of {ROUNDS} rounds");
    bench.clean();
    bench.changed();
    bench.incremental();
}

impl Bench {
    fn new(dir: &Path, files: usize) -> Self {
        let main = dir.join("main");
        for number in 0..files {
            let path = path_of(&main, number);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let text = format!("file {number}\n").repeat(20 + number % 200);
            fs::File::create(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .expect("a file");
        }
        git(&main, &["init", "-q", "-b", "main"]);
        git(&main, &["add", "-A"]);
        git(&main, &["commit", "-q", "-m", "all"]);
        git(&main, &["worktree", "add", "-q", "-b", "work", "../work"]);
        let work = dir.join("work");
        let head = git(&work, &["rev-parse", "HEAD"]);
        // The index must be younger than the files, as it is in any worktree that is not brand new.
        std::thread::sleep(Duration::from_millis(50));
        git(&work, &["update-index", "-q", "--refresh", "--force-write-index"]);
        Self {
            git_dir: main.join(".git/worktrees/work"),
            repo: Repo::open(&main.join(".git")).expect("a repository"),
            head: Oid::from_str(&head).expect("an id"),
            work,
        }
    }

    fn snapshot(&self, previous: Option<&Manifest>) -> Snapshot {
        let index = self.git_dir.join("index");
        let source = Source {
            work_dir: &self.work,
            index: &index,
            repo: &self.repo,
            pinned: Some(self.head),
        };
        snapshot(&source, &Limits::default(), previous, &mut MemorySink::default()).expect("a snapshot")
    }

    fn clean(&self) {
        let (ours, theirs) = interleaved(
            || drop(self.snapshot(None)),
            || {
                drop(git(
                    &self.work,
                    &["--no-optional-locks", "status", "--porcelain=v2", "-uall"],
                ))
            },
        );
        report("clean tree: snapshot / git status", ours, theirs, 0.95);
    }

    fn changed(&self) {
        for number in 0..CHANGES {
            let path = path_of(&self.work, number * 197);
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"changed\n"))
                .expect("a file");
        }
        let private = self.git_dir.join("private-index");
        let (ours, theirs) = interleaved(
            || drop(self.snapshot(None)),
            || {
                fs::copy(self.git_dir.join("index"), &private).expect("an index");
                for args in [&["add", "-A"][..], &["write-tree"]] {
                    Cmd::new("git")
                        .dir(&self.work)
                        .env("GIT_INDEX_FILE", &private)
                        .args(args)
                        .output()
                        .expect("git");
                }
            },
        );
        report(
            "100 changes: snapshot / git add -A, write-tree",
            ours,
            theirs,
            0.70,
        );
    }

    fn incremental(&self) {
        std::thread::sleep(Duration::from_millis(100));
        let last = self.snapshot(None).manifest;
        let (ours, theirs) = interleaved(|| drop(self.snapshot(Some(&last))), || drop(self.snapshot(None)));
        report("checkpoint: incremental / full snapshot", ours, theirs, 0.50);
    }
}

fn path_of(top: &Path, number: usize) -> PathBuf {
    let folder = number / FOLDER;
    top.join(format!(
        "src-{}/part-{}/folder-{folder}/file-{number}.txt",
        folder % 7,
        folder % 31
    ))
}

fn interleaved(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let mut rounds: (Vec<Duration>, Vec<Duration>) = Default::default();
    for _ in 0..ROUNDS {
        rounds.0.push(time(&mut ours));
        rounds.1.push(time(&mut theirs));
    }
    (median(rounds.0), median(rounds.1))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, ours: Duration, theirs: Duration, goal: f64) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what}: {ours:.1?} / {theirs:.1?} = {ratio:.2} (goal {goal:.2})");
}

fn git(dir: &Path, args: &[&str]) -> String {
    // A gc that git starts by itself works on behind the next step's back.
    let who = [
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=false",
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
    ];
    let out = Cmd::new("git")
        .dir(dir)
        .args(who)
        .args(args)
        .output()
        .expect("git");
    String::from_utf8_lossy(&out).trim().to_owned()
}
