//! Repositories whose git folder is not the `.git` in their main checkout.

use std::{fs, os::unix::fs::symlink};

use crate::{scratch::Work, stage::Stage};

/// How the git folder came to stand elsewhere.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `git init --separate-git-dir`.
    Separate,
    /// `.git` is a link to it.
    Linked,
    /// A link to a folder that is called `.git` as well.
    LinkedToDotGit,
}

const SHAPES: [Shape; 3] = [Shape::Separate, Shape::Linked, Shape::LinkedToDotGit];

/// A stage whose git folder stands elsewhere; and that folder.
fn stage(shape: Shape) -> (Stage, Work) {
    let stage = Stage::new();
    let top = stage.path();
    let (dot_git, store) = (stage.work.0.join(".git"), top.join("store"));
    let target = match shape {
        Shape::Separate => {
            let store = store.to_str().unwrap();
            stage.work.git(&["init", "-q", "--separate-git-dir", store]);
            return (stage, Work(store.into()));
        }
        Shape::Linked => store,
        Shape::LinkedToDotGit => {
            fs::create_dir(&store).unwrap();
            store.join(".git")
        }
    };
    fs::rename(&dot_git, &target).unwrap();
    symlink(&target, &dot_git).unwrap();
    (stage, Work(target))
}

#[test]
fn land_brings_the_main_checkout_along_or_refuses() {
    for shape in SHAPES {
        let (stage, store) = stage(shape);
        let (said, _) = stage.act("echo more >> a.txt; echo n > new");
        assert_eq!(said.code, 0, "{shape:?}: {}", said.err);
        let clone = stage.clone();
        assert!(clone.0.starts_with(stage.path().join("repo.khlone")), "{shape:?}");
        stage.run(&["land"]).ok();
        assert_eq!(
            (stage.work.status(), stage.work.read("new")),
            (String::new(), Some("n\n".into()))
        );
        // From another worktree, and from the git folder itself, nothing but what was remembered says where it is.
        let linked = stage.path().join("linked");
        stage
            .work
            .git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
        for (place, file) in [(&linked, "from-linked"), (&store.0, "from-store")] {
            stage.act(&format!("echo n > {file}"));
            let landed = stage.run_in(place, &["land", "foreman.1", "--zone", "main"]);
            assert_eq!(landed.code, 0, "{shape:?} {}: {}", place.display(), landed.err);
            assert_eq!(
                (stage.work.status(), stage.work.read(file)),
                (String::new(), Some("n\n".into()))
            );
        }
        stage.act("echo again >> a.txt");
        stage.work.write("a.txt", "mine\n");
        let before = (stage.work.bytes(), stage.work.tip("main"));
        for place in [&stage.work.0, &linked] {
            let refused = stage.run_in(place, &["land", "foreman.1", "--zone", "main"]);
            assert_eq!(refused.code, 4, "{shape:?}: {}", refused.err);
        }
        assert!(
            before == (stage.work.bytes(), stage.work.tip("main")),
            "{shape:?}"
        );
    }
}

#[test]
fn a_main_checkout_that_is_not_known_is_never_left_behind() {
    let (stage, store) = stage(Shape::Separate);
    stage.act("echo n > new");
    let linked = stage.path().join("linked");
    stage
        .work
        .git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    // It was moved, as a folder may be: its `.git` still leads to the git folder, but nothing leads back.
    let moved = Work(stage.path().join("moved"));
    fs::rename(&stage.work.0, &moved.0).unwrap();
    let land = ["land", "foreman.1", "--zone", "main"];
    let refused = stage.run_in(&linked, &land);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("git khlone"), "{}", refused.err);
    assert_eq!(moved.status(), "");
    // What it says helps.
    stage.run_in(&moved.0, &[]).ok();
    stage.run_in(&linked, &land).ok();
    assert_eq!(
        (moved.status(), moved.read("new")),
        (String::new(), Some("n\n".into()))
    );
    stage.run_in(&store.0, &["daemon", "stop"]).ok();
}

#[test]
fn settings_of_a_linked_worktree_do_not_decide_about_the_main_one() {
    // `git sparse-checkout` in a worktree of a bare repository moves `core.bare` to the settings of its own.
    let stage = Stage::new();
    let bare = stage.path().join("proj/.git");
    stage
        .work
        .git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let (bare, tree) = (Work(bare), Work(stage.path().join("tree")));
    bare.git(&["worktree", "add", "-q", "-b", "side", tree.0.to_str().unwrap()]);
    tree.git(&["sparse-checkout", "init"]);
    tree.git(&["sparse-checkout", "disable"]);
    assert_eq!(
        bare.try_git(&["config", "--file", "config", "core.bare"]).ok(),
        None
    );
    let done = stage.run_in(
        &tree.0,
        &[
            "act",
            "--who",
            "@shell",
            "--await",
            "--zone",
            "main",
            "echo n > n",
        ],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    let landed = stage.run_in(&tree.0, &["land", "foreman.1", "--zone", "main"]);
    assert_eq!(landed.code, 0, "{}", landed.err);
    assert_eq!(bare.git(&["show", "main:n"]), "n");
    assert!(!stage.path().join("proj/n").exists());
    stage.run_in(&tree.0, &["daemon", "stop"]).ok();
}

#[test]
fn a_mirror_has_worktrees_of_its_own() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let original = stage.clone();
    let before = (original.bytes(), stage.work.git(&["for-each-ref"]));
    let mirror = Work(stage.path().join("mirror"));
    let git_dir = mirror.0.join(".git");
    stage
        .work
        .git(&["clone", "-q", "--mirror", ".", git_dir.to_str().unwrap()]);
    for (key, value) in [
        ("core.bare", "false"),
        ("user.name", "Ann"),
        ("user.email", "ann@example.com"),
    ] {
        mirror.git(&["config", key, value]);
    }
    mirror.git(&["reset", "-q", "--hard"]);
    let act = |script: &str| {
        let said = stage.run_in(&mirror.0, &["act", "--who", "foreman.1", "--await", "-m", script]);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    let clone = || Work(stage.run_in(&mirror.0, &["path", "foreman.1"]).ok().into());
    act("cat one; echo two > two");
    assert!(
        clone().0.starts_with(stage.path().join("mirror.khlone")),
        "{}",
        clone().0.display()
    );
    assert_eq!(clone().status(), "");
    stage.run_in(&mirror.0, &["land", "foreman.1"]).ok();
    assert_eq!(
        (mirror.status(), mirror.read("two")),
        (String::new(), Some("two\n".into()))
    );
    // Fetched anew, the zone has the original's place again.
    mirror.git(&[
        "fetch",
        "-q",
        "origin",
        "+refs/khlone/zones/*:refs/khlone/zones/*",
    ]);
    act("echo three > three");
    assert_eq!(
        (clone().status(), clone().read("two").is_some()),
        (String::new(), true)
    );
    stage
        .run_in(&mirror.0, &["zone", "remove", "--force", "main"])
        .ok();
    stage.run_in(&mirror.0, &["undo"]).ok();
    assert_eq!(clone().status(), "");
    assert!(before == (original.bytes(), stage.work.git(&["for-each-ref"])));
    stage.run_in(&mirror.0, &["daemon", "stop"]).ok();
}

#[test]
fn a_site_folder_that_is_a_link_is_refused_before_a_task_is_queued() {
    let stage = Stage::new();
    stage.act("echo n > n");
    drop(stage.run(&["daemon", "stop"]));
    let (own, disk) = (stage.work.0.join(".git/khlone"), stage.path().join("other disk"));
    let relative = fs::canonicalize(&own).unwrap();
    let tasks = || stage.work.git(&["for-each-ref", "refs/khlone"]);
    let before = tasks();
    for (path, target) in [
        (own.clone(), disk.clone()),
        (own.clone(), "../../other disk".into()),
        (own.join("attempts"), disk.clone()),
        (own.join("locks"), disk),
    ] {
        fs::rename(&path, stage.path().join("other disk")).unwrap();
        symlink(&target, &path).unwrap();
        for args in [
            &["act", "--who", "@shell", "echo m > m"][..],
            &["land"],
            &["status"],
        ] {
            let refused = stage.run(args);
            assert_eq!(refused.code, 4, "{args:?}: {}", refused.err);
            assert!(refused.err.contains("is a symbolic link to"), "{}", refused.err);
        }
        // What it says helps.
        let refused = stage.run(&["status"]).err;
        let next = refused
            .lines()
            .find_map(|line| line.trim().strip_prefix("next: "))
            .unwrap();
        let mended = stage.surrounded(git_khlone::process::Cmd::new("sh").args(["-ec", next]));
        mended.output().unwrap();
        assert_eq!(fs::canonicalize(&own).unwrap(), relative);
        stage.run(&["status"]).ok();
        assert_eq!(tasks(), before);
    }
    // One that leads nowhere.
    let aside = stage.path().join("aside");
    fs::rename(&own, &aside).unwrap();
    symlink("/nonexistent/x", &own).unwrap();
    let refused = stage.run(&["act", "--who", "@shell", "true"]);
    assert!(
        refused.code == 4 && refused.err.contains("next: rm "),
        "{}",
        refused.err
    );
    fs::remove_file(&own).unwrap();
    fs::rename(&aside, &own).unwrap();
    symlink("/nonexistent/x", own.join("spare")).unwrap();
    let refused = stage.run(&["act", "--who", "@shell", "true"]);
    assert!(
        refused.code == 4 && refused.err.contains("next: rm "),
        "{}",
        refused.err
    );
    fs::remove_file(own.join("spare")).unwrap();
    stage.act("echo m > m");
    stage.run(&["land"]).ok();
}
