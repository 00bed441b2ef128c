//! What is wrong with a repository, or with what is left of our refs in it, is told.

use std::fs;

use git_khlone::process::Cmd;

use crate::{
    scratch::Work,
    stage::{Stage, said},
    tools::has,
};

#[test]
fn git_dir_is_obeyed_or_refused_and_never_silently_another() {
    let (one, two) = (Stage::new(), Stage::new());
    one.act("echo n > n");
    let away = one.path().join("away");
    fs::create_dir(&away).unwrap();
    let git_dir = one.work.0.join(".git");
    let with = |dir: &std::path::Path, args: &[&str]| said(one.cmd(dir, args).env("GIT_DIR", &git_dir));
    assert!(with(&away, &["status"]).ok().contains("foreman.1"));
    assert!(with(&one.work.0, &["status"]).ok().contains("foreman.1"));
    let linked = one.path().join("linked");
    one.work
        .git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    assert!(with(&linked, &["status"]).ok().contains("foreman.1"));
    for verb in [
        ["status"].as_slice(),
        &["act", "--who", "@shell", "true"],
        &["land"],
    ] {
        let refused = with(&two.work.0, verb);
        assert_eq!(refused.code, 4, "{verb:?} {}", refused.err);
        assert!(refused.err.contains("GIT_DIR"), "{}", refused.err);
    }
    assert_eq!(two.run(&["list", "tasks"]).ok(), "");
}

#[test]
fn a_home_that_is_a_work_tree_is_refused_before_anything_is_queued() {
    let stage = Stage::new();
    let home = Work(stage.path().join("home"));
    home.git(&["init", "-q", "-b", "main"]);
    home.git(&["config", "user.name", "Ann"]);
    home.git(&["config", "user.email", "ann@example.com"]);
    home.commit(&[(".bashrc", "x\n")], "dotfiles");
    let refused = stage.run_in(&home.0, &["act", "--who", "@shell", "true"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("git clone"), "{}", refused.err);
    assert_eq!(stage.run_in(&home.0, &["list", "tasks"]).ok(), "");
}

/// The program as a user who is not root, which may write everywhere.
fn as_nobody(stage: &Stage, args: &[&str]) -> crate::stage::Said {
    if !rustix::process::geteuid().is_root() {
        return stage.run(args);
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let program = stage.cmd(&stage.work.0, args).argv();
    said(stage.surrounded(Cmd::new("setpriv").args(nobody).args(program)))
}

/// Changes owner and rights of all that the stage has.
pub(super) fn hand_over(stage: &Stage, script: &str) {
    let sh = Cmd::new("sh").args(["-ec", script]).dir(stage.path());
    sh.output().unwrap();
}

/// One file that nobody may read keeps nothing else from being committed, of its task and of the next.
#[test]
fn what_cannot_be_read_is_left_by_name_and_the_rest_is_committed() {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && !has("util-linux") {
        return;
    }
    let stage = Stage::new();
    if is_root {
        hand_over(&stage, "chmod 755 .; chown -R 65534:65534 .");
    }
    let act = |script: &str| as_nobody(&stage, &["act", "--who", "@shell", "--await", "-m", script]);
    let first = act("echo good > good; echo more >> a.txt; echo 1 > secret; chmod 000 secret");
    let next = act("echo next > next");
    drop(as_nobody(&stage, &["daemon", "stop"]));
    // Not all of its work is committed, and it says so.
    let told = "left uncommitted: secret (cannot be read)";
    assert!(first.code == 1 && first.err.contains(told), "{}", first.err);
    assert!(
        next.code == 0 && next.err.contains("not committed: secret"),
        "{}",
        next.err
    );
    let names = Cmd::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-tree",
            "-r",
            "--name-only",
            "khlone/main/foreman.1",
        ])
        .dir(&stage.work.0);
    let names = String::from_utf8(names.output().unwrap()).unwrap();
    assert_eq!(names, ".gitignore\na.txt\ngood\nnext\n");
}

#[test]
fn a_repository_that_cannot_be_written_can_be_read() {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && !has("util-linux") {
        return;
    }
    let stage = Stage::new();
    let (_, task) = stage.act("echo n > n");
    let id = task["task"].as_str().unwrap();
    stage.run(&["daemon", "stop"]);
    if is_root {
        hand_over(&stage, "chmod 755 .; chown -R 65534:65534 .");
    }
    hand_over(&stage, "chmod -R a-w repo");
    let before = stage.work.bytes();
    for verb in [
        [].as_slice(),
        &["status"],
        &["status", "--porcelain"],
        &["list", "tasks"],
        &["list", "crew"],
        &["list", "zones"],
        &["show", id],
        &["log", id],
        &["diff", "--name-only", "foreman.1"],
        &["path"],
        &["sites"],
        &["await", id],
        &["config"],
        &["fsck"],
        &["undo", "--list"],
        &["zone", "prune", "--dry-run"],
        &["gc", "--dry-run"],
    ] {
        let told = as_nobody(&stage, verb);
        assert_eq!(told.code, 0, "{verb:?}: {}{}", told.out, told.err);
    }
    // What writes says that it cannot.
    for verb in [
        ["act", "--who", "@shell", "true"].as_slice(),
        &["land", "foreman.1"],
        &["rollback", id],
        &["gc"],
    ] {
        let refused = as_nobody(&stage, verb);
        assert!(
            refused.code != 0 && refused.err.contains("ermission denied"),
            "{verb:?}: {} {}",
            refused.code,
            refused.err
        );
    }
    assert!(before == stage.work.bytes());
    hand_over(&stage, "chmod -R u+w repo");
}

#[test]
fn branches_in_the_way_are_named_before_anything_is_queued() {
    let stage = Stage::new();
    stage.work.git(&["branch", "release/2026.4"]);
    let refused = stage.run(&["act", "--who", "@shell", "-z", "release", "--create", "true"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("release/2026.4"), "{}", refused.err);
    for branch in ["khlone", "khlone/main"] {
        stage.work.git(&["branch", branch]);
        let refused = stage.run(&["act", "--who", "@shell", "true"]);
        assert_eq!(refused.code, 4, "{}", refused.err);
        assert!(refused.err.contains("branch.prefix"), "{}", refused.err);
        assert_eq!(stage.run(&["list", "tasks"]).ok(), "");
        stage.work.git(&["branch", "-D", branch]);
    }
}

#[test]
fn a_tag_named_like_a_branch_misleads_nobody() {
    let stage = Stage::new();
    for name in ["main", "khlone/main/foreman.1"] {
        stage.work.git(&["tag", name]);
    }
    stage.act("echo n > n");
    assert_eq!(stage.run(&["diff", "--name-only", "foreman.1"]).ok(), "n");
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.git(&["show", "refs/heads/main:n"]), "n");
}

#[test]
fn land_says_what_is_in_no_commit() {
    let stage = Stage::new();
    stage.act("echo n > n");
    stage.clone().write("mine", "in no commit\n");
    let landed = stage.run(&["land"]);
    assert!(landed.err.contains("mine"), "{}", landed.err);
    let again = stage.run(&["land", "foreman.1"]);
    assert!(again.err.contains("mine"), "{}", again.err);
}

#[test]
fn only_times_that_changed_are_no_uncommitted_change() {
    let stage = Stage::new();
    let file = fs::File::options()
        .write(true)
        .open(stage.work.0.join("a.txt"))
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let (said, _) = stage.act("true");
    assert!(!said.err.contains("uncommitted"), "{}", said.err);
    stage.work.write("a.txt", "changed\n");
    let (said, _) = stage.act("true");
    assert!(said.err.contains("uncommitted"), "{}", said.err);
}

#[test]
fn damaged_refs_are_told_and_stop_only_themselves() {
    let stage = Stage::new();
    let (_, lost) = stage.act("exit 1");
    let (_, wrong) = stage.act("exit 1");
    let (lost, wrong) = (lost["task"].as_str().unwrap(), wrong["task"].as_str().unwrap());
    stage.work.git(&["branch", "feat"]);
    stage
        .run(&[
            "act",
            "--who",
            "@shell",
            "--zone",
            "feat",
            "--await",
            "echo f > f",
        ])
        .ok();
    let zone = stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/zones/feat*"]);
    let task = |id: &str| format!("refs/khlone/tasks/{id}");
    fs::write(stage.work.0.join(".git").join(task(lost)), "").unwrap();
    stage.work.git(&["update-ref", &task(wrong), "HEAD"]);
    stage.work.git(&["update-ref", &zone, "HEAD"]);
    for verb in [
        [].as_slice(),
        &["list", "tasks"],
        &["list", "crew"],
        &["list", "zones"],
    ] {
        let told = stage.run(verb);
        assert_eq!(told.code, 0, "{verb:?}: {}", told.err);
        let text = [told.out, told.err].concat();
        for name in [&task(lost), &task(wrong), &zone] {
            assert!(text.contains(name.as_str()), "{verb:?}: {name} is not in\n{text}");
        }
        assert!(text.contains("next: "), "{text}");
    }
    for id in [lost, wrong] {
        let told = stage.run(&["await", id]);
        assert_eq!(told.code, 1, "{}", told.err);
        assert!(told.err.contains(&task(id)), "{}", told.err);
    }
    // The other zone goes on, and nothing is collected by what cannot be read.
    let (said, _) = stage.act("echo m > m");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_ne!(stage.run(&["gc"]).code, 0);
}

#[test]
fn lost_refs_are_told() {
    let stage = Stage::new();
    let (_, task) = stage.act("echo n > n");
    for name in stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone"])
        .lines()
    {
        stage.work.git(&["update-ref", "-d", name]);
    }
    let told = stage.run(&[]);
    assert!(
        told.out.contains("--prune") && told.out.contains("git fetch"),
        "{}",
        told.out
    );
    let told = stage.run(&["await", task["task"].as_str().unwrap()]);
    assert!(told.code == 1 && told.err.contains("is gone"), "{}", told.err);
    assert_ne!(stage.run(&["fsck"]).code, 0);
}

#[test]
fn paths_are_bytes_and_what_cannot_be_is_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let stage = Stage::new();
    let work = Work(stage.path().join(OsStr::from_bytes(b"p\xfe/r\xff")));
    fs::create_dir(work.0.parent().unwrap()).unwrap();
    fs::rename(&stage.work.0, &work.0).unwrap();
    let file = |clone: &Work, name: &[u8]| fs::read(clone.0.join(OsStr::from_bytes(name))).ok();
    fs::write(work.0.join(OsStr::from_bytes(b"old\xff")), "o\n").unwrap();
    work.commit(&[], "bytes");
    let act = |script: &str| stage.run_in(&work.0, &["act", "--who", "@shell", "--await", "-m", script]);
    let act_ok = |script: &str| {
        let said = act(script);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    act_ok("cp old* \"$(printf 'new\\377')\"; rm old*; mkdir \"$(printf 'd\\376')\"; cd d*; echo x > x");
    // The user's own ignores count there, too.
    let own = stage.path().join("home/.config/git");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("ignore"), "*.own\n").unwrap();
    act_ok("echo more > more; echo o > x.own; ! git status --porcelain | grep own && rm x.own");
    act_ok("echo n > n && git add n && git commit -qm 'by the brain' && git status");
    assert_eq!(
        work.git(&["log", "-1", "--format=%s", "khlone/main/foreman.1"]),
        "by the brain"
    );
    let clone = || Work(stage.run_in(&work.0, &["path"]).ok().into());
    let place = clone().0;
    assert!(
        place.is_dir() && place.ends_with("r-.khlone/r--main.foreman.1"),
        "{}",
        place.display()
    );
    assert_eq!(clone().status(), "");
    stage.run_in(&work.0, &["zone", "remove", "--force", "main"]).ok();
    stage.run_in(&work.0, &["undo"]).ok();
    assert_eq!(
        (clone().status(), file(&clone(), b"d\xfe/x")),
        (String::new(), Some(b"x\n".to_vec()))
    );
    stage.run_in(&work.0, &["land", "foreman.1"]).ok();
    assert_eq!(
        (work.status(), file(&work, b"new\xff"), file(&work, b"old\xff")),
        (String::new(), Some(b"o\n".to_vec()), None)
    );
    // A branch is a zone by its name, and that stands in documents.
    let git = Cmd::new("git")
        .arg("switch")
        .arg("-qc")
        .arg(OsStr::from_bytes(b"feat-\xff"))
        .dir(&work.0);
    git.output().unwrap();
    let refused = act("true");
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(
        refused.err.contains(r"feat-\xFF") && refused.err.contains("UTF-8"),
        "{}",
        refused.err
    );
    stage.run_in(&work.0, &[]).ok();
    let there = [
        "act",
        "--who",
        "@shell",
        "--await",
        "--zone",
        "main",
        "echo z > z",
    ];
    let said = stage.run_in(&work.0, &there);
    assert_eq!(said.code, 0, "{}", said.err);
    stage
        .run_in(&work.0, &["land", "foreman.1", "--zone", "main"])
        .ok();
    stage.run_in(&work.0, &["daemon", "stop"]).ok();
    fs::rename(&work.0, &stage.work.0).unwrap();
}

#[test]
fn lines_of_attributes_that_git_passes_over_stop_no_task() {
    let long = format!("*.x {}\n", "a".repeat(3000));
    let stage = Stage::with(&[("a.txt", "a\n"), (".gitattributes", &long)]);
    let (said, task) = stage.act("echo n > n; echo '*.y text' >> .gitattributes");
    assert_eq!(
        (said.code, task["outcome"].as_str()),
        (0, Some("done")),
        "{}",
        said.err
    );
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.status(), "");
}

#[test]
fn a_bare_repository_that_is_worked_in_is_never_left_behind() {
    let stage = Stage::new();
    let home = stage.path().join("home");
    let (store, tree) = (home.join(".cfg"), home.to_str().unwrap());
    let git = |args: &[&str]| {
        let dir = ["--git-dir", store.to_str().unwrap(), "--work-tree", tree];
        stage.work.git(&[&dir[..], args].concat())
    };
    stage
        .work
        .git(&["init", "-q", "--bare", "-b", "main", store.to_str().unwrap()]);
    for (key, value) in [
        ("status.showUntrackedFiles", "no"),
        ("user.name", "Ann"),
        ("user.email", "ann@example.com"),
    ] {
        git(&["config", key, value]);
    }
    fs::write(home.join(".bashrc"), "x\n").unwrap();
    git(&["add", ".bashrc"]);
    git(&["commit", "-qm", "dotfiles"]);
    let run = |args: &[&str]| {
        let cmd = stage
            .cmd(&home, args)
            .env("GIT_DIR", &store)
            .env("GIT_WORK_TREE", tree);
        said(cmd)
    };
    let acted = run(&[
        "act",
        "--who",
        "@shell",
        "--zone",
        "main",
        "--await",
        "echo more >> .bashrc",
    ]);
    assert_eq!(acted.code, 0, "{}", acted.err);
    let refused = run(&["land", "foreman.1", "--zone", "main"]);
    assert!(
        refused.code == 4 && refused.err.contains("merge khlone/main/"),
        "{}",
        refused.err
    );
    assert_eq!(git(&["status", "--short"]), "");
    git(&["merge", "-q", "khlone/main/foreman.1"]);
    assert_eq!(fs::read_to_string(home.join(".bashrc")).unwrap(), "x\nmore\n");
    run(&["daemon", "stop"]).ok();
}

#[test]
fn long_names_are_no_matter() {
    let stage = Stage::new();
    let part = |n: usize| "z".repeat(n);
    let deep = [part(230), part(230), part(230), part(230), part(230)].join("/");
    for branch in [part(244), deep] {
        stage.work.git(&["switch", "-qc", &branch]);
        let file = format!("{}/{}", part(250), part(255));
        let (said, task) = stage.act(&format!("mkdir -p {}; echo {} > {file}", part(250), branch.len()));
        assert_eq!(
            (said.code, task["outcome"].as_str()),
            (0, Some("done")),
            "{}",
            said.err
        );
        stage.run(&["land"]).ok();
        assert_eq!(
            (stage.work.status(), stage.work.read(&file).is_some()),
            (String::new(), true)
        );
        stage.run(&["zone", "remove", "--force", &branch]).ok();
        stage.run(&["undo"]).ok();
        assert_eq!(stage.clone().status(), "");
    }
    assert_eq!(stage.run(&["fsck"]).code, 0);
}

#[test]
fn a_file_that_git_is_told_not_to_see_is_named_where_a_landing_would_change_it() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let stage = Stage::with(&[("a b.txt", "a\n"), ("other", "o\n"), ("same", "s\n")]);
        stage.act("echo more >> 'a b.txt'; echo more >> same");
        stage
            .work
            .git(&["update-index", flag, "a b.txt", "other", "same"]);
        stage.work.write("a b.txt", "mine\n");
        stage.work.write("other", "mine\n");
        let before = stage.work.bytes();
        let refused = stage.run(&["land"]);
        assert_eq!(refused.code, 4, "{flag}: {}", refused.err);
        assert!(
            refused
                .err
                .contains("told not to see (assume-unchanged or skip-worktree): a b.txt\n"),
            "{}",
            refused.err
        );
        assert!(before == stage.work.bytes(), "{flag}");
        let next = refused
            .err
            .lines()
            .find_map(|line| line.trim().strip_prefix("next: "))
            .unwrap();
        stage
            .surrounded(Cmd::new("sh").args(["-ec", next]))
            .output()
            .unwrap();
        assert!(stage.work.status().ends_with("M \"a b.txt\""), "{flag}");
        stage.work.git(&["checkout", "-q", "HEAD", "--", "a b.txt"]);
        stage.run(&["land"]).ok();
        assert_eq!(stage.work.read("other").as_deref(), Some("mine\n"), "{flag}");
    }
}
