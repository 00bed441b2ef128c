//! Where the main job is done: every kind of repository, folder, zone, site and prompt.

use std::fs;

use crate::stage::{Stage, said};

#[test]
fn it_works_from_every_kind_of_place() {
    let stage = Stage::with(&[("a.txt", "a\n"), ("sub/b.txt", "b\n")]);
    let act = |dir: &std::path::Path, more: &[&str]| {
        let mut args = vec!["act", "--who", "@shell", "--await"];
        args.extend(more);
        args.push("date +%N > stamp");
        stage.run_in(dir, &args)
    };
    assert_eq!(act(&stage.work.0.join("sub"), &[]).code, 0);
    // Inside the clone's worktree, the zone is that clone's.
    assert_eq!(act(&stage.clone().0, &[]).code, 0);
    // In a linked worktree of the user's.
    let linked = stage.path().join("linked tree");
    stage.work.git(&[
        "worktree",
        "add",
        "-q",
        "-b",
        "feat/auth",
        linked.to_str().unwrap(),
    ]);
    assert_eq!(act(&linked, &[]).code, 0);
    assert!(
        stage
            .work
            .git(&["branch", "--list", "khlone/feat-auth-*/foreman.1"])
            .contains("feat-auth")
    );
    // Under a hook's environment.
    let hooked = stage.cmd(
        &stage.work.0,
        &["act", "--who", "@shell", "--await", "date +%N > stamp"],
    );
    let hooked = hooked
        .env("GIT_DIR", "/nonexistent")
        .env("GIT_INDEX_FILE", "/nonexistent/index")
        .env("GIT_PREFIX", "");
    assert_eq!(said(hooked).code, 0);
    // An unknown zone names the nearest; --create makes it.
    let unknown = act(&stage.work.0, &["--zone", "feat/aut"]);
    assert_eq!(unknown.code, 3);
    assert!(unknown.err.contains("feat/auth"), "{}", unknown.err);
    assert_eq!(act(&stage.work.0, &["--zone", "@neu", "--create"]).code, 0);
    // A detached HEAD and an unborn branch say what to give.
    stage.work.git(&["checkout", "-q", "--detach"]);
    assert_eq!(act(&stage.work.0, &[]).code, 2);
    let empty = stage.path().join("empty");
    stage.work.git(&["init", "-q", empty.to_str().unwrap()]);
    let unborn = act(&empty, &[]);
    assert_eq!(unborn.code, 4, "{}", unborn.err);
    assert!(unborn.err.contains("git commit"), "{}", unborn.err);
    // A bare repository with --zone.
    let bare = stage.path().join("bare.git");
    stage
        .work
        .git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    assert_eq!(act(&bare, &[]).code, 2);
    let done = act(&bare, &["--zone", "main"]);
    assert_eq!(done.code, 0, "{}", done.err);
    drop(stage.run_in(&bare, &["daemon", "stop"]));
}

#[test]
fn zones_with_like_names_live_together() {
    let stage = Stage::new();
    for branch in ["feat", "Feat/A", "feat/a", "修正"] {
        if branch == "feat/a" {
            // git itself cannot have a branch below a branch; the zone of the removed one stays in the ledger.
            stage.work.git(&["branch", "-D", "feat"]);
        }
        let done = stage.run(&[
            "act",
            "--who",
            "@shell",
            "--await",
            "--zone",
            branch,
            "--create",
            "echo x > x",
        ]);
        assert_eq!(done.code, 0, "{branch}: {}", done.err);
    }
    let zones: serde_json::Value =
        serde_json::from_str(&stage.run(&["--json", "list", "zones"]).ok()).unwrap();
    assert_eq!(zones["zones"].as_array().unwrap().len(), 4);
}

#[test]
fn prompts_of_any_shape_arrive_whole() {
    let stage = Stage::new();
    let long = format!(": {}\nprintf done > long", "x".repeat(200_000));
    let file = stage.path().join("prompt");
    fs::write(&file, &long).unwrap();
    let done = stage.run(&["act", "--who", "@shell", "--await", "-F", file.to_str().unwrap()]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(stage.task(&done.id())["prompt"], long);
    let odd = "-n \"$(touch evil)\" `x` ; '\n; echo \u{1b}[31mred";
    let dashed = stage.run(&["act", "--who", "@shell", "-m", odd]).ok();
    assert_eq!(stage.task(&dashed)["prompt"], odd);
    assert!(!stage.run(&["list"]).ok().contains('\u{1b}'));
    assert_eq!(stage.run(&["act", "--who", "@shell", "-m", " "]).code, 2);
}

#[test]
fn a_task_may_start_from_the_users_uncommitted_files() {
    let stage = Stage::new();
    stage.work.write("a.txt", "edited\n");
    stage.work.write("new.txt", "new\n");
    let told = stage.run(&["act", "--who", "@shell", "--await", "grep -q edited a.txt"]);
    assert!(told.err.contains("--with-changes"), "{}", told.err);
    assert_eq!(told.code, 1);
    let done = stage.run(&[
        "act",
        "--who",
        "@shell",
        "--await",
        "--with-changes",
        "grep edited a.txt && cat new.txt && echo z > z",
    ]);
    assert_eq!(done.code, 0, "{}", done.err);
    // What was taken along is in its commit, and lands with it.
    assert_eq!(stage.run(&["diff", "--name-only"]).ok(), "a.txt\nnew.txt\nz");
    assert_eq!(stage.work.read("a.txt").as_deref(), Some("edited\n"));
}

#[test]
fn sites_are_told_apart_and_found_by_name() {
    let (one, two) = (Stage::new(), Stage::new());
    let other = one.path().join("elsewhere/web");
    fs::create_dir_all(&other).unwrap();
    one.work.git(&["clone", "-q", ".", other.to_str().unwrap()]);
    let act = ["act", "--who", "@shell", "--await", "echo x > x"];
    assert_eq!(one.run(&act).code, 0);
    assert_eq!(one.run_in(&other, &act).code, 0);
    assert_eq!(two.run(&act).code, 0);
    // From one repository into the zone of the other.
    let there = one.run(&[
        "act",
        "--who",
        "@shell",
        "--await",
        "--zone",
        "web@main",
        "echo y > y",
    ]);
    assert_eq!(there.code, 0, "{}", there.err);
    assert_eq!(one.run_in(&other, &["diff", "--name-only"]).ok(), "y");
    assert_eq!(one.run(&["diff", "--name-only"]).ok(), "x");
    assert_eq!(
        one.run(&["act", "--who", "@shell", "--zone", "nowhere@main", "true"])
            .code,
        3
    );
    // A copied repository is another site: it runs nothing of the original's.
    drop(one.run_in(&other, &["daemon", "stop"]));
}

#[test]
fn a_partial_clone_is_refused_before_anything_is_queued() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::new();
    stage.work.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", stage.work.0.display());
    let partial = stage.path().join("partial");
    let name = partial.to_str().unwrap();
    stage.work.git(&["clone", "-q", "--filter=blob:none", &url, name]);
    let said = stage.run_in(&partial, &["act", "--who", "@shell", "true"]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(
        said.err.contains("partial clone of `origin`") && said.err.contains("--refetch"),
        "{}",
        said.err
    );
    assert_eq!(stage.run_in(&partial, &["list", "tasks"]).ok(), "");
    // What it says helps.
    for step in [
        ["config", "--unset", "remote.origin.partialclonefilter"].as_slice(),
        &["config", "--unset", "remote.origin.promisor"],
        &["fetch", "-q", "--refetch", "origin"],
    ] {
        let whole = crate::scratch::Work(partial.clone());
        whole.git(step);
    }
    let said = stage.run_in(&partial, &["act", "--who", "@shell", "--await", "echo b > b"]);
    assert_eq!(said.code, 0, "{}", said.err);
    stage.run_in(&partial, &["daemon", "stop"]).ok();
}

#[test]
fn storage_that_cannot_be_read_is_told_by_every_verb() {
    let stage = Stage::new();
    // Said by its settings, so that the git of this machine need not know it.
    for (extension, hint) in [
        ("objectformat=sha256", ""),
        ("refstorage=reftable", "git refs migrate"),
    ] {
        let (name, value) = extension.split_once('=').unwrap();
        let place = stage.path().join(name);
        stage.work.git(&["init", "-q", place.to_str().unwrap()]);
        let settings = place.join(".git/config");
        let text = fs::read_to_string(&settings).unwrap();
        let text = text.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
        fs::write(&settings, format!("{text}[extensions]\n\t{name} = {value}\n")).unwrap();
        for verb in [[].as_slice(), &["status"], &["act", "--who", "@shell", "true"]] {
            let said = stage.run_in(&place, verb);
            assert_eq!((said.code, said.out.as_str()), (4, ""), "{verb:?} {}", said.err);
            assert!(
                said.err.contains("cannot read yet") && said.err.contains(hint),
                "{}",
                said.err
            );
        }
    }
}

#[test]
fn a_brain_starts_in_the_callers_folder() {
    for sandbox in ["auto", "off"] {
        let stage = Stage::with(&[("a.txt", "a\n"), ("sub/deep/b.txt", "b\n")]);
        let config = stage.path().join("home/.config/khlone");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.yml"), format!("sandbox: {sandbox}\n")).unwrap();
        let deep = stage.work.0.join("sub/deep");
        let act = |dir: &std::path::Path, script: &str| {
            let said = stage.run_in(dir, &["act", "--who", "@shell", "--await", "-m", script]);
            assert_eq!(said.code, 0, "{sandbox}: {}", said.err);
            (said.id(), said.out)
        };
        let (id, out) = act(&deep, "cat b.txt; echo new > new.txt; echo 'On?'");
        assert_eq!(out, "b\nOn?\n");
        assert_eq!(stage.task(&id)["folder"], "sub/deep");
        assert_eq!(stage.run(&["diff", "--name-only"]).ok(), "sub/deep/new.txt");
        assert!(act(&stage.work.0, "cat a.txt").1.starts_with('a'));
        // An answer goes on where the question was asked, wherever it is given.
        let said = stage.run(&["reply", &id, "--await", "-m", "cat new.txt"]);
        assert_eq!(said.out, "new\n", "{}", said.err);
        // A folder that the clone has not, or that leads out of its worktree, is no place to start.
        fs::create_dir(stage.work.0.join("mine")).unwrap();
        assert_eq!(act(&stage.work.0.join("mine"), "cat a.txt").1, "a\n");
        act(&stage.work.0, "ln -s /usr mine");
        assert_eq!(act(&stage.work.0.join("mine"), "cat a.txt").1, "a\n");
    }
}

#[test]
fn words_that_a_newcomer_tries_are_understood() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::new();
    let (_, first) = stage.act("echo one");
    stage
        .run(&["act", "--who", "@shell++", "--await", "-m", "echo two"])
        .ok();
    // A clone's name stands for its newest task.
    let shown = stage.run(&["show", "foreman.1"]).ok();
    assert!(shown.starts_with(first["task"].as_str().unwrap()), "{shown}");
    assert_eq!(stage.run(&["await", "foreman.1"]).out, "one\n");
    assert!(
        stage
            .run(&["log", "foreman.3"])
            .err
            .contains("no clone `foreman.3`")
    );
    // As git reads it.
    let piped = stage
        .cmd(&stage.work.0, &["act", "--who", "@shell", "--await", "-F", "-"])
        .input("echo from stdin");
    assert_eq!(said(piped).out, "from stdin\n");
    let (_, failed) = stage.act("exit 3");
    assert_eq!(
        failed["reasons"].as_array().unwrap().len(),
        1,
        "{}",
        failed["reasons"]
    );
    let log = stage.run(&["log"]).ok();
    let ended = log.lines().find(|line| line.ends_with("  failed"));
    assert!(
        ended.is_some() && log.lines().all(|line| !line.ends_with(' ')),
        "{log}"
    );
    assert!(stage.run(&["undo", "--list"]).err.contains("nothing to undo"));
    assert!(stage.run(&["zone", "prune"]).err.contains("nothing to prune"));
    let trust = stage.run(&["trust"]);
    assert!(
        trust.code == 0 && trust.err.contains("asks for nothing that needs trust"),
        "{}",
        trust.err
    );
    let outside = stage.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let bare = stage.run_in(&outside, &[]);
    assert!(
        bare.code == 2 && bare.err.contains("not in a git repository"),
        "{}",
        bare.err
    );
}

/// A repository that was deleted without the folder of its worktrees, and another one of its name.
#[test]
fn a_folder_of_an_earlier_repository_is_not_a_clones() {
    let stage = Stage::new();
    stage.act("echo one > one.txt");
    let old = stage.clone();
    old.write("mine", "mine\n");
    drop(stage.run(&["daemon", "stop"]));
    fs::remove_dir_all(&stage.work.0).unwrap();
    fs::create_dir(&stage.work.0).unwrap();
    stage.work.git(&["init", "-q", "-b", "main"]);
    stage.work.git(&["config", "user.name", "Ann"]);
    stage.work.git(&["config", "user.email", "ann@example.com"]);
    stage.work.commit(&[("b.txt", "b\n")], "another one");
    let before = old.bytes();
    let (said, task) = stage.act("ls > seen; echo two > two.txt");
    assert_eq!(task["status"], "done", "{}", said.err);
    let reasons = task["reasons"].to_string();
    let name = old.0.to_str().unwrap();
    assert!(
        reasons.contains(&format!("{name} is not a worktree of this repository")),
        "{reasons}"
    );
    assert_ne!(stage.clone().0, old.0);
    assert_eq!(stage.clone().read("seen").as_deref(), Some("b.txt\nseen\n"));
    assert_eq!(stage.run(&["diff", "--name-only"]).ok(), "seen\ntwo.txt");
    assert_eq!(old.bytes(), before);
    // The next task of the clone stays where it is, and says no more of it.
    let (_, next) = stage.act("echo three > three.txt");
    assert!(!next["reasons"].to_string().contains(name), "{next:#}");
    stage.run(&["gc"]).ok();
    assert_eq!(old.bytes(), before);
}

/// Lets a folder belong to another user, where this one may do that.
fn give_away(path: &std::path::Path) -> bool {
    std::os::unix::fs::lchown(path, Some(4999), Some(4999)).is_ok()
}

fn open_to_all(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_others_rule_holds_no_worktree() {
    let stage = Stage::new();
    let holder = stage.path().join("repo.khlone");
    let refused = |named: &str, cause: &str| {
        let refused = stage.run(&["act", "--who", "@shell", "echo x > x"]);
        assert_eq!(refused.code, 4, "{named}: {}", refused.err);
        let says = |what: &str| refused.err.contains(what);
        assert!(
            says(named) && says(cause) && says("worktree.root"),
            "{}",
            refused.err
        );
        assert!(!stage.run(&["list", "tasks"]).ok().contains("t-"), "{named}");
    };
    fs::create_dir(&holder).unwrap();
    open_to_all(&holder, 0o777);
    refused("repo.khlone", "can be written by other users");
    if give_away(&holder) {
        open_to_all(&holder, 0o1777);
        refused("repo.khlone", "belongs to user 4999");
    }
    fs::remove_dir(&holder).unwrap();
    // A link that another made, into the user's own; a folder of another's on the way.
    let own = stage.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::symlink(&own, &holder).unwrap();
    if give_away(&holder) {
        refused("repo.khlone", "belongs to user 4999");
    }
    fs::remove_file(&holder).unwrap();
    let way = stage.path().join("way");
    fs::create_dir_all(way.join("zones")).unwrap();
    open_to_all(&way, 0o777);
    stage.work.write("khlone.yml", "worktree: {root: ../way/zones}\n");
    stage.run(&["trust", "--yes"]).ok();
    refused("way", "can be written by other users");
    // With the bit that keeps others from renaming, and where none was before.
    open_to_all(&way, 0o1777);
    assert_eq!(stage.act("echo y > y").0.code, 0);
    assert!(
        stage.clone().0.starts_with(way.canonicalize().unwrap()),
        "{}",
        stage.clone().0.display()
    );
}

#[test]
fn a_link_in_the_place_of_a_worktree_is_not_followed() {
    let stage = Stage::new();
    assert_eq!(stage.act("echo one > one").0.code, 0);
    let place = stage.clone().0;
    let (precious, was) = (stage.path().join("precious"), stage.path().join("was"));
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("p"), "p\n").unwrap();
    fs::rename(&place, &was).unwrap();
    std::os::unix::fs::symlink(&precious, &place).unwrap();
    let names = || {
        let entries = fs::read_dir(&precious).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    let said = stage.run(&["act", "--who", "@shell", "--await", "-m", "echo two > two"]);
    assert_eq!((said.code, said.out.as_str()), (4, ""), "{}", said.err);
    assert!(said.err.contains("is a link to"), "{}", said.err);
    assert_eq!(names(), ["p"], "the brain did not run there");
    let mended = stage.run(&["zone", "repair"]);
    assert!(
        mended.out.contains("is a link to"),
        "{}{}",
        mended.out,
        mended.err
    );
    assert_eq!(names(), ["p"], "zone repair");
    if give_away(&place) {
        for verb in [&["rollback"] as &[&str], &["zone", "remove", "--force", "main"]] {
            drop(stage.run(verb));
            assert_eq!(names(), ["p"], "{verb:?}");
        }
    }
    // The user moved the worktree, and left a link.
    let stage = Stage::new();
    assert_eq!(stage.act("echo one > one").0.code, 0);
    let (place, moved) = (stage.clone().0, stage.path().join("moved"));
    fs::rename(&place, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &place).unwrap();
    assert_eq!(stage.act("echo three > three").0.code, 0);
    assert!(moved.join("three").exists());
}

#[test]
fn a_home_that_cannot_be_written_is_told_before_a_task_is_queued() {
    let stage = Stage::new();
    let file = stage.path().join("file");
    fs::write(&file, "").unwrap();
    let at =
        |args: &[&str], home: &std::path::Path| said(stage.cmd(&stage.work.0, args).env("KHLONE_HOME", home));
    for home in [file.clone(), file.join("below"), "/proc/none".into()] {
        let refused = at(&["act", "--who", "@shell", "--await", "echo x > x"], &home);
        assert_eq!(refused.code, 4, "{}", refused.err);
        let says = |what: &str| refused.err.contains(what);
        assert!(
            says(home.to_str().unwrap()) && says("export KHLONE_HOME="),
            "{}",
            refused.err
        );
        let told = at(&["doctor"], &home);
        assert!(
            told.out.contains("cannot be written") && told.out.contains("export KHLONE_HOME="),
            "{}{}",
            told.out,
            told.err
        );
    }
    assert!(!stage.run(&["list", "tasks"]).ok().contains("t-"));
    assert_eq!(stage.act("echo x > x").0.code, 0);
}

#[test]
fn a_repository_around_this_one_sees_nothing_of_the_worktrees() {
    let stage = Stage::new();
    let outer = around(&stage);
    stage.act("echo b > b");
    let holder = stage.path().join("repo.khlone");
    assert_eq!(fs::read_to_string(holder.join(".gitignore")).unwrap(), "*\n");
    assert_eq!(outer.status(), "");
    outer.git(&["add", "-A"]);
    assert_eq!(outer.git(&["diff", "--cached", "--name-only"]), "");
    // In the worktree the file has no say: what the clone made is seen.
    assert_eq!(stage.clone().read("b").as_deref(), Some("b\n"));
    stage.run(&["land"]).ok();
    stage.run(&["gc"]).ok();
    assert_eq!(outer.status(), "");
    stage.run(&["zone", "remove", "main"]).ok();
    assert!(!holder.exists());
}

/// A repository whose work tree all of the stage stands in, as with dotfiles in the home.
fn around(stage: &Stage) -> crate::scratch::Work {
    let outer = crate::scratch::Work(stage.path());
    outer.git(&["init", "-q"]);
    fs::write(outer.0.join(".gitignore"), "/repo/\n/home/\n/run/\n/.gitignore\n").unwrap();
    outer
}
