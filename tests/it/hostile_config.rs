//! A `khlone.yml` that came with a repository reaches nothing outside its own surroundings without `git khlone trust`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use git_khlone::process::Cmd;
use serde_json::Value;

use crate::stage::Stage;

/// What a hostile repository asks for, and what the refusal names.
const HOSTILE: [(&str, &str); 31] = [
    ("worktree: {root: ../home/.vim/pack}", "worktree.root"),
    ("worktree: {root: '~/.vim/pack'}", "worktree.root"),
    ("worktree: {root: '~'}", "worktree.root"),
    ("worktree: {root: /etc}", "worktree.root"),
    ("worktree: {root: /}", "worktree.root"),
    ("worktree: {root: ..}", "worktree.root"),
    ("worktree: {root: ../home}", "worktree.root"),
    ("worktree: {root: ../.hidden}", "worktree.root"),
    ("worktree: {root: ../zones/deeper}", "worktree.root"),
    ("worktree: {root: ../full}", "worktree.root"),
    ("worktree: {root: ../link-out}", "worktree.root"),
    ("worktree: {root: ../link-out/x}", "worktree.root"),
    ("worktree: {root: ../dangling}", "worktree.root"),
    ("worktree: {root: ../dangling/x}", "worktree.root"),
    ("worktree: {root: ../other}", "worktree.root"),
    ("worktree: {root: ../other/.git/hooks}", "worktree.root"),
    ("worktree: {root: ../zones/../../../etc}", "worktree.root"),
    ("worktree: {root: in-tree/x}", "worktree.root"),
    ("worktree: {root: .git/hooks}", "worktree.root"),
    ("worktree: {root: ../repo/.git/worktrees}", "worktree.root"),
    ("worktree: {root: \"../a\\nb\"}", "worktree.root"),
    ("branch: {prefix: release}", "branch.prefix"),
    ("branch: {prefix: Release}", "branch.prefix"),
    ("branch: {prefix: team/shared}", "branch.prefix"),
    ("limits: {running: 4000}", "limits.running"),
    ("limits: {clones: 5000, queue: 1000000}", "limits.clones"),
    ("limits: {blob: 999GiB, transcript: 999GiB}", "limits.blob"),
    ("limits: {task: 365d}", "limits.task"),
    ("limits: {keep_for: 9999d, keep: 4000000000}", "limits.keep"),
    (
        "commit: {max_file: 999GiB, max_files: 4000000000}",
        "commit.max_file",
    ),
    ("permissions: all", "permissions"),
];

/// What a repository may say by itself.
const HARMLESS: [&str; 8] = [
    "worktree: {root: ../zones}",
    "worktree: {root: ../not/../zones}",
    "worktree: {root: ../with-worktrees}",
    "branch: {prefix: agents}",
    "limits: {running: 1, task: 1h, keep: 10, blob: 1MiB}",
    "commit: never",
    "permissions: edits",
    "resume: never",
];

/// A repository with all kinds of things around it.
fn stage() -> Stage {
    let stage = Stage::new();
    let at = |name: &str| stage.path().join(name);
    fs::create_dir_all(at("home/.vim/pack")).unwrap();
    fs::create_dir_all(at("full")).unwrap();
    fs::write(at("full/index.php"), "").unwrap();
    symlink(at("home/.vim"), at("link-out")).unwrap();
    symlink(at("home/.config/later"), at("dangling")).unwrap();
    symlink(at("home/.vim"), stage.work.0.join("in-tree")).unwrap();
    let git = |args: &[&str]| stage.work.git(args);
    git(&["clone", "-q", ".", "../other"]);
    git(&["worktree", "add", "-q", "--detach", "../with-worktrees/one"]);
    git(&["branch", "release/1.0"]);
    git(&["update-ref", "refs/remotes/origin/team/shared/fix", "HEAD"]);
    stage
}

/// Everything around the repository, but what khlone keeps of its own.
fn around(stage: &Stage) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![stage.path()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let own = [
                stage.work.0.clone(),
                stage.path().join("home/.khlone"),
                stage.path().join("run"),
            ];
            if own.contains(&path) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

#[test]
fn a_repository_reaches_nothing_outside_without_trust() {
    let stage = stage();
    let before = around(&stage);
    for (text, named) in HOSTILE {
        stage.work.write("khlone.yml", text);
        let refused = stage.run(&["act", "--who", "@shell", "-m", "true"]);
        assert_eq!(refused.code, 4, "{text}: {}{}", refused.out, refused.err);
        assert!(
            refused.err.contains(named) && refused.err.contains("git khlone trust"),
            "{text}: {}",
            refused.err
        );
        assert_eq!(around(&stage), before, "{text}");
    }
    assert_eq!(stage.run(&["list", "tasks"]).ok(), "", "nothing was queued");
}

#[test]
fn a_repository_chooses_within_its_own_surroundings() {
    let stage = stage();
    for text in HARMLESS {
        stage.work.write("khlone.yml", text);
        let config: Value = serde_json::from_str(&stage.run(&["--json", "config"]).ok()).unwrap();
        assert_eq!(config["asks"], serde_json::json!([]), "{text}");
    }
    stage.work.write("khlone.yml", "worktree: {root: ../zones}");
    let (done, _) = stage.act("true");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(stage.clone().0.starts_with(stage.path().join("zones")));
    // The folder now holds a worktree of this repository's, and may go on to do so.
    stage
        .work
        .write("khlone.yml", "worktree: {root: ../zones}\nlimits: {task: 1h}");
    assert_eq!(
        stage
            .run(&["act", "--who", "@shell++", "--await", "-m", "true"])
            .code,
        0
    );
}

#[test]
fn what_the_user_names_or_trusts_is_open() {
    let stage = stage();
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(
        config.join("config.yml"),
        "worktree: {root: ~/trees}\nlimits: {running: 3}\n",
    )
    .unwrap();
    stage.work.write(
        "khlone.yml",
        "worktree: {root: ~/trees/repo}\nlimits: {running: 3}\n",
    );
    let (done, _) = stage.act("true");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(stage.clone().0.starts_with(stage.path().join("home/trees/repo")));
    stage.work.write(
        "khlone.yml",
        "worktree: {root: ~/elsewhere}\nlimits: {task: 9h}\n",
    );
    let shown: Value = serde_json::from_str(&stage.run(&["--json", "config"]).ok()).unwrap();
    assert_eq!(
        shown["config"]["limits"]["task"], "2h",
        "not before it is trusted: {shown:#}"
    );
    stage.run(&["trust", "--yes"]).ok();
    let shown: Value = serde_json::from_str(&stage.run(&["--json", "config"]).ok()).unwrap();
    assert_eq!(shown["config"]["limits"]["task"], "9h", "{shown:#}");
    let more = stage.run(&["act", "--who", "@shell++", "--await", "-m", "true"]);
    assert_eq!(more.code, 0, "{}", more.err);
    assert!(stage.path().join("home/elsewhere").is_dir());
}

/// What stands where `khlone.yml` is expected may be anything: no verb waits for it, follows it or is filled by it.
#[test]
fn a_config_file_that_is_none_is_refused_at_once() {
    let stage = Stage::new();
    let file = stage.work.0.join("khlone.yml");
    let elsewhere = stage.path().join("elsewhere.yml");
    fs::write(&elsewhere, "commit: never\n").unwrap();
    let link = |to: &str| symlink(to, &file).unwrap();
    let makers: [(&str, &dyn Fn()); 6] = [
        ("is a symbolic link", &|| link("/dev/zero")),
        ("is a symbolic link", &|| link(elsewhere.to_str().unwrap())),
        ("is a symbolic link", &|| link("a.txt")),
        ("not a regular file", &|| {
            Cmd::new("mkfifo").arg(&file).output().map(drop).unwrap();
        }),
        ("too many for a config file", &|| {
            fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        }),
        ("brackets within each other", &|| {
            fs::write(&file, "a: ".to_owned() + &"[".repeat(100_000)).unwrap()
        }),
    ];
    for (told, make) in makers {
        make();
        for args in [&["config"][..], &["act", "--who", "@shell", "true"]] {
            let said = stage.run(args);
            assert!(
                said.code != 0 && said.err.contains("khlone.yml") && said.err.contains(told),
                "{args:?}: {}",
                said.err
            );
        }
        assert_eq!(stage.run(&["status", "--porcelain"]).code, 0, "{told}");
        fs::remove_file(&file).unwrap();
    }
    // What is said of a link puts the file itself in its place.
    fs::create_dir(stage.work.0.join("con fig")).unwrap();
    stage.work.write("con fig/khlone.yml", "commit: never\n");
    symlink("con fig/khlone.yml", &file).unwrap();
    let refused = stage.run(&["act", "--who", "@shell", "true"]).err;
    let next = refused
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: "))
        .unwrap();
    let sh = Cmd::new("sh").args(["-ec", next]).dir(stage.path());
    sh.output().unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    stage.run(&["config"]).ok();
    fs::remove_file(&file).unwrap();
    // The committed one counts where there is no checkout.
    symlink("a.txt", &file).unwrap();
    stage.work.git(&["add", "khlone.yml"]);
    stage.work.git(&["commit", "-qm", "a link"]);
    let bare = stage.path().join("bare.git");
    Cmd::new("git")
        .args(["clone", "-q", "--bare", "repo", "bare.git"])
        .dir(stage.path())
        .output()
        .unwrap();
    let said = stage.run_in(&bare, &["act", "--zone", "main", "--who", "@shell", "true"]);
    assert!(
        said.code == 2 && said.err.contains("not a regular file"),
        "{}",
        said.err
    );
    assert!(said.err.contains("git ls-tree main khlone.yml"), "{}", said.err);
}

/// Whatever is asked of a repository that nobody trusts, nothing of it runs: not to tell its version either.
#[test]
fn nothing_of_a_repository_runs_to_look_at_it() {
    let stage = stage();
    let mark = stage.path().join("ran");
    stage.work.write(
        "x.sh",
        &format!("#!/bin/sh\n: > \"{}\"\necho 1.0\n", mark.display()),
    );
    let script = stage.work.0.join("x.sh");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    for brain in ["claude", "codex", "opencode", "gemini"] {
        let config = format!("hero: foreman@{brain}\nbrains: {{{brain}: {{path: ./x.sh}}}}\n");
        stage.work.write("khlone.yml", &config);
        for verb in [
            "",
            "status",
            "list brains",
            "list crew",
            "list needs",
            "show",
            "config",
            "doctor",
            "daemon start",
            "act -m true",
            "ask -m true",
            "zone repair main",
        ] {
            for json in [&[][..], &["--json"]] {
                let words: Vec<_> = json.iter().copied().chain(verb.split_whitespace()).collect();
                stage.run(&words);
                assert!(!mark.exists(), "{brain}: {words:?}");
            }
        }
        let trusted = stage.run(&["trust", "--yes"]).err;
        let listed = stage.run(&["list", "brains"]).ok();
        assert!(
            mark.exists(),
            "{brain} is not asked for its version: {trusted}{listed}"
        );
        fs::remove_file(&mark).unwrap();
    }
}
