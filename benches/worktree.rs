//! Zone creation against `git worktree add`, in one run, as ratios of medians.
//!
//! `cargo bench --bench worktree`; `KHLONE_BENCH_FILES=20000,100000` chooses the sizes. Goals: at most 1.05 at any
//! size, 0.70 from 15k files on. Nothing is deleted in between: that slows ext4 down for whoever comes next.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use git_khlone::{
    process::Cmd,
    refs::{Repo, branch_ref},
    worktree::create::{Want, ensure},
};

const ROUNDS: usize = 5;

fn main() {
    let sizes = std::env::var("KHLONE_BENCH_FILES").unwrap_or_else(|_| "300,3000,20000".to_owned());
    for size in sizes.split(',').map(|size| size.trim().parse().unwrap()) {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().canonicalize().unwrap().join("app");
        fill(&main, size);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // Turn about, so that neither always pays for writing back what the other wrote.
            if round % 2 == 0 {
                theirs.push(git_worktree_add(&main, round));
            }
            ours.push(khlone(&main, round));
            if round % 2 == 1 {
                theirs.push(git_worktree_add(&main, round));
            }
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!(
            "{size:>7} files: git worktree add {:>6.1} ms, zone creation {:>6.1} ms, ratio {:.2}",
            theirs.as_secs_f64() * 1e3,
            ours.as_secs_f64() * 1e3,
            ours.as_secs_f64() / theirs.as_secs_f64()
        );
    }
}

/// A repository of `size` files of about 2 kB in folders of fifty, packed.
fn fill(main: &Path, size: usize) {
    for n in 0..size {
        let folder = main.join(format!("src/{}/{}", n / 2500, n / 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join(format!("f{n}.txt")),
            format!("line {n}\n").repeat(200),
        )
        .unwrap();
    }
    git(main, &["init", "-q", "-b", "main"]);
    // A gc that git starts by itself works on behind the next step's back.
    git(main, &["config", "gc.auto", "0"]);
    git(main, &["config", "maintenance.auto", "false"]);
    git(main, &["config", "user.name", "Ann"]);
    git(main, &["config", "user.email", "ann@example.com"]);
    git(main, &["add", "-A"]);
    git(main, &["commit", "-qm", "all"]);
    git(main, &["gc", "-q"]);
}

fn git(dir: &Path, args: &[&str]) {
    let git = Cmd::new("git").dir(dir).args(args);
    git.patience(Duration::from_mins(20)).output().unwrap();
}

fn git_worktree_add(main: &Path, round: usize) -> Duration {
    let name = format!("git-{round}");
    let place = main.with_file_name("git.holder").join(&name);
    let start = Instant::now();
    git(
        main,
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            &name,
            place.to_str().unwrap(),
            "main",
        ],
    );
    start.elapsed()
}

fn khlone(main: &Path, round: usize) -> Duration {
    let branch = format!("khlone/main/foreman.{round}");
    let place = main
        .with_file_name("app.khlone")
        .join(format!("app-main.foreman.{round}"));
    let start = Instant::now();
    let repo = Repo::discover(main).unwrap();
    let tip = repo.ref_target(&branch_ref("main")).unwrap().unwrap();
    let want = Want {
        place: &place,
        branch: &branch,
        start: tip,
        folders: &[],
    };
    ensure(&repo, &want).unwrap();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
