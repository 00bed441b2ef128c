//! Worktrees are made, found, mended and removed in real repositories.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use git_khlone::{
    process::Cmd,
    task::{CloneName, ZoneId},
    worktree::{
        checkout::Checkout,
        create::{CreateError, Made, Ready, Want, ensure},
        include::copied_paths,
        place::{Rules, choose},
        setup::{self, SetupError, Why},
    },
};

use crate::scratch::{Scratch, Work};

const FILES: &[(&str, &str)] = &[
    ("a", "a\n"),
    ("dir/b", "b\n"),
    (".gitignore", ".env*\nbuild/\nsecrets/\n"),
];

fn zone() -> ZoneId {
    ZoneId::of_branch("main")
}

fn clone_name(number: u32) -> CloneName {
    format!("foreman.{number}").parse().unwrap()
}

fn make(work: &Work, number: u32, folders: &[String]) -> Result<Ready, CreateError> {
    let repo = work.open();
    let rules = Rules {
        root: None,
        data_home: Path::new("/nonexistent"),
    };
    let branch = format!("khlone/main/foreman.{number}");
    let chosen = choose(&repo, &rules, &zone(), &clone_name(number)).unwrap();
    // Once it was made, its place is recorded.
    let was_made = repo
        .ref_target(&format!("refs/heads/{branch}"))
        .unwrap()
        .is_some();
    let place = chosen.passed.filter(|_| was_made).unwrap_or(chosen.place);
    let start = repo.ref_target("refs/heads/main").unwrap().unwrap();
    ensure(
        &repo,
        &Want {
            place: &place,
            branch: &branch,
            start,
            folders,
        },
    )
}

fn made(work: &Work, number: u32) -> (Work, Made) {
    let ready = make(work, number, &[]).unwrap();
    (Work(ready.checkout.path), ready.made)
}

#[test]
fn a_new_one_is_an_ordinary_linked_worktree() {
    let scratch = Scratch::new();
    let main = scratch.repo("my app", FILES);
    let before = main.bytes();
    let (clone, made) = made(&main, 1);
    assert_eq!(made, Made::New);
    assert_eq!(
        clone.0,
        scratch.path().join("my app.khlone/my app-main.foreman.1")
    );
    assert_eq!(
        clone.git(&["symbolic-ref", "HEAD"]),
        "refs/heads/khlone/main/foreman.1"
    );
    assert_eq!(
        (clone.status().as_str(), clone.read("dir/b").as_deref()),
        ("", Some("b\n"))
    );
    assert!(main.git(&["worktree", "list"]).contains("my app-main.foreman.1"));
    assert_eq!(
        main.git(&["worktree", "prune", "--dry-run", "-v", "--expire=now"]),
        ""
    );
    assert_eq!(main.git(&["fsck", "--strict"]), "");
    main.git(&["worktree", "remove", clone.0.to_str().unwrap()]);
    main.git(&["branch", "-D", "khlone/main/foreman.1"]);
    fs::remove_dir_all(main.0.join(".git/logs/refs/heads/khlone")).ok();
    fs::remove_dir_all(main.0.join(".git/refs/heads/khlone")).ok();
    assert_eq!(before, main.bytes());
}

#[test]
fn it_is_found_again_with_everything_in_it() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let (clone, _) = made(&main, 1);
    clone.write("a", "changed\n");
    clone.write("new", "new\n");
    let (again, how) = made(&main, 1);
    assert_eq!((again.0.clone(), how), (clone.0, Made::Reused));
    assert_eq!(again.status(), " M a\n?? new");
}

#[test]
fn from_a_subfolder_a_linked_worktree_and_a_bare_repository() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let (one, _) = made(&Work(main.0.join("dir")), 1);
    let (two, _) = made(&one, 2);
    assert_eq!(two.0, scratch.path().join("app.khlone/app-main.foreman.2"));
    main.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let (three, _) = made(&Work(scratch.path().join("bare.git")), 1);
    assert_eq!(three.0, scratch.path().join("bare.khlone/bare-main.foreman.1"));
    assert_eq!(
        (three.status().as_str(), three.read("a").as_deref()),
        ("", Some("a\n"))
    );
}

#[test]
fn eight_are_made_at_once() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    for n in 0..300 {
        main.write(&format!("many/{n}"), &n.to_string());
    }
    main.commit(&[], "many");
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let main = &main;
            scope.spawn(move || {
                let (clone, how) = made(main, number);
                assert_eq!((how, clone.status().as_str()), (Made::New, ""));
            });
        }
    });
    assert_eq!(main.git(&["worktree", "list"]).lines().count(), 9);
}

#[test]
fn what_was_deleted_moved_or_cut_short_is_put_right_at_the_same_place() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let (clone, _) = made(&main, 1);
    let commit = clone.commit(&[("work", "done\n")], "work");

    fs::remove_dir_all(&clone.0).unwrap();
    assert!(matches!(made(&main, 1).1, Made::Rebuilt(_)), "deleted by hand");
    assert_eq!((clone.tip("HEAD"), clone.status().as_str()), (commit, ""));

    fs::remove_dir_all(&clone.0).unwrap();
    main.git(&["worktree", "prune", "--expire=now"]);
    assert_eq!(made(&main, 1).1, Made::New, "deleted and pruned");
    assert_eq!((clone.tip("HEAD"), clone.status().as_str()), (commit, ""));

    clone.write("a", "mine\n");
    let aside = scratch.path().join("aside");
    main.git(&[
        "worktree",
        "move",
        clone.0.to_str().unwrap(),
        aside.to_str().unwrap(),
    ]);
    assert!(matches!(made(&main, 1).1, Made::Mended(_)), "moved by git");
    assert_eq!((clone.status().as_str(), aside.exists()), (" M a", false));

    fs::remove_file(clone.0.join(".git")).unwrap();
    assert!(matches!(made(&main, 1).1, Made::Mended(_)), "no .git file");
    assert_eq!(clone.status(), " M a");

    let git_dir = Checkout::linked_at(&main.0.join(".git"), &clone.0)
        .unwrap()
        .git_dir;
    fs::remove_dir_all(&git_dir).unwrap();
    assert!(matches!(made(&main, 1).1, Made::Mended(_)), "git folder gone");
    assert_eq!(clone.status(), " M a");

    fs::remove_file(git_dir.join("index")).unwrap();
    assert!(matches!(made(&main, 1).1, Made::Mended(_)), "index gone");
    assert_eq!(clone.status(), " M a");

    fs::write(git_dir.join("locked"), "git-khlone: being made\n").unwrap();
    fs::write(git_dir.join("index.lock"), "").unwrap();
    fs::remove_file(clone.0.join("dir/b")).unwrap();
    assert!(matches!(made(&main, 1).1, Made::Rebuilt(_)), "cut short");
    assert_eq!((clone.tip("HEAD"), clone.status().as_str()), (commit, ""));
    assert_eq!(
        fs::read_dir(clone.0.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left aside"
    );
}

#[test]
fn the_users_lock_and_a_runs_lock() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let checkout = make(&main, 1, &[]).unwrap().checkout;
    assert_eq!(checkout.lock_reason(), None);
    checkout.lock("t-123 runs here").unwrap();
    assert!(
        main.git(&["worktree", "list", "--porcelain"])
            .contains("locked git-khlone: t-123 runs here")
    );
    drop(checkout.locked("t-124 runs here").unwrap());
    assert_eq!(checkout.lock_reason(), None);
    main.git(&[
        "worktree",
        "lock",
        "--reason",
        "mine",
        checkout.path.to_str().unwrap(),
    ]);
    checkout.lock("t-123 runs here").unwrap();
    checkout.unlock().unwrap();
    assert_eq!(checkout.lock_reason().as_deref(), Some("mine"));
}

#[test]
fn foreign_folders_and_branches_are_not_touched() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let holder = Work(scratch.path().join("app.khlone"));
    holder.write("app-main.foreman.1/theirs", "x");
    let (clone, _) = made(&main, 1);
    assert_eq!(clone.0, holder.0.join("app-main.foreman.1-2"));
    assert_eq!(holder.read("app-main.foreman.1/theirs").as_deref(), Some("x"));

    main.git(&["switch", "-q", "-c", "khlone/main/foreman.2"]);
    let error = make(&main, 2, &[]).unwrap_err();
    assert!(matches!(error, CreateError::BranchInUse { .. }), "{error}");
    main.git(&["switch", "-q", "main"]);

    clone.git(&["switch", "-q", "-c", "own"]);
    let want = Want {
        place: &clone.0,
        branch: "khlone/main/foreman.1",
        start: main.tip("main"),
        folders: &[],
    };
    let error = ensure(&main.open(), &want).unwrap_err();
    assert!(error.to_string().contains("is on own"), "{error}");

    let blocked = scratch.repo("blocked", FILES);
    blocked.git(&["branch", "khlone"]);
    let error = make(&blocked, 1, &[]).unwrap_err();
    assert!(error.to_string().contains("`khlone`"), "{error}");
}

#[test]
fn case_colliding_branches_get_places_of_their_own() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let repo = main.open();
    let rules = Rules {
        root: None,
        data_home: Path::new("/nonexistent"),
    };
    let mut places: Vec<_> = ["Feat/A", "feat/a", "feat-a", "修正", "feat"]
        .map(ZoneId::of_branch)
        .iter()
        .map(|zone| {
            let place = choose(&repo, &rules, zone, &clone_name(1)).unwrap().place;
            let branch = format!("khlone/{zone}/foreman.1");
            let start = main.tip("main");
            ensure(
                &repo,
                &Want {
                    place: &place,
                    branch: &branch,
                    start,
                    folders: &[],
                },
            )
            .unwrap();
            place.to_string_lossy().to_lowercase()
        })
        .collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 5);
}

#[test]
fn ignored_files_and_folders_are_copied_when_asked_for() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    main.write(
        ".worktreeinclude",
        ".env\nsecrets/*.key\n!secrets/not.key\nuntracked\n",
    );
    main.git(&["add", ".worktreeinclude"]);
    main.git(&["commit", "-qm", "include"]);
    for name in [
        ".env",
        ".env.local",
        "dir/.env",
        "secrets/a.key",
        "secrets/not.key",
        "build/x/y",
        "untracked",
    ] {
        main.write(name, name);
    }
    symlink("/etc/hostname", main.0.join("build/link")).unwrap();
    let ready = make(
        &main,
        1,
        &["build".to_owned(), "node_modules".to_owned(), "../app".to_owned()],
    )
    .unwrap();
    let clone = Work(ready.checkout.path.clone());
    let mut copied: Vec<_> = copied_paths(&ready.checkout);
    copied.sort();
    assert_eq!(
        copied,
        [".env", "build", "dir/.env", "secrets/a.key"].map(Path::new)
    );
    assert_eq!(clone.read("build/x/y").as_deref(), Some("build/x/y"));
    assert_eq!(
        fs::read_link(clone.0.join("build/link")).unwrap(),
        Path::new("/etc/hostname")
    );
    assert_eq!((clone.read("untracked"), clone.read(".env.local")), (None, None));
    assert_eq!(clone.status(), "");
    assert_eq!(ready.copied.skipped.len(), 2, "{:?}", ready.copied.skipped);
}

#[test]
fn the_users_filters_run_and_hooks_do_not() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let filter = scratch.path().join("smudge");
    fs::write(&filter, "#!/bin/sh\nsed s/pointer/content/\n").unwrap();
    Cmd::new("chmod").arg("+x").arg(&filter).output().unwrap();
    main.commit(
        &[(".gitattributes", "*.bin filter=big\n"), ("x.bin", "pointer\n")],
        "pointer",
    );
    main.git(&["config", "filter.big.smudge", &format!("'{}'", filter.display())]);
    main.git(&["config", "filter.big.clean", "sed s/content/pointer/"]);
    main.git(&["config", "filter.big.required", "true"]);
    main.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch hooked\n");
    Cmd::new("chmod")
        .arg("+x")
        .arg(main.0.join(".git/hooks/post-checkout"))
        .output()
        .unwrap();
    let (clone, _) = made(&main, 1);
    assert_eq!(
        (clone.read("x.bin").as_deref(), clone.status().as_str()),
        (Some("content\n"), "")
    );
    assert!(!clone.0.join("hooked").exists() && !main.0.join("hooked").exists());
}

#[test]
fn a_sparse_checkout_stays_sparse() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    main.commit(&[("keep/x", "x"), ("leave/y", "y")], "two");
    main.git(&["sparse-checkout", "set", "keep"]);
    let (clone, _) = made(&main, 1);
    assert_eq!(
        (clone.read("keep/x").as_deref(), clone.read("leave/y")),
        (Some("x"), None)
    );
    assert_eq!(clone.status(), "");
    main.git(&["sparse-checkout", "disable"]);
    assert_eq!(clone.read("leave/y"), None, "the clone has patterns of its own");
}

#[test]
fn submodules_come_from_local_objects_or_are_named() {
    let scratch = Scratch::new();
    let inner = scratch.repo("inner", &[("i", "inner\n")]);
    let lib = scratch.repo("lib", &[("l", "lib\n")]);
    lib.git(&["submodule", "--quiet", "add", inner.0.to_str().unwrap(), "nested"]);
    lib.commit(&[], "nested");
    let main = scratch.repo("app", FILES);
    main.git(&[
        "submodule",
        "--quiet",
        "add",
        lib.0.to_str().unwrap(),
        "vendor/the lib",
    ]);
    main.git(&["submodule", "--quiet", "add", inner.0.to_str().unwrap(), "gone"]);
    main.git(&["submodule", "--quiet", "update", "--init", "--recursive"]);
    main.commit(&[], "submodules");
    main.git(&["submodule", "--quiet", "deinit", "-f", "gone"]);
    fs::remove_dir_all(main.0.join(".git/modules/gone")).unwrap();
    fs::remove_dir_all(&lib.0).unwrap();
    let ready = make(&main, 1, &[]).unwrap();
    let clone = Work(ready.checkout.path.clone());
    let set_up: Vec<_> = ready
        .submodules
        .ready
        .iter()
        .map(|path| path.to_str().unwrap())
        .collect();
    assert_eq!(set_up, ["vendor/the lib", "vendor/the lib/nested"]);
    assert_eq!(ready.submodules.missing.len(), 1);
    assert_eq!(ready.submodules.missing[0].0, Path::new("gone"));
    assert_eq!(clone.read("vendor/the lib/nested/i").as_deref(), Some("inner\n"));
    assert_eq!(clone.status(), "");
    let sub = Work(clone.0.join("vendor/the lib"));
    assert_eq!(sub.git(&["config", "remote.origin.url"]), lib.0.to_str().unwrap());
}

#[test]
fn setup_runs_once_and_again_when_a_lock_file_changes() {
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    main.commit(&[("web/package-lock.json", "1")], "lock file");
    let checkout = make(&main, 1, &[]).unwrap().checkout;
    let clone = Work(checkout.path.clone());
    let commands = ["first".to_owned(), "second".to_owned()];
    let when = ["**/package-lock.json".to_owned()];
    let rules = setup::Rules {
        commands: &commands,
        when: &when,
    };
    let due = || setup::due(&checkout, &rules).unwrap();
    let why = || due().map(|due| due.why);

    let mut ran = Vec::new();
    let failed = setup::run(due().unwrap(), |command| {
        ran.push(command.to_owned());
        Ok::<_, SetupError>(i32::from(command == "second") * 3)
    });
    assert_eq!(
        failed.unwrap_err().to_string(),
        "setup command `second` ended with 3"
    );
    assert_eq!((ran.len(), why()), (2, Some(Why::First)));
    setup::run(due().unwrap(), |_| Ok::<_, SetupError>(0)).unwrap();
    assert_eq!(why(), None);
    clone.write("build/package-lock.json", "ignored, so not ours");
    assert_eq!(why(), None);
    clone.write("web/package-lock.json", "2");
    assert_eq!(why(), Some(Why::Files(vec!["web/package-lock.json".to_owned()])));
    setup::run(due().unwrap(), |_| Ok::<_, SetupError>(0)).unwrap();
    assert_eq!(
        (why(), clone.status().as_str()),
        (None, " M web/package-lock.json")
    );
    fs::remove_dir_all(&clone.0).unwrap();
    make(&main, 1, &[]).unwrap();
    assert_eq!(why(), Some(Why::First), "a rebuilt worktree is set up again");
}

/// Seed 22 of the faults, `Undo ENOSPC mkdir 8` while git packed and pruned: `git gc` prunes one that has no lock yet.
#[test]
fn one_that_git_prunes_in_the_moment_in_which_it_is_made_is_made_again() {
    const PLACES: usize = 200;
    let scratch = Scratch::new();
    let main = scratch.repo("app", FILES);
    let (common, now) = (main.0.join(".git"), AtomicUsize::new(0));
    let (common, now) = (&common, &now);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let n @ 0..PLACES = now.load(Ordering::Relaxed) {
                drop(fs::remove_dir(common.join(format!("worktrees/w{n}"))));
            }
        });
        let made = (0..PLACES).map(|n| {
            now.store(n, Ordering::Relaxed);
            Checkout::link(common, &scratch.path().join(format!("w{n}")), "refs/heads/main")
        });
        let made: Vec<_> = made.collect();
        now.store(PLACES, Ordering::Relaxed);
        made.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    });
    assert_eq!(Checkout::linked(common).unwrap().len(), PLACES);
}
