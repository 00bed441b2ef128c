//! What a brain planted in its worktree and its git, against every verb of ours and against the user's own git, with the
//! real binary: nothing of it runs on the host, and the repository's own settings are as they were.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{guard::attacks::PLANTED, stage::Stage};

/// Every verb that looks at or changes what a clone has made; some refuse, and that is fine.
const VERBS: [&[&str]; 11] = [
    &["status"],
    &["show"],
    &["log"],
    &["diff"],
    &["doctor"],
    &["update"],
    &[
        "act",
        "--who",
        "@shell",
        "--await",
        "-m",
        "git status; echo on > on",
    ],
    &["ask", "--who", "@shell", "--await", "-m", "git log -1; git diff"],
    &["land"],
    &["zone", "repair"],
    &["zone", "remove", "main", "--force"],
];

/// What a user does in a worktree.
const GIT: [&[&str]; 4] = [
    &["status", "--porcelain"],
    &["diff", "HEAD", "--stat"],
    &["log", "-1", "-p", "--stat"],
    &["stash", "list"],
];

/// What decides what the user's git runs.
fn settings(stage: &Stage) -> BTreeMap<PathBuf, Vec<u8>> {
    let git = stage.work.0.join(".git");
    let mut found = BTreeMap::new();
    for name in ["config", "hooks", "info", "objects/info"] {
        let path = git.join(name);
        let below: Vec<_> = fs::read_dir(&path).into_iter().flatten().flatten().collect();
        for path in below.iter().map(fs::DirEntry::path).chain([path]) {
            if let Ok(bytes) = fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    found
}

fn withstand(attacks: &[(&str, &str)]) {
    for (name, script) in attacks {
        let stage = Stage::new();
        let owned = tempfile::Builder::new().prefix("owned").tempdir().unwrap();
        let before = settings(&stage);
        let script = format!(
            "OWNED={} MAIN='{}' ROOT='{}'\nexport OWNED MAIN ROOT; IFS='\n'\n{script}",
            owned.path().display(),
            stage.work.0.display(),
            stage.path().display()
        );
        stage.act(&script);
        let clone = stage.clone();
        let look = |when: &str| {
            for work in [&stage.work, &clone] {
                for args in GIT {
                    let _may_fail = work.try_git(args);
                }
            }
            let ran: Vec<_> = fs::read_dir(owned.path()).unwrap().flatten().collect();
            // In its own sandbox a planted thing may run: the folder is not there.
            assert!(ran.is_empty(), "{name}: ran on the host {when}: {ran:?}");
        };
        look("at the user's own git");
        for verb in VERBS {
            stage.run(verb);
            look(&format!("at {verb:?}"));
        }
        assert_eq!(settings(&stage), before, "{name}");
        stage.work.git(&["fsck", "--strict"]);
    }
}

fn sandboxed() -> bool {
    Stage::new().run(&["doctor"]).ok().starts_with("sandbox  T2")
}

#[test]
fn nothing_planted_runs_at_any_verb_first_part() {
    if sandboxed() {
        withstand(&PLANTED[..12]);
    }
}

#[test]
fn nothing_planted_runs_at_any_verb_second_part() {
    if sandboxed() {
        withstand(&PLANTED[12..]);
    }
}
