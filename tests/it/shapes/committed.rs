//! What a task says is changed is in its commit, or named as left.

use std::{collections::BTreeSet, fs};

use git_khlone::process::Cmd;
use serde_json::Value;

use crate::{scratch::Work, stage::Stage};

/// What the branch of the clone changed against main.
fn committed(stage: &Stage) -> String {
    let range = "main..khlone/main/foreman.1";
    stage.work.git(&[
        "log",
        "--no-renames",
        "--name-status",
        "--format=",
        "--reverse",
        range,
    ])
}

/// All that differs between a clone's work tree and its last commit, as git finds it that knows of no marks: with an
/// index of its own, and with a look at submodules.
fn uncommitted(clone: &Work) -> BTreeSet<String> {
    let index = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let git = Cmd::new("git").args(["-c", "core.ignoreCase=false", "-c", "filter.bad.required=false"]);
        let git = git.args(args);
        let git = git
            .dir(&clone.0)
            .env("GIT_INDEX_FILE", index.path().join("index"));
        String::from_utf8_lossy(&git.output().unwrap()).into_owned()
    };
    git(&["read-tree", "HEAD"]);
    let said = git(&["status", "--porcelain", "-z", "-uall", "--no-renames"]);
    let records = said.split('\0').filter_map(|record| record.get(3..));
    records
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect()
}

/// The paths that a task names as left.
pub(super) fn left(task: &Value) -> BTreeSet<String> {
    let left = task["effects"]["left"].as_array().into_iter().flatten();
    let paths = left.map(|left| left["path"].as_str().unwrap().trim_end_matches('/').to_owned());
    paths.collect()
}

/// Lets a clone act; holds the commit and what is named as left against the files; takes it back.
pub(super) fn balances(stage: &Stage, script: &str) -> (Value, String) {
    let (said, task) = stage.act(script);
    let is_named = |path: &String| {
        let named = left(&task);
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        named.contains(path) || above.any(|folder| named.contains(folder))
    };
    for path in uncommitted(&stage.clone()) {
        assert!(
            is_named(&path),
            "{script}: {path} is in no commit and not named\n{}\n{:#}",
            said.err,
            task["effects"]
        );
    }
    let changed: BTreeSet<_> = task["effects"]["files"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|file| [file["path"].as_str(), file["from"].as_str()])
        .flatten()
        .map(str::to_owned)
        .collect();
    let committed = committed(stage);
    for path in committed.lines().filter_map(|line| line.split('\t').nth(1)) {
        let below = format!("{path}/");
        assert!(
            changed.contains(path) || changed.iter().any(|it| it.starts_with(&below)),
            "{script}: {path} is committed and not told: {changed:?}"
        );
    }
    (task, committed)
}

fn roll_back(stage: &Stage, task: &Value) {
    stage.run(&["rollback", task["task"].as_str().unwrap()]).ok();
    assert_eq!(committed(stage), "");
}

#[test]
fn files_links_and_folders_become_each_other() {
    let changes = [
        ("rm l; mkdir l; echo x > l/x", "D\tl\nA\tl/x"),
        ("rm a.txt; mkdir a.txt; echo x > a.txt/x", "D\ta.txt\nA\ta.txt/x"),
        ("rm l; echo x > l", "T\tl"),
        ("rm a.txt; ln -s l a.txt", "T\ta.txt"),
        ("rm -r d; echo x > d", "A\td\nD\td/one\nD\td/two"),
        ("rm -r d; ln -s a.txt d", "A\td\nD\td/one\nD\td/two"),
    ];
    let stage = Stage::with(&[("a.txt", "a\n"), ("d/one", "1\n"), ("d/two", "2\n")]);
    std::os::unix::fs::symlink("a.txt", stage.work.0.join("l")).unwrap();
    stage.work.commit(&[], "with a link");
    for (script, changed) in changes {
        let (task, committed) = balances(&stage, script);
        assert_eq!(
            (task["outcome"].as_str(), committed.as_str()),
            (Some("done"), changed),
            "{script}"
        );
        roll_back(&stage, &task);
        assert_eq!(stage.clone().status(), "", "{script}");
    }
}

#[test]
fn what_the_index_hides_is_committed_all_the_same() {
    let changes = [
        (
            "git update-index --skip-worktree a.txt; echo x > a.txt",
            "M\ta.txt",
        ),
        (
            "git update-index --assume-unchanged a.txt; echo x > a.txt",
            "M\ta.txt",
        ),
        ("git update-index --skip-worktree a.txt; rm a.txt", "D\ta.txt"),
        ("git update-index --assume-unchanged a.txt; rm a.txt", "D\ta.txt"),
        (
            "git update-index --assume-unchanged d/one; git update-index --skip-worktree d/two; rm -r d; ln -s a.txt d",
            "A\td\nD\td/one\nD\td/two",
        ),
        ("echo n > n; git add -N n", "A\tn"),
        ("echo n > n; git add -N n; rm n; echo m > m", "A\tm"),
        ("git mv a.txt A.TXT", "A\tA.TXT\nD\ta.txt"),
        ("mv d D", "A\tD/one\nA\tD/two\nD\td/one\nD\td/two"),
        ("chmod +x a.txt", "M\ta.txt"),
        (
            "echo kept.log >> .gitignore; echo more >> kept.log",
            "M\t.gitignore\nM\tkept.log",
        ),
        ("git rm -q --cached a.txt", ""),
        (
            "echo x > hidden; echo hidden >> $(git rev-parse --git-dir)/info/exclude",
            "A\thidden",
        ),
        ("git config core.fileMode false; chmod +x a.txt", "M\ta.txt"),
        (
            "git config core.excludesFile $PWD/ex.log; echo hidden > ex.log; echo x > hidden",
            "A\thidden",
        ),
        (
            "git config core.ignoreCase true; git mv a.txt b; mv b A.TXT",
            "A\tA.TXT\nD\ta.txt",
        ),
    ];
    for ignores_case in [false, true] {
        let files = [
            ("a.txt", "a\n"),
            ("d/one", "1\n"),
            ("d/two", "2\n"),
            ("kept.log", "k\n"),
        ];
        let stage = Stage::with(&files);
        stage
            .work
            .commit(&[(".gitignore", "*.log\n")], "ignores a file that it has");
        // As in a repository that came from a machine whose file system does.
        stage
            .work
            .git(&["config", "core.ignoreCase", &ignores_case.to_string()]);
        let some = if ignores_case {
            &changes[7..9]
        } else {
            &changes[..]
        };
        for (script, changed) in some {
            let (task, committed) = balances(&stage, script);
            assert_eq!(committed, *changed, "{script}\n{task:#}");
            let outcome = if changed.is_empty() { "no-op" } else { "done" };
            assert_eq!(task["outcome"], outcome, "{script}\n{task:#}");
            if !changed.is_empty() {
                roll_back(&stage, &task);
            }
        }
    }
}

#[test]
fn what_is_not_committed_is_named_with_the_reason() {
    let changes = [
        ("echo x > x.log; git add -f x.log", "x.log", "ignored", "no-op"),
        ("rm .gitignore; echo x > y.log", "y.log", "ignored", "done"),
        ("mkfifo pipe; echo x > x", "pipe", "a pipe", "done"),
        (
            "git init -q inner; echo x > inner/x",
            "inner",
            "no regular file of this repository",
            "partial",
        ),
        (
            "head -c 11000000 /dev/zero > big",
            "big",
            "larger than commit.max_file",
            "partial",
        ),
        (
            "mkdir .GIT; echo x > .GIT/x",
            ".GIT/x",
            "a name that git refuses",
            "partial",
        ),
    ];
    for (script, path, why, outcome) in changes {
        let stage = Stage::with(&[("a.txt", "a\n"), (".gitignore", "*.log\n"), ("d/one", "1\n")]);
        let (task, _) = balances(&stage, script);
        assert!(left(&task).contains(path), "{script}\n{task:#}");
        let reasons = task["reasons"].to_string();
        assert!(
            reasons.contains(path) && reasons.contains(why),
            "{script}: {reasons}"
        );
        assert_eq!(task["outcome"], outcome, "{script}: {reasons}");
    }
    // By the brain itself, an ignored file is a file like others.
    let stage = Stage::new();
    let (task, committed) = balances(&stage, "echo x > x.log; git add -f x.log; git commit -qm x");
    assert_eq!(
        (committed.as_str(), task["outcome"].as_str()),
        ("A\tx.log", Some("done"))
    );
    assert!(stage.run(&["show"]).ok().contains("x.log"));
    // Where nothing is committed, the reason is said once.
    let stage = Stage::with(&[("a.txt", "a\n"), ("khlone.yml", "commit: never\n")]);
    let (task, _) = balances(&stage, "echo 1 > one; echo 2 > two");
    assert_eq!(left(&task), ["one", "two"].map(str::to_owned).into());
}

#[test]
fn filters_are_no_difference() {
    let attributes = "*.txt text eol=crlf\n*.id ident\n*.up filter=up\n";
    let files = [
        ("a.txt", "a\nb\n"),
        ("i.id", "$Id$\n"),
        (".gitattributes", attributes),
        ("u.up", "low\n"),
    ];
    let stage = Stage::new();
    stage.work.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
    stage.work.git(&["config", "filter.up.smudge", "tr A-Z a-z"]);
    stage.work.commit(&files, "with filters");
    for autocrlf in ["false", "true"] {
        stage.work.git(&["config", "core.autocrlf", autocrlf]);
        let script = "printf 'x\\r\\ny\\r\\n' > n.txt; printf 'a\\r\\n' > a.txt; echo '$Id: x $ more' > i.id; echo new > v.up; echo q > q";
        let (task, committed) = balances(&stage, script);
        assert_eq!(task["outcome"], "done", "{task:#}");
        assert!(task["effects"]["left"].is_null(), "{task:#}");
        assert_eq!(committed.lines().count(), 5, "{committed}");
        roll_back(&stage, &task);
    }
}

/// A stage with a submodule `dep` and its origin.
pub(super) fn with_submodule() -> (Stage, Work) {
    let stage = Stage::new();
    let dep = Work(stage.path().join("dep"));
    fs::create_dir(&dep.0).unwrap();
    dep.git(&["init", "-q", "-b", "main"]);
    dep.git(&["config", "user.name", "Ann"]);
    dep.git(&["config", "user.email", "ann@example.com"]);
    dep.commit(&[("d.txt", "d\n")], "dep");
    dep.commit(&[("d.txt", "dd\n")], "dep 2");
    let url = dep.0.to_str().unwrap();
    stage.work.git(&["submodule", "add", "-q", url, "dep"]);
    stage.work.git(&["commit", "-qm", "with a submodule"]);
    (stage, dep)
}

pub(super) const COMMIT_IN_DEP: &str =
    "git -C dep config user.name x; git -C dep config user.email x; echo e > dep/e.txt
    git -C dep add .; git -C dep commit -qm e";

#[test]
fn submodules_are_committed_only_where_their_commits_are_kept() {
    let scripts = [
        (
            "rm -rf dep .gitmodules; git update-index --force-remove dep",
            "D\t.gitmodules\nD\tdep",
        ),
        (
            "git rm -q --cached dep; rm -rf dep; git config -f .gitmodules --remove-section submodule.dep; git add .gitmodules",
            "M\t.gitmodules\nD\tdep",
        ),
        ("rm -rf dep", "D\tdep"),
        (
            "mkdir lib; git mv dep lib/dep",
            "M\t.gitmodules\nD\tdep\nA\tlib/dep",
        ),
        ("git -C dep checkout -q HEAD~1", "M\tdep"),
        (
            "git update-index --cacheinfo 160000,$(git -C dep rev-parse HEAD~1),dep; rm -rf dep; mkdir dep",
            "M\tdep",
        ),
        (COMMIT_IN_DEP, "M\tdep"),
        ("rm -rf dep; echo file > dep", "T\tdep"),
        (
            "rm -rf dep/.git; git rm -q --cached dep; git add dep",
            "D\tdep\nA\tdep/d.txt",
        ),
    ];
    for (script, changed) in scripts {
        let (stage, _) = with_submodule();
        let (task, committed) = balances(&stage, script);
        assert_eq!(committed, changed, "{script}\n{task:#}");
        assert_eq!(task["outcome"], "done", "{script}\n{task:#}");
        if changed.contains("dep/d.txt") {
            // git, too, puts no files where the main checkout has the submodule.
            assert_eq!(stage.run(&["land"]).code, 4);
            continue;
        }
        // What lands can be checked out, also when the clone is gone.
        stage.run(&["land"]).ok();
        stage.run(&["zone", "remove", "--force", "main"]).ok();
        let modules = Work(stage.work.0.join(".git/modules/dep"));
        modules.git(&["--git-dir=.", "--work-tree=.", "gc", "-q", "--prune=now"]);
        stage.work.git(&["submodule", "update", "--init", "--no-fetch"]);
        assert!(
            !stage.work.git(&["submodule", "status"]).contains(['+', '-']),
            "{script}"
        );
        modules.git(&["--git-dir=.", "--work-tree=.", "fsck", "--strict"]);
    }
}

#[test]
fn what_a_submodule_alone_has_is_named() {
    let scripts = [
        (format!("git update-index --cacheinfo 160000,{},dep", "7".repeat(40)), "nowhere", "partial"),
        ("echo e > dep/e.txt; echo n > n".to_owned(), "in no commit of the submodule", "partial"),
        (format!("git init -q own; {COMMIT_IN_DEP}; git clone -q dep own/dep 2>/dev/null; mv own/dep new; rmdir own 2>/dev/null; rm -rf own
            git -C new remote remove origin; git add new 2>/dev/null"), "in this clone alone", "partial"),
    ];
    for (script, why, outcome) in scripts {
        let (stage, _) = with_submodule();
        let (task, _) = balances(&stage, &script);
        let reasons = task["reasons"].to_string();
        assert!(reasons.contains(why), "{script}: {reasons}");
        assert_eq!(task["outcome"], outcome, "{script}: {reasons}");
    }
    // The brain's own commit of one that cannot be kept is told, and is its right.
    let (stage, _) = with_submodule();
    let script = "git clone -q dep new 2>/dev/null; git -C new remote remove origin; git add new 2>/dev/null; git -C new -c user.name=x -c user.email=x commit -q --allow-empty -m own
        git add new; git commit -qm new";
    let (task, committed) = balances(&stage, script);
    assert_eq!(
        (committed.as_str(), task["outcome"].as_str()),
        ("A\tnew", Some("done")),
        "{task:#}"
    );
    assert!(
        task["reasons"].to_string().contains("in this clone alone"),
        "{task:#}"
    );
}

#[test]
fn what_a_person_deleted_or_changed_is_not_the_brains() {
    let stage = Stage::with(&[("a.txt", "a\n"), ("b.txt", "b\n"), ("c.txt", "c\n")]);
    stage.act("true");
    let clone = stage.clone();
    fs::remove_file(clone.0.join("a.txt")).unwrap();
    clone.git(&["rm", "-q", "c.txt"]);
    clone.write("b.txt", "mine\n");
    let (said, task) = stage.act("ls; echo n > n");
    assert_eq!((committed(&stage).as_str(), said.code), ("A\tn", 0), "{task:#}");
    let reasons = task["reasons"].to_string();
    for (path, why) in [
        ("a.txt", "deleted before"),
        ("b.txt", "there before"),
        ("c.txt", "deleted before"),
    ] {
        assert!(
            reasons.contains(&format!("not committed: {path} ({why}")),
            "{reasons}"
        );
    }
    assert_eq!(clone.read("b.txt").as_deref(), Some("mine\n"));
    assert!(clone.read("a.txt").is_none());
    // What the brain commits of it is told.
    let (_, task) = stage.act("git commit -qam all");
    let reasons = task["reasons"].to_string();
    assert!(
        reasons.contains("committed, though there before the task: b.txt"),
        "{reasons}"
    );
}

/// Without a sandbox the brain works in the host's own git folder of the worktree.
pub(super) fn unconfined(stage: &Stage) {
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "sandbox: off\n").unwrap();
}

#[test]
fn without_a_sandbox_the_account_is_the_same() {
    let changes = [
        (
            "git update-index --skip-worktree a.txt; echo x > a.txt",
            "M\ta.txt",
        ),
        ("git update-index --assume-unchanged a.txt; rm a.txt", "D\ta.txt"),
        ("echo n > n; git add -N n", "A\tn"),
        ("echo x > x.log; git add -f x.log; echo n > n", "A\tn"),
        (
            "git mv a.txt b.txt; git commit -qm moved; echo more >> b.txt",
            "D\ta.txt\nA\tb.txt\nM\tb.txt",
        ),
    ];
    for (script, changed) in changes {
        let stage = Stage::new();
        unconfined(&stage);
        let (task, committed) = balances(&stage, script);
        assert_eq!(
            (committed.as_str(), task["outcome"].as_str()),
            (changed, Some("done")),
            "{script}\n{task:#}"
        );
    }
    for (script, changed) in [(COMMIT_IN_DEP, "M\tdep"), ("rm -rf dep", "D\tdep")] {
        let (stage, _) = with_submodule();
        unconfined(&stage);
        let (task, committed) = balances(&stage, script);
        assert_eq!(committed, changed, "{script}\n{task:#}");
        stage.run(&["land"]).ok();
    }
    let stage = Stage::with(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
    unconfined(&stage);
    stage.act("true");
    let clone = stage.clone();
    fs::remove_file(clone.0.join("a.txt")).unwrap();
    clone.git(&["rm", "-q", "b.txt"]);
    let (_, task) = stage.act("echo n > n");
    assert_eq!(committed(&stage), "A\tn", "{task:#}");
}
