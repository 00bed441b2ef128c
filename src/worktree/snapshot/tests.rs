use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use git2::Oid;

use super::*;
use crate::worktree::testing::{Lab, git_in, raw};

fn lab() -> Lab {
    Lab::new(&[
        ("a.txt", "one\n"),
        ("dir/b.txt", "two\n"),
        ("dir/sub/c.txt", "three\n"),
    ])
}

fn head_tree(lab: &Lab) -> Oid {
    Oid::from_str(&lab.git(&["rev-parse", "HEAD^{tree}"])).unwrap()
}

#[test]
fn a_clean_work_tree_is_its_commit_and_stores_nothing() {
    let mut lab = lab();
    let taken = lab.snap(None);
    assert_eq!(taken.tree, head_tree(&lab));
    assert_eq!(lab.taken(), 0);
    assert!(
        taken
            .manifest
            .entry(b"dir/sub/c.txt")
            .is_some_and(|it| it.oid.is_some())
    );
    assert!(taken.manifest.entry(b".git").is_none());
}

#[test]
fn a_missing_index_costs_time_but_changes_nothing() {
    let mut lab = lab();
    fs::remove_file(lab.index()).unwrap();
    assert_eq!(lab.snap(None).tree, head_tree(&lab));
}

#[test]
fn changes_are_stored_and_only_they() {
    let mut lab = lab();
    lab.write("dir/b.txt", "TWO\n");
    lab.write("new/file", "four\n");
    lab.remove("a.txt");
    let first = lab.snap(None);
    lab.publish();
    assert_eq!(lab.paths(first.tree), ["dir/b.txt", "dir/sub/c.txt", "new/file"]);
    // Two blobs, the trees of dir and new, and the top.
    assert_eq!(lab.taken(), 5);
    lab.settle();
    let second = lab.snap(Some(&first.manifest));
    assert_eq!(second.tree, first.tree);
    lab.taken();
    let third = lab.snap(Some(&second.manifest));
    assert_eq!((third.tree, lab.taken()), (first.tree, 0));
    lab.write("dir/b.txt", "2\n");
    let fourth = lab.snap(Some(&third.manifest));
    assert_ne!(fourth.tree, third.tree);
    assert_eq!(lab.taken(), 3);
}

#[test]
fn what_only_the_index_holds_is_stored_since_gc_may_drop_it() {
    let mut lab = lab();
    lab.write("dir/b.txt", "staged\n");
    lab.git(&["add", "-A"]);
    lab.settle();
    lab.git(&["add", "-A"]);
    lab.settle();
    let taken = lab.snap(None);
    let oid = taken.manifest.entry(b"dir/b.txt").unwrap().oid.unwrap();
    assert!(lab.sink.objects.contains_key(&oid));
}

#[test]
fn edits_that_hide_are_seen() {
    let mut lab = Lab::new(&[
        ("assumed", "1\n"),
        ("skipped", "1\n"),
        ("racy", "1\n"),
        ("dated", "1\n"),
    ]);
    lab.git(&["update-index", "--assume-unchanged", "assumed"]);
    lab.git(&["update-index", "--skip-worktree", "skipped"]);
    lab.git(&["config", "core.trustctime", "false"]);
    let before = fs::metadata(lab.work().join("dated"))
        .unwrap()
        .modified()
        .unwrap();
    for name in ["assumed", "skipped", "racy", "dated"] {
        lab.write(name, "2\n");
    }
    fs::File::options()
        .write(true)
        .open(lab.work().join("dated"))
        .unwrap()
        .set_modified(before)
        .unwrap();
    let taken = lab.snap(None);
    lab.publish();
    assert!(lab.files(taken.tree).iter().all(|(_, text)| text == "2\n"));
}

#[test]
fn edits_in_the_tick_of_the_last_look_are_seen() {
    let mut lab = lab();
    let mut last = lab.snap(None);
    for round in 0..200 {
        lab.write("a.txt", &format!("{round:04}"));
        last = lab.snap(Some(&last.manifest));
        let oid = last.manifest.entry(b"a.txt").unwrap().oid.unwrap();
        assert_eq!(lab.sink.objects[&oid].1, format!("{round:04}").into_bytes());
    }
}

#[test]
fn git_and_disk_may_differ_by_conversion() {
    let mut lab = Lab::new(&[
        (".gitattributes", "*.txt text\n*.id ident\n"),
        ("crlf.txt", "a\r\nb\r\n"),
        ("x.id", "$Id$\n"),
    ]);
    fs::remove_file(lab.work().join("x.id")).unwrap();
    lab.git(&["checkout", "-q", "x.id"]);
    lab.write("crlf.txt", "a\r\nb\r\n");
    lab.settle();
    lab.git(&["add", "-A"]);
    lab.settle();
    let taken = lab.snap(None);
    lab.publish();
    let files = lab.files(taken.tree);
    assert_eq!(files[1].1, "a\r\nb\r\n");
    assert!(files[2].1.starts_with("$Id: "), "{:?}", files[2]);
}

#[test]
fn ignored_files_are_in_the_manifest_alone() {
    let mut lab = Lab::new(&[
        (".gitignore", "*.log\n/build/\n"),
        ("build/kept", "tracked\n"),
        ("a", ""),
    ]);
    fs::write(lab.repo.common_dir().join("info/exclude"), "secret\n").unwrap();
    for name in ["x.log", "secret", "build/new", "deps/.gitignore", "deps/y"] {
        lab.write(name, "1\n");
    }
    lab.write("deps/.gitignore", "*\n");
    lab.write("build/deep/er", "1\n");
    let taken = lab.snap(None);
    lab.publish();
    assert_eq!(lab.paths(taken.tree), [".gitignore", "a", "build/kept"]);
    for name in [
        "x.log",
        "secret",
        "build/new",
        "deps/.gitignore",
        "deps/y",
        "build/deep",
        "build/deep/er",
    ] {
        assert!(
            taken.manifest.entry(name.as_bytes()).is_some_and(|it| it.ignored),
            "{name}"
        );
    }
}

#[test]
fn ignored_folders_are_cut_beyond_the_limit() {
    let mut lab = Lab::new(&[(".gitignore", "many/\n")]);
    for number in 0..30 {
        lab.write(&format!("many/{}/{number}", number % 3), "");
    }
    let limits = Limits {
        ignored: 20,
        ..Limits::default()
    };
    let taken = lab.snap_within(&limits, None);
    let cut = |path: &str| taken.manifest.folder(path.as_bytes()).unwrap().cut;
    assert_eq!(
        [cut("many"), cut("many/0"), cut("many/1"), cut("many/2")],
        [false, false, true, true]
    );
}

#[test]
fn no_name_is_too_nasty() {
    let mut lab = lab();
    let work = lab.work();
    for name in [
        &b".GIT"[..],
        b"git~1",
        b"GITMOD~1",
        b"gi7eba~1",
        b"~1000000",
        b"a\\git~1",
        b"dev\\x2ddisk",
        b".gitmodules ",
        b"new\nline",
        b"\xff\xfe not utf-8",
        b"back\\slash",
        b"..\\.git",
        b".khlone-name=x",
        b"100% \x1b[31m",
        b".git\xe2\x80\x8b",
        b".g\xe2\x80\x8cit",
        b"a.b",
        b"a-b",
        b"-rf",
    ] {
        fs::write(raw(&work, name), b"x").unwrap();
        fs::create_dir(raw(&work, &[b"in-", name].concat())).unwrap();
        fs::write(raw(&work, &[b"in-", name, b"/", name].concat()), b"x").unwrap();
    }
    fs::create_dir(work.join("dir/.Git")).unwrap();
    fs::write(work.join("dir/.Git/config"), "[core]\nfsmonitor = false\n").unwrap();
    fs::write(
        work.join(".gitmodules"),
        "[submodule \"..\"]\n\tpath = -x\n\turl = -oProxyCommand=x\n",
    )
    .unwrap();
    fs::write(work.join(".gitattributes"), format!("* {}\n", "a".repeat(5000))).unwrap();
    for name in [".gitmodules", ".gitattributes", ".gitignore", ".mailmap"] {
        symlink("/etc/passwd", work.join("dir").join(name)).unwrap();
        fs::create_dir_all(work.join("dir/sub").join(name)).unwrap();
        fs::write(work.join("dir/sub").join(name).join("f"), "").unwrap();
    }
    let taken = lab.snap(None);
    lab.publish();
    let paths = lab.paths(taken.tree);
    for path in [
        ".GIT<Name>",
        "..\\.git<Name>",
        ".gitmodules<Name>",
        ".gitattributes<Name>",
        "dir/.Git<Name>/config",
        "dir/.gitignore<Name>",
        "a.b",
    ] {
        assert!(paths.iter().any(|it| it == path), "{path}: {paths:?}");
    }
    lab.push_checked(taken.tree);
}

#[test]
fn honest_modules_and_attributes_stand_under_their_names() {
    let mut lab = lab();
    lab.write(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = x\n\turl = https://example.org/x.git\n",
    );
    lab.write(".gitattributes", "* text=auto\n");
    let taken = lab.snap(None);
    lab.publish();
    assert_eq!(lab.paths(taken.tree)[..2], [".gitattributes", ".gitmodules"]);
    lab.push_checked(taken.tree);
}

#[test]
fn what_the_commit_has_keeps_its_name_however_it_is_read() {
    let mut lab = Lab::new(&[
        (
            ".gitmodules",
            "[submodule \"x\"]\n\tpath = x\n\turl = file:///x\n",
        ),
        ("a\\b", "1\n"),
    ]);
    fs::remove_file(lab.index()).unwrap();
    assert_eq!(lab.snap(None).tree, head_tree(&lab));
}

#[test]
fn what_is_no_file_is_recorded_and_never_opened() {
    let mut lab = lab();
    let work = lab.work();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        work.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(work.join("socket")).unwrap();
    symlink("loop", work.join("loop")).unwrap();
    symlink("/", work.join("root")).unwrap();
    symlink("dir", work.join("inner")).unwrap();
    let taken = lab.snap(None);
    lab.publish();
    let paths = lab.paths(taken.tree);
    assert_eq!(
        paths,
        [
            "pipe<Fifo>",
            "socket<Socket>",
            "a.txt",
            "dir/b.txt",
            "dir/sub/c.txt",
            "inner",
            "loop",
            "root"
        ]
    );
    assert!(lab.files(taken.tree).contains(&("root".into(), "/".into())));
    lab.push_checked(taken.tree);
}

#[test]
fn nested_repositories_are_stored_as_files() {
    let mut lab = lab();
    let (empty, full) = (lab.work().join("empty"), lab.work().join("full"));
    for nested in [&empty, &full] {
        fs::create_dir(nested).unwrap();
        git_in(nested, &["init", "-q", "-b", "trunk"]);
        fs::write(nested.join("file"), "nested\n").unwrap();
    }
    git_in(&full, &["add", "-A"]);
    git_in(&full, &["commit", "-q", "-m", "inner"]);
    let tip = git_in(&full, &["rev-parse", "HEAD"]);
    let taken = lab.snap(None);
    lab.publish();
    let files = lab.files(taken.tree);
    let text = |path: &str| {
        files
            .iter()
            .find(|it| it.0 == path)
            .unwrap_or_else(|| panic!("{files:?}"))
            .1
            .clone()
    };
    assert_eq!(text("empty/.git<Repository>"), "HEAD ref: refs/heads/trunk\n");
    assert_eq!(
        text("full/.git<Repository>"),
        format!("HEAD ref: refs/heads/trunk\n{tip} refs/heads/trunk\n")
    );
    assert_eq!(
        (text("empty/file"), text("full/file")),
        ("nested\n".into(), "nested\n".into())
    );
    lab.push_checked(taken.tree);
}

#[test]
fn deep_folders_are_walked() {
    let mut lab = lab();
    let path = vec!["d"; 200].join("/");
    lab.write(&format!("{path}/leaf"), "deep\n");
    let taken = lab.snap(None);
    lab.publish();
    assert!(lab.paths(taken.tree).contains(&format!("{path}/leaf")));
    lab.push_checked(taken.tree);
}

#[test]
fn deeper_folders_than_a_path_can_say_are_marked() {
    let mut lab = lab();
    let name = "d".repeat(250);
    let work = lab.work();
    let mut at = rustix::fs::open(&work, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&at, &name, 0o755.into()).unwrap();
        at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    }
    let taken = lab.snap(None);
    assert!(
        taken
            .manifest
            .entries()
            .any(|(_, entry)| entry.kind == EntryKind::Unreadable)
    );
    lab.push_checked(taken.tree);
}

#[test]
fn large_files_are_known_by_hash_and_size() {
    let mut lab = lab();
    lab.write("big", &"x".repeat(2000));
    let limits = Limits {
        max_blob: 1000,
        ..Limits::default()
    };
    let taken = lab.snap_within(&limits, None);
    lab.publish();
    let id = lab.git(&["hash-object", "--no-filters", "big"]);
    let files = lab.files(taken.tree);
    assert_eq!(files[0], ("big<Large>".into(), format!("size 2000\nblob {id}\n")));
    assert!(!lab.sink.objects.contains_key(&Oid::from_str(&id).unwrap()));
    lab.settle();
    let again = lab.snap_within(&limits, Some(&taken.manifest));
    assert_eq!(again.tree, taken.tree);
}

#[test]
fn unreadable_things_are_named() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As for a user who is not root: rights that a file does not give are not had.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective = rustix::thread::CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets).unwrap();
            what_cannot_be_read_is_named();
        });
    });
}

fn what_cannot_be_read_is_named() {
    let mut lab = lab();
    let close = |name: &str, mode| {
        fs::set_permissions(lab.work().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    close("dir/sub", 0);
    close("a.txt", 0);
    lab.write("dir/b.txt", "x");
    let work = lab.work();
    let taken = lab.snap(None);
    fs::set_permissions(work.join("dir/sub"), fs::Permissions::from_mode(0o755)).unwrap();
    lab.publish();
    assert_eq!(
        lab.paths(taken.tree),
        ["a.txt<Unreadable>", "dir/sub<Unreadable>", "dir/b.txt"]
    );
}

#[test]
fn files_that_keep_changing_do_not_stop_it() {
    let mut lab = lab();
    let path = lab.work().join("busy");
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut hits = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                fs::write(&path, "z".repeat(round % 5000)).unwrap();
                let _ = fs::rename(&path, path.with_extension("b"));
            }
        });
        // Only those count in whose time the file was written whole and moved.
        while hits < 20 && Instant::now() < deadline {
            let before = rounds.load(Ordering::Relaxed);
            lab.snap(None);
            hits += usize::from(rounds.load(Ordering::Relaxed) > before + 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(hits, 20, "nothing changed while it was looked at");
}
