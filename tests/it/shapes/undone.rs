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

/// Leaves a clone's worktree as a person does.
fn leave(clone: &Work, (left, script): (&str, &str)) {
    let script = format!("git config user.name Ann; git config user.email ann@example.com\n{script}");
    let sh = git_khlone::process::Cmd::new("sh")
        .args(["-ec", &script])
        .dir(&clone.0);
    let done = sh.env("HOME", "/nonexistent").finish().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{left}: {said}");
}

/// What no ref has goes.
fn collect(stage: &Stage) {
    drop(stage.work.try_git(&["branch", "-D", "-q", "mine"]));
    stage.work.git(&["reflog", "expire", "--all", "--expire=now"]);
    stage.work.git(&["gc", "-q", "--prune=now"]);
}

#[test]
fn what_only_the_worktree_has_survives_and_comes_back() {
    for (left, script) in LEFT {
        let stage = Stage::new();
        stage.act("echo 1 > one");
        stage.run(&["land"]).ok();
        let clone = stage.clone();
        leave(&clone, (left, script));
        let before = seen(&clone);
        // Some of it is at stake, so it goes only by force.
        let refused = stage.run(&["zone", "remove", "main"]);
        assert_eq!(refused.code, 4, "{left}: {}", refused.err);
        assert_eq!(seen(&clone), before, "{left}");
        stage.run(&["zone", "remove", "--force", "main"]).ok();
        collect(&stage);
        let sound = stage.run(&["fsck"]);
        assert_eq!(sound.code, 0, "{left}: {}{}", sound.out, sound.err);
        stage.run(&["undo"]).ok();
        let after = seen(&stage.clone());
        assert_eq!(after, before, "{left}");
        if left == "a rebase half way" {
            let clone = stage.clone();
            clone.git(&["branch", "mine", "ORIG_HEAD"]);
            clone.git(&["-c", "core.editor=:", "rebase", "--continue"]);
            assert_eq!(clone.git(&["log", "--format=%s", "-3"]), "m3\nm2\nm1");
        }
        stage.work.git(&["fsck", "--strict"]);
        assert_eq!(
            stage
                .work
                .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/undo"]),
            "refs/khlone/undo/1/landed\nrefs/khlone/undo/1/state",
            "{left}"
        );
    }
}

/// What a person stages besides, and where they stand; none of it is in the way of taking a task back.
const AROUND: [(&str, &str); 5] = [
    ("staged", "echo s > staged; git add staged; echo w > staged; echo u > untracked; echo 2 > one"),
    (
        "a merge in conflict",
        "git branch side HEAD~1; git checkout -q side; echo s > one; echo s > s; git add .; git commit -qm s
         git checkout -q -; git merge -q side >/dev/null || true; git branch -qD side; git status --porcelain | grep -q '^AA one'",
    ),
    (
        "a pick in conflict",
        "git checkout -q --detach HEAD~1; for n in 1 2; do echo p$n > one; git add one; git commit -qm p$n; done
         tip=$(git rev-parse HEAD); git checkout -q khlone/main/foreman.1; git cherry-pick $tip~2..$tip >/dev/null 2>&1 || true
         test -e \"$(git rev-parse --git-path CHERRY_PICK_HEAD)\" && test -d \"$(git rev-parse --git-path sequencer)\"",
    ),
    (
        "a revert in conflict",
        "git checkout -q --detach HEAD~1; for n in x y; do echo $n > one; git add one; git commit -qm $n; done
         tip=$(git rev-parse HEAD); git checkout -q khlone/main/foreman.1; git revert --no-edit $tip >/dev/null 2>&1 || true
         test -e \"$(git rev-parse --git-path REVERT_HEAD)\"",
    ),
    (
        "a bisect that has begun",
        "git bisect start -q; git bisect bad >/dev/null; git symbolic-ref -q HEAD; git rev-parse -q --verify refs/bisect/bad",
    ),
];

/// The same, without the reflog of its branch, which goes on.
fn still(clone: &Work) -> Vec<String> {
    let mut seen = seen(clone);
    seen.remove(3);
    seen
}

#[test]
fn a_task_that_is_taken_back_takes_nothing_else_along() {
    for verb in [["rollback"].as_slice(), &["retry", "--fresh"]] {
        let some = if verb.len() == 1 {
            &AROUND[..]
        } else {
            &AROUND[..2]
        };
        for (left, script) in some.iter().copied() {
            let why = format!("{verb:?} {left}");
            let stage = Stage::new();
            let (_, task) = stage.act("test $KHLONE_ATTEMPT != 1 || echo 1 > one; exit 1");
            let id = task["task"].as_str().unwrap();
            let clone = stage.clone();
            let clean = seen(&clone)[0].clone();
            leave(&clone, (left, script));
            let before = still(&clone);
            stage.run(&[verb, &[id]].concat()).ok();
            let task = stage.until("it has failed again", || {
                let task = stage.task(id);
                (task["status"] == "failed").then_some(task)
            });
            assert_eq!(seen(&clone)[0], clean, "{why}");
            assert_eq!(clone.read("one"), None, "{why}");
            assert_eq!(task["attempts"].as_array().unwrap().len(), verb.len(), "{why}");
            stage.work.git(&["gc", "-q", "--prune=now"]);
            stage.run(&["undo"]).ok();
            assert_eq!(still(&clone), before, "{why}");
            stage.work.git(&["fsck", "--strict"]);
            // And that can be undone, too.
            stage.run(&["undo"]).ok();
            assert_eq!(seen(&clone)[0], clean, "{why}");
        }
    }
    // Where the worktree is not on its branch, nothing is taken back.
    for verb in [["rollback"].as_slice(), &["retry", "--fresh"]] {
        for (left, script) in [LEFT[0], LEFT[2]] {
            let stage = Stage::new();
            let (_, task) = stage.act("echo 1 > one; exit 1");
            let clone = stage.clone();
            leave(&clone, (left, script));
            let before = seen(&clone);
            let refused = stage.run(&[verb, &[task["task"].as_str().unwrap()]].concat());
            assert_eq!(refused.code, 4, "{verb:?} {left}: {}", refused.err);
            assert_eq!(seen(&clone), before, "{verb:?} {left}");
        }
    }
}

#[test]
fn a_zone_without_a_branch_is_pruned_and_comes_back_as_it_was() {
    let prune = ["zone", "prune"];
    for (left, script) in LEFT {
        let stage = Stage::new();
        stage.work.git(&["branch", "gone"]);
        let act = [
            "act",
            "--who",
            "@shell",
            "--zone",
            "gone",
            "--await",
            "echo 1 > one",
        ];
        stage.run(&act).ok();
        stage.run(&["land", "foreman.1", "--zone", "gone"]).ok();
        let path = stage.run(&["path", "--zone", "gone", "foreman.1"]).ok();
        let clone = Work(path.into());
        let script = script.replace("khlone/main/", "khlone/gone/");
        leave(&clone, (left, &script));
        stage.work.git(&["merge", "-q", "gone"]);
        stage.work.git(&["branch", "-q", "-D", "gone"]);
        let before = seen(&clone);
        let kept = stage.run(&prune);
        assert!(
            kept.out.contains("foreman.1") || kept.err.contains("foreman.1"),
            "{left}: {}{}",
            kept.out,
            kept.err
        );
        assert_eq!(seen(&clone), before, "{left}");
    }
    // What has landed may stand anywhere.
    let stage = Stage::new();
    stage.work.git(&["branch", "gone"]);
    let act = [
        "act",
        "--who",
        "@shell",
        "--zone",
        "gone",
        "--await",
        "echo 1 > one",
    ];
    stage.run(&act).ok();
    let clone = Work(stage.run(&["path", "--zone", "gone", "foreman.1"]).ok().into());
    clone.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    stage.work.git(&["merge", "-q", "khlone/gone/foreman.1"]);
    stage.work.git(&["branch", "-q", "-D", "gone"]);
    let before = seen(&clone);
    stage.run(&prune).ok();
    assert!(!clone.0.exists());
    collect(&stage);
    stage.run(&["undo"]).ok();
    assert_eq!(seen(&clone), before);
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

/// Modes, empty folders, and all that the index says.
fn exactly(clone: &Work) -> String {
    let script = "find . -name .git -prune -o -printf '%m %p\\n' | sort -k2; git ls-files -v; git ls-files --stage; git status --short";
    let sh = git_khlone::process::Cmd::new("sh")
        .args(["-c", script])
        .dir(&clone.0);
    String::from_utf8_lossy(&sh.output().unwrap()).into_owned()
}

#[test]
fn modes_and_marks_come_back() {
    let files = [("a.txt", "a\n"), ("b.txt", "b\n"), ("p/f", "f\n"), ("q/g", "g\n")];
    let stage = Stage::with(&files);
    let (_, task) = stage.act("echo 1 > one");
    let clone = stage.clone();
    leave(
        &clone,
        (
            "modes",
            "echo s > secret; chmod 600 secret; echo t > tool; chmod 700 tool; chmod 640 a.txt
             git update-index --skip-worktree p/f; git update-index --assume-unchanged q/g; echo i > ita; git add -N ita
             echo changed > q/g; mkdir -m 700 priv; echo x > priv/x; mkdir -p empty/er; chmod 500 empty/er; echo st > st; git add st; echo more > st",
        ),
    );
    let before = exactly(&clone);
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage.work.git(&["gc", "-q", "--prune=now"]);
    stage.run(&["undo"]).ok();
    assert_eq!(exactly(&clone), before);
    stage.run(&["rollback", task["task"].as_str().unwrap()]).ok();
    stage.run(&["undo"]).ok();
    assert_eq!(exactly(&clone), before);
}
