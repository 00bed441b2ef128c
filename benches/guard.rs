//! What tier T2 adds to the start of a task besides the brain: the private git folder brought up to date, and a
//! process in its sandbox instead of outside. `cargo bench --bench guard [-- REFS]`; the goal is 15 ms with 20,000 refs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use git_khlone::{
    guard::{
        gitdir::{HostGit, PrivateGit},
        sandbox::{Confinement, Network, tier::Probe},
    },
    process::Cmd,
};

const ROUNDS: usize = 31;

fn main() {
    let refs: usize = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(20_000);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let Some(bwrap) = Probe::run(&root.join("cache")).bwrap else {
        println!("bubblewrap does not work here");
        return;
    };
    let (main, tree, home) = (root.join("main"), root.join("tree"), root.join("home"));
    fs::create_dir(&home).unwrap();
    repository(&root, refs);
    let common = main.join(".git");
    let private = PrivateGit::at(common.join("khlone/gitdirs/main.foreman.1"));
    let host = HostGit {
        common: &common,
        admin: &common.join("worktrees/tree"),
        home: &home,
    };
    private.prepare(host).unwrap();
    let confined = Confinement {
        bwrap: Some(bwrap),
        work_dir: tree,
        folder: None,
        writes: true,
        git: Some(private.view(&common)),
        home: home.clone(),
        tmp: None,
        writable: Vec::new(),
        read_only: Vec::new(),
        hidden: Vec::new(),
        env: ["PATH", "HOME"]
            .map(|name| (name.into(), std::env::var_os(name).unwrap_or_default()))
            .into(),
        network: Network::Open,
        profile: None,
        own_program: Some(env!("CARGO_BIN_EXE_git-khlone").into()),
    };
    let free = Confinement {
        bwrap: None,
        git: None,
        own_program: None,
        ..confined.clone()
    };
    let (mut prepare, mut inside, mut outside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        prepare.push(time(|| private.prepare(host).unwrap()));
        inside.push(time(|| run(&confined)));
        outside.push(time(|| run(&free)));
    }
    let [prepare, inside, outside] = [prepare, inside, outside].map(median);
    println!(
        "{refs} refs: git folder {prepare:.1} ms, true inside {inside:.1} ms, outside {outside:.1} ms: {:.1} ms more (goal 15)",
        prepare + inside - outside
    );
}

fn repository(root: &Path, refs: usize) {
    let main = root.join("main");
    fs::create_dir(&main).unwrap();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
        // A gc that git starts by itself works on behind the next step's back.
        let who = [&who[..], &["-c", "gc.auto=0", "-c", "maintenance.auto=false"]].concat();
        Cmd::new("git").dir(&main).args(who).args(args)
    };
    git(&["init", "-q", "-b", "main"]).output().unwrap();
    git(&["commit", "-q", "--allow-empty", "-m", "first"])
        .output()
        .unwrap();
    let mut lines = String::new();
    for n in 0..refs {
        writeln!(lines, "create refs/heads/topic/{n} HEAD").unwrap();
    }
    git(&["update-ref", "--stdin"]).input(lines).output().unwrap();
    git(&["pack-refs", "--all"]).output().unwrap();
    git(&["worktree", "add", "-q", "-b", "khlone/main/foreman.1", "../tree"])
        .output()
        .unwrap();
}

fn run(confinement: &Confinement) {
    let argv = ["true"].map(OsString::from);
    confinement.run(&argv, Duration::from_secs(60)).unwrap();
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
