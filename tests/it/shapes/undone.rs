//! What a clone's worktree alone has is saved with it, and comes back as it was.

use crate::{scratch::Work, stage::Stage};

/// How a person leaves a clone's worktree, in its shell.
const LEFT: [(&str, &str); 7] = [
    ("detached", "git checkout -q --detach; echo d > d; git add d; git commit -qm mine"),
    (
        "detached with a reset",
        "git checkout -q --detach; echo d > d; git add d; git commit -qm mine; git reset -q --hard HEAD~1; echo w > w",
    ),
    (
        "a rebase half way",
        "git checkout -q -b mine HEAD~1; for n in 1 2 3; do echo $n > m$n; git add m$n; git commit -qm m$n; done
         GIT_SEQUENCE_EDITOR='sed -i 2s/pick/edit/' git rebase -q -i --onto @{-1} HEAD~3 2>/dev/null; git checkout -q --detach
         git status | grep -q 'rebase in progress'",
    ),
    (
        "a rebase in conflict",
        "git checkout -q -b mine HEAD~1; echo mine > one; git add one; git commit -qm mine; git rebase -q @{-1} 2>/dev/null || true
         git status --porcelain | grep -q '^AA one'",
    ),
    (
        "a merge in conflict",
        "git branch side HEAD~1; git checkout -q side; echo s > one; echo s > s; git add .; git commit -qm s
         git checkout -q -; git merge -q side >/dev/null || true; git branch -qD side; git status --porcelain | grep -q '^AA one'",
    ),
    (
        "picks half way",
        "git checkout -q --detach HEAD~1; for n in 1 2; do echo $n > one; git add one; git commit -qm p$n; done
         tip=$(git rev-parse HEAD); git checkout -q khlone/main/foreman.1; git cherry-pick $tip~2..$tip >/dev/null 2>&1 || true
         test -d \"$(git rev-parse --git-path sequencer)\"",
    ),
    (
        "a bisect",
        "for n in 1 2 3 4; do git commit -q --allow-empty -m b$n; done; git bisect start -q HEAD HEAD~4 >/dev/null",
    ),
];

/// All that git tells of a worktree, and the state of its git folder to the byte.
fn seen(clone: &Work) -> Vec<String> {
    let git_dir = clone.git(&["rev-parse", "--absolute-git-dir"]);
    let shell = |script: &str| {
        let sh = git_khlone::process::Cmd::new("sh")
            .args(["-c", script])
            .dir(&git_dir);
        String::from_utf8_lossy(&sh.output().unwrap()).into_owned()
    };
    let words: [&[&str]; 5] = [
        &["status"],
        &["ls-files", "--stage"],
        &["log", "--format=%H %s", "HEAD"],
        &["reflog", "--format=%H %gs"],
        &["for-each-ref", "refs/bisect", "refs/worktree", "refs/rewritten"],
    ];
    let told = words.iter().map(|words| clone.git(words));
    let files =
        "find . -type f ! -name index ! -name gitdir ! -name locked ! -name 'khlone*' | sort | xargs sha1sum";
    told.chain([shell(files)]).collect()
}

#[test]
fn what_only_the_worktree_has_survives_and_comes_back() {
    for (left, script) in LEFT {
        let stage = Stage::new();
        stage.act("echo 1 > one");
        stage.run(&["land"]).ok();
        let clone = stage.clone();
        let script = format!("git config user.name Ann; git config user.email ann@example.com\n{script}");
        let sh = git_khlone::process::Cmd::new("sh")
            .args(["-ec", &script])
            .dir(&clone.0);
        let done = sh.env("HOME", "/nonexistent").finish().unwrap();
        assert!(
            done.status.success(),
            "{left}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        let before = seen(&clone);
        // Some of it is at stake, so it goes only by force.
        let refused = stage.run(&["zone", "remove", "main"]);
        assert_eq!(refused.code, 4, "{left}: {}", refused.err);
        assert_eq!(seen(&clone), before, "{left}");
        stage.run(&["zone", "remove", "--force", "main"]).ok();
        drop(stage.work.try_git(&["branch", "-D", "-q", "mine"]));
        stage.work.git(&["reflog", "expire", "--all", "--expire=now"]);
        stage.work.git(&["gc", "-q", "--prune=now"]);
        let sound = stage.run(&["fsck"]);
        assert_eq!(sound.code, 0, "{left}: {}{}", sound.out, sound.err);
        stage.run(&["undo"]).ok();
        let after = seen(&stage.clone());
        assert_eq!(after, before, "{left}");
        stage.work.git(&["fsck", "--strict"]);
        assert_eq!(
            stage.work.git(&["for-each-ref", "refs/khlone/undo"]),
            "",
            "{left}"
        );
    }
}

#[test]
fn files_whose_line_ends_git_converts_are_not_modified_after_undo() {
    for shape in [["core.autocrlf", "true"], ["core.eol", "crlf"]] {
        let stage = Stage::with(&[("a.txt", "a\nb\n"), (".gitattributes", "*.txt text\n")]);
        stage.work.git(&["config", shape[0], shape[1]]);
        stage.act("echo more >> a.txt");
        stage.run(&["land"]).ok();
        stage.run(&["zone", "remove", "main"]).ok();
        stage.run(&["undo"]).ok();
        assert_eq!(stage.clone().status(), "", "{shape:?}");
        stage.run(&["zone", "remove", "main"]).ok();
    }
}
