use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;
use crate::worktree::{
    snapshot::Snapshot,
    testing::{Lab, git_in, raw},
};

fn bring_back(lab: &mut Lab, target: &Snapshot) -> Restored {
    let now = lab.snap(None);
    lab.publish();
    bring_back_from(lab, target, &now)
}

fn bring_back_from(lab: &Lab, target: &Snapshot, now: &Snapshot) -> Restored {
    let (work, index) = (lab.work(), lab.index());
    let source = Source {
        work_dir: &work,
        index: &index,
        repo: &lab.repo,
        pinned: Some(lab.head()),
    };
    restore(&source, target.tree, &now.manifest).unwrap()
}

#[test]
fn everything_that_was_changed_comes_back() {
    let mut lab = Lab::new(&[
        ("a", "1\n"),
        ("run", "2\n"),
        ("dir/x", "3\n"),
        ("dir/deep/y", "4\n"),
        ("file", "5\n"),
        ("link", "6\n"),
    ]);
    let work = lab.work();
    fs::write(raw(&work, b"odd\n\xff"), "7\n").unwrap();
    fs::write(work.join(".GIT"), "8\n").unwrap();
    symlink("/etc/passwd", work.join("abs")).unwrap();
    fs::set_permissions(work.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    let before = lab.snap(None);
    lab.write("a", "other");
    lab.write("run", "other");
    fs::set_permissions(work.join("run"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(work.join("dir")).unwrap();
    symlink("/tmp", work.join("dir")).unwrap();
    lab.remove("file");
    lab.write("file/in/the/way", "x");
    lab.remove("link");
    symlink("a", work.join("link")).unwrap();
    lab.remove(".GIT");
    lab.remove("abs");
    lab.write("abs", "x");
    lab.write("new/one", "x");
    fs::remove_file(raw(&work, b"odd\n\xff")).unwrap();
    let restored = bring_back(&mut lab, &before);
    assert_eq!(restored.kept, []);
    assert_eq!(restored.removed, ["new/one"]);
    let after = lab.snap(None);
    assert_eq!(after.tree, before.tree);
    assert!(!work.join("new").exists());
    assert_eq!(
        fs::metadata(work.join("run")).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(bring_back(&mut lab, &before), Restored::default());
}

#[test]
fn ignored_files_stay_even_if_a_brain_exposed_them() {
    let mut lab = Lab::new(&[(".gitignore", ".env\nbuild/\n"), ("a", "1\n")]);
    lab.write(".env", "KEY=1\n");
    lab.write("build/out", "x");
    let before = lab.snap(None);
    lab.write(".gitignore", "");
    lab.write("a", "2\n");
    let restored = bring_back(&mut lab, &before);
    assert_eq!(restored.written, [".gitignore", "a"]);
    assert!(restored.removed.is_empty() && restored.kept.is_empty());
    assert!(lab.work().join(".env").exists() && lab.work().join("build/out").exists());
}

#[test]
fn ignored_files_in_the_way_give_way() {
    let mut lab = Lab::new(&[("out/x", "1\n"), ("same", "2\n")]);
    let before = lab.snap(None);
    lab.git(&["rm", "-q", "-r", "--cached", "."]);
    lab.write(".gitignore", "out\nsame\n");
    fs::remove_dir_all(lab.work().join("out")).unwrap();
    lab.write("out", "ignored file\n");
    let restored = bring_back(&mut lab, &before);
    assert_eq!(restored.written, ["out/x"]);
    assert_eq!(restored.removed, [".gitignore"]);
    assert_eq!(lab.snap(None).tree, before.tree);
}

#[test]
fn what_changed_since_it_was_saved_stays() {
    let mut lab = Lab::new(&[("a", "1\n"), ("b", "2\n")]);
    let before = lab.snap(None);
    lab.write("a", "seen\n");
    lab.write("added", "seen\n");
    let now = lab.snap(None);
    lab.publish();
    lab.write("a", "not seen\n");
    lab.write("added", "not seen\n");
    lab.write("later", "not seen\n");
    let restored = bring_back_from(&lab, &before, &now);
    let kept: Vec<_> = restored
        .kept
        .iter()
        .map(|it| (it.path.as_str(), it.why.clone()))
        .collect();
    assert_eq!(
        kept,
        [
            ("a", Why::Changed),
            ("added", Why::Changed),
            ("later", Why::Changed)
        ]
    );
    assert_eq!(fs::read_to_string(lab.work().join("a")).unwrap(), "not seen\n");
}

#[test]
fn nested_repositories_keep_their_git_folder() {
    let mut lab = Lab::new(&[("a", "1\n")]);
    let before = lab.snap(None);
    let nested = lab.work().join("nested");
    fs::create_dir(&nested).unwrap();
    git_in(&nested, &["init", "-q"]);
    lab.write("nested/file", "x");
    let restored = bring_back(&mut lab, &before);
    assert_eq!(restored.removed, ["nested/file"]);
    assert_eq!(
        (restored.kept[0].path.as_str(), &restored.kept[0].why),
        ("nested/.git", &Why::Repository)
    );
    assert!(nested.join(".git/HEAD").exists());
}

#[test]
fn what_was_not_stored_is_named() {
    let mut lab = Lab::new(&[("a", "1\n")]);
    lab.write("big", &"x".repeat(2000));
    let small = Limits {
        max_blob: 1000,
        ..Limits::default()
    };
    let before = lab.snap_within(&small, None);
    let now = lab.snap_within(&small, None);
    lab.publish();
    assert_eq!(bring_back_from(&lab, &before, &now), Restored::default());
    lab.remove("big");
    let restored = bring_back(&mut lab, &before);
    assert_eq!(
        (restored.kept[0].path.as_str(), &restored.kept[0].why),
        ("big", &Why::NotStored)
    );
}
