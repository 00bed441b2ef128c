//! Repositories that are not plain: LFS, sparse, shallow, with submodules, with excludes of a worktree's own. And the
//! clone's branch, which the user may move at any time.

mod anothers;
mod borrowed;
mod committed;
mod converted;
mod elsewhere;
mod matrix;
mod nested;
mod settings;
mod sparse;
mod staged;
mod submodules;
mod told;
mod told_env;
mod undone;
mod unfit;
mod untaken;

use std::fs;

use crate::{scratch::Work, stage::Stage, tools};

const LFS: [(&str, &str); 4] = [
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "true"),
];

/// A stage whose repository keeps `*.bin` under LFS, with the filters where `--global` or not at all says.
fn with_lfs(global: bool) -> Stage {
    let stage = Stage::new();
    if global {
        let text: String = LFS
            .iter()
            .map(|(key, value)| {
                format!(
                    "[filter \"lfs\"]\n\t{} = {value}\n",
                    key.rsplit('.').next().unwrap()
                )
            })
            .collect();
        fs::write(stage.path().join("home/.gitconfig"), text).unwrap();
    } else {
        for (key, value) in LFS {
            stage.work.git(&["config", key, value]);
        }
    }
    stage
}

/// git in a work tree as the stage's user runs it.
fn as_user(stage: &Stage, work: &Work, args: &[&str]) -> String {
    let out = git_khlone::process::Cmd::new("git")
        .dir(&work.0)
        .env("HOME", stage.path().join("home"))
        .args(args)
        .output()
        .unwrap();
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

#[test]
fn files_under_lfs_come_home() {
    if !tools::has("git-lfs") {
        return;
    }
    for global in [false, true] {
        let stage = with_lfs(global);
        stage
            .work
            .write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
        stage.work.write("old.bin", "the user's own\n");
        as_user(&stage, &stage.work, &["add", "-A"]);
        as_user(&stage, &stage.work, &["commit", "-qm", "with lfs"]);
        // It is there as content, can be got again, and new ones are stored: by the brain's commit and by ours.
        let (said, task) = stage.act(
            "set -e; cat old.bin; rm old.bin; git checkout -q old.bin; cat old.bin
             echo by-the-brain > one.bin; git add one.bin; git commit -qm one; echo left > two.bin",
        );
        assert_eq!(said.code, 0, "{}\n{task:#}", said.err);
        assert_eq!(
            task["answer"].as_str().unwrap().trim(),
            "the user's own\nthe user's own",
            "{task:#}"
        );
        let pointer = stage.work.git(&["show", "khlone/main/foreman.1:two.bin"]);
        assert!(pointer.starts_with("version https://git-lfs"), "{pointer}");
        assert_eq!(as_user(&stage, &stage.clone(), &["status", "--porcelain"]), "");
        stage.run(&["land"]).ok();
        for (file, content) in [("one.bin", "by-the-brain\n"), ("two.bin", "left\n")] {
            assert_eq!(
                stage.work.read(file).as_deref(),
                Some(content),
                "global: {global}"
            );
        }
        assert_eq!(as_user(&stage, &stage.work, &["status", "--porcelain"]), "");
        assert_eq!(as_user(&stage, &stage.work, &["lfs", "fsck"]), "Git LFS fsck OK");
    }
}

#[test]
fn a_shallow_clone_works() {
    let stage = Stage::new();
    for n in 0..3 {
        stage
            .work
            .commit(&[("a.txt", &format!("{n}\n"))], &format!("{n}"));
    }
    let shallow = Work(stage.path().join("shallow"));
    let origin = format!("file://{}", stage.work.0.display());
    stage
        .work
        .git(&["clone", "-q", "--depth=1", &origin, shallow.0.to_str().unwrap()]);
    shallow.git(&["config", "user.name", "Ann"]);
    shallow.git(&["config", "user.email", "ann@example.com"]);
    let act = ["act", "--who", "@shell", "--await", "-m"];
    let script = "git log --format=%s | tee log; git add log; git commit -qm log; echo more > more";
    let said = stage.run_in(&shallow.0, &[&act[..], &[script]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(shallow.git(&["show", "khlone/main/foreman.1:log"]), "2");
    assert_eq!(
        shallow.git(&["rev-list", "--count", "khlone/main/foreman.1"]),
        "3"
    );
    shallow.git(&["fsck", "--strict"]);
    stage.run_in(&shallow.0, &["land"]).ok();
    stage.run_in(&shallow.0, &["daemon", "stop"]).ok();
}

#[test]
fn a_submodule_can_be_worked_in() {
    let stage = Stage::new();
    let dep = Work(stage.path().join("dep"));
    fs::create_dir(&dep.0).unwrap();
    dep.git(&["init", "-q", "-b", "main"]);
    dep.git(&["config", "user.name", "Ann"]);
    dep.git(&["config", "user.email", "ann@example.com"]);
    dep.commit(&[("d.txt", "d\n")], "dep");
    stage
        .work
        .git(&["submodule", "add", "-q", dep.0.to_str().unwrap(), "dep"]);
    stage.work.git(&["commit", "-qm", "with a submodule"]);
    let modules = stage.work.0.join(".git/modules/dep");
    let refs = |work: &Work| work.git(&["for-each-ref", "refs/heads", "refs/remotes", "refs/tags"]);
    let before = refs(&Work(modules.clone()));
    let (said, task) = stage.act(
        "set -e; git submodule status; cat dep/d.txt; cd dep; git config user.name x; git config user.email x; \
         echo e > e.txt; git add e.txt; git commit -qm e; cd ..; git status --porcelain",
    );
    assert_eq!(said.code, 0, "{}\n{task:#}", said.err);
    let answer = task["answer"].as_str().unwrap();
    assert!(answer.contains("d\n") && answer.contains(" M dep"), "{answer}");
    assert_eq!(
        refs(&Work(modules)),
        before,
        "the user's own submodule is as it was"
    );
    // The next task sees it as it is; the user's own git does not look inside, and runs nothing that stands there.
    let (said, task) =
        stage.act("git status --porcelain; git -C dep config core.fsmonitor \"touch $PWD/ran.log\"");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(task["answer"].is_null(), "{task:#}");
    let clone = stage.clone();
    assert_eq!(
        (clone.status(), clone.0.join("ran.log").exists()),
        (String::new(), false)
    );
    assert_eq!(stage.work.status(), "");
}

#[test]
fn sparse_worktrees_and_their_own_excludes_hold_inside() {
    let stage = Stage::new();
    stage.work.commit(&[("in/x", "x"), ("out/y", "y")], "folders");
    stage.act("true");
    let clone = stage.clone();
    clone.git(&["sparse-checkout", "set", "in"]);
    clone.git(&[
        "config",
        "--worktree",
        "core.excludesFile",
        stage.path().join("own").to_str().unwrap(),
    ]);
    fs::write(stage.path().join("own"), "*.own\n").unwrap();
    stage.work.write(".git/info/exclude", "*.excluded\n");
    let (said, _) =
        stage.act("ls; echo z > in/z; echo o > a.own; echo e > a.excluded; git status --porcelain");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(
        stage
            .work
            .git(&["ls-tree", "-r", "--name-only", "khlone/main/foreman.1"]),
        ".gitignore\na.txt\nin/x\nin/z\nout/y"
    );
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    assert!(!clone.0.join("out").exists());
}

#[test]
fn the_user_may_move_the_clones_branch_at_any_time() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let clone = stage.clone();
    let as_ann =
        |args: &[&str]| clone.git(&[&["-c", "user.name=Ann", "-c", "user.email=a@x"], args].concat());
    // Between tasks: a commit, an amended one, a reset. The next brain sees just that.
    as_ann(&["commit", "-q", "--allow-empty", "-m", "by hand"]);
    as_ann(&[
        "commit",
        "-q",
        "--allow-empty",
        "--amend",
        "-m",
        "amended by hand",
    ]);
    let (_, task) = stage.act("git log -1 --format=%s; git status --porcelain");
    assert_eq!(task["answer"].as_str().unwrap().trim(), "amended by hand");
    clone.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let (_, task) = stage.act("git log -1 --format=%s; git status --porcelain; echo two > two");
    assert!(!task["answer"].as_str().unwrap().contains("by hand"));
    assert_eq!(clone.status(), "");
    // During one: both are kept, and nothing is lost.
    let id = stage
        .run(&[
            "act",
            "--who",
            "@shell",
            "-m",
            "echo three > three; git add three; git commit -qm three; touch .git-ready.log; until test -e go.log; do sleep 0.05; done",
        ])
        .ok();
    stage.until("the brain has committed", || clone.read(".git-ready.log"));
    as_ann(&["commit", "-q", "--allow-empty", "-m", "meanwhile"]);
    let mine = clone.tip("HEAD");
    clone.write("go.log", "");
    assert_eq!(stage.run(&["await", &id]).code, 1);
    let task = stage.task(&id);
    assert_eq!(task["outcome"], "diverged", "{task:#}");
    assert_eq!(clone.tip("HEAD"), mine, "the user's commit stands");
    let pinned = stage.work.git(&[
        "log",
        "-1",
        "--format=%s",
        &format!("refs/khlone/pins/{id}/1-head-after"),
    ]);
    assert_eq!(pinned, "three", "and so does the brain's");
}

#[test]
fn whatever_the_brain_makes_of_its_git_is_pinned_and_the_host_agrees_with_itself() {
    let stage = Stage::new();
    let (_, task) = stage.act(
        "set -e; git switch -qc side; echo s > s; git add s; git commit -qm side; git tag mark; echo w > a.txt; git stash -q
         git switch -q -; echo m > m; git add m; git commit -qm main; git checkout -q --detach; echo d > d; git add d; git commit -qm detached",
    );
    let id = task["task"].as_str().unwrap();
    let clone = stage.clone();
    assert_eq!(
        (task["outcome"].as_str(), clone.status()),
        (Some("done"), String::new()),
        "{task:#}"
    );
    assert_eq!(clone.git(&["log", "-1", "--format=%s"]), "detached");
    assert_eq!(clone.git(&["branch", "--show-current"]), "khlone/main/foreman.1");
    let pins = stage.work.git(&[
        "for-each-ref",
        "--format=%(refname)",
        &format!("refs/khlone/pins/{id}"),
    ]);
    for what in ["heads-side", "stash-0"] {
        assert!(pins.contains(what), "{what} is not in\n{pins}");
    }
    // A tag on the same commit needs no pin of its own, and is told all the same.
    let refs = task["effects"]["refs"].as_array().unwrap();
    let on = |name: &str| refs.iter().find(|it| it["name"] == name).map(|it| &it["after"]);
    assert!(on("refs/tags/mark").is_some() && on("refs/tags/mark") == on("refs/heads/side"));
    // One that ends in the middle of a rebase is partial: nothing in conflict is committed.
    let (said, task) = stage.act(
        "git switch -qc other HEAD~1; echo x > a.txt; git commit -qam x; git switch -q -; echo y > a.txt; git commit -qam y; git rebase -q other",
    );
    assert_eq!(
        (said.code, task["outcome"].as_str()),
        (1, Some("partial")),
        "{task:#}"
    );
    assert_eq!(
        clone.git(&["diff", "--cached", "--name-only"]),
        "",
        "the host's index is its HEAD's"
    );
    assert!(
        !clone
            .git(&["log", "--all", "-p", "--format="])
            .contains("<<<<<<<")
    );
    stage.work.git(&["fsck", "--strict"]);
}
