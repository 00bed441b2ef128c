//! What a brain planted in its worktree and its git, against every verb of ours and against the user's own git, with the
//! real binary: nothing of it runs on the host, and the repository's own settings are as they were.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{guard::attacks::PLANTED, stage::Stage, tools};

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
        let look = |when: &str, commands: &[&[&str]]| {
            for work in [&stage.work, &clone] {
                for args in commands {
                    let _may_fail = work.try_git(args);
                }
            }
            let ran: Vec<_> = fs::read_dir(owned.path()).unwrap().flatten().collect();
            // In its own sandbox a planted thing may run: the folder is not there.
            assert!(ran.is_empty(), "{name}: ran on the host {when}: {ran:?}");
        };
        look("at the user's own git", &GIT);
        for verb in VERBS {
            stage.run(verb);
            look(&format!("at {verb:?}"), &GIT[..1]);
        }
        look("after all of them", &GIT);
        assert_eq!(settings(&stage), before, "{name}");
        stage.work.git(&["fsck", "--strict"]);
    }
}

fn sandboxed() -> bool {
    Stage::new()
        .run(&["doctor"])
        .ok()
        .starts_with("sandbox  bubblewrap")
        || tools::skip("there is no sandbox here")
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

/// What git refuses to take home, with the outcome of the task that made it, and a word of why.
const REFUSED: [(&str, &str, &str); 7] = [
    (
        "d=$(printf '.g\\342\\200\\214it'); mkdir $d; echo x > $d/config",
        "partial",
        "a name that git refuses",
    ),
    (
        "b=$(git rev-parse HEAD:a.txt); t=$(printf '100644 blob %s\\t.git' $b | git mktree); git update-ref refs/heads/evil $(git commit-tree -m evil $t)",
        "done",
        "refs/heads/evil: not taken",
    ),
    (
        "printf '[submodule \"../x\"]\\npath = x\\nurl = -x\\n' > .gitmodules; git add .gitmodules; git commit -qm evil",
        "partial",
        "commits were refused",
    ),
    (
        "find \"$(git rev-parse --git-dir)\" -mindepth 1 -delete",
        "partial",
        "left uncommitted",
    ),
    (
        "file=$(git rev-parse HEAD:a.txt); echo $file > \"$(git rev-parse --git-dir)/HEAD\"",
        "partial",
        "no commit",
    ),
    (
        "git tag -m x v1; git tag -m y v2 v1; git update-ref refs/heads/file HEAD:a.txt; git tag tree HEAD^{tree}",
        "done",
        "",
    ),
    (
        "cd \"$(git rev-parse --git-dir)\"; seq -f x%g 12000 | xargs touch; cd - > /dev/null",
        "done",
        "",
    ),
];

#[test]
fn what_is_refused_stands_in_the_way_of_nothing() {
    if !sandboxed() {
        return;
    }
    for (script, outcome, why) in REFUSED {
        let stage = Stage::new();
        let (said, task) = stage.act(&format!("{script}\necho own > own"));
        assert_eq!(task["outcome"], outcome, "{script}: {task:#}");
        let reasons = task["reasons"].to_string();
        assert!(reasons.contains(why), "{script}: {reasons} {}", said.err);
        // The next one begins with a git that works, and commits what the first one could not.
        let (said, task) = stage.act(
            "rm -rf .gitmodules \"$(printf '.g\\342\\200\\214it')\"; echo on > on; git status > /dev/null",
        );
        assert_eq!(
            (said.code, &task["outcome"]),
            (0, &"done".into()),
            "{script}: {task:#}"
        );
        for file in ["own", "on"] {
            let home = stage
                .work
                .git(&["show", &format!("khlone/main/foreman.1:{file}")]);
            assert_eq!(home, file, "{script}");
        }
        assert_eq!(stage.clone().status(), "", "{script}");
        stage.work.git(&["fsck", "--strict"]);
        stage.run(&["fsck"]).ok();
    }
}
