use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use proptest::prelude::*;

use super::*;
use crate::{
    task::Change,
    worktree::testing::{Lab, raw},
};

fn context<'a>(confined: bool) -> Context<'a> {
    Context {
        branch: "refs/heads/work",
        worktree: "work",
        own: &|name| name == "refs/heads/mine",
        explained: &|it| matches!(it, Outside::Ref("refs/heads/other") | Outside::Head("other")),
        confined,
        died: false,
    }
}

fn compare(lab: &mut Lab, before: &Receipt, confined: bool) -> Effects {
    let after = lab.receipt(None);
    lab.publish();
    effects(before, &after, &lab.repo, &context(confined))
}

fn changes(effects: &Effects) -> Vec<(&str, Change)> {
    effects
        .files
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect()
}

#[test]
fn equal_receipts_have_no_effects() {
    let mut lab = Lab::new(&[("a", "1\n"), ("b/c", "2\n")]);
    lab.write("new", "");
    let before = lab.receipt(None);
    let none = Effects {
        format: 1,
        ..Effects::default()
    };
    assert_eq!(compare(&mut lab, &before, false), none);
}

#[test]
fn every_way_in_which_a_file_can_differ() {
    let mut lab = Lab::new(&[
        ("changed", "1\n"),
        ("gone", "2\n"),
        ("old/name", "3\n"),
        ("run", "4\n"),
        ("link", "5\n"),
        ("dir/x", "6\n"),
        ("same", "7\n"),
    ]);
    let before = lab.receipt(None);
    let work = lab.work();
    lab.write("changed", "other\n");
    lab.remove("gone");
    fs::create_dir(work.join("new")).unwrap();
    fs::rename(work.join("old/name"), work.join("new/name")).unwrap();
    fs::set_permissions(work.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(work.join("link")).unwrap();
    symlink("run", work.join("link")).unwrap();
    fs::remove_dir_all(work.join("dir")).unwrap();
    lab.write("dir", "file now\n");
    fs::write(raw(&work, b"b\\ytes-\xff"), "8\n").unwrap();
    fs::write(work.join("same"), "7\n").unwrap();
    let found = compare(&mut lab, &before, false);
    assert_eq!(
        changes(&found),
        [
            ("b\\\\ytes-\\xFF", Change::Added),
            ("changed", Change::Modified),
            ("dir", Change::Type),
            ("dir/x", Change::Deleted),
            ("gone", Change::Deleted),
            ("link", Change::Type),
            ("new/name", Change::Renamed),
            ("run", Change::Mode),
        ]
    );
    assert_eq!(found.files[6].from.as_deref(), Some("old/name"));
}

#[test]
fn cut_off_files_are_flagged() {
    let mut lab = Lab::new(&[
        ("cut", "one\ntwo\nthree\n"),
        ("shorter", "one\ntwo\n"),
        ("emptied", "x\n"),
    ]);
    let before = lab.receipt(None);
    lab.write("cut", "one\ntw");
    lab.write("shorter", "two\n");
    lab.write("emptied", "");
    lab.write("new-empty", "");
    let after = lab.receipt(None);
    let died = Context {
        died: true,
        ..context(true)
    };
    let found = effects(&before, &after, &lab.repo, &died);
    let flagged: Vec<_> = found
        .files
        .iter()
        .filter(|it| it.truncated)
        .map(|it| it.path.as_str())
        .collect();
    assert_eq!(flagged, ["cut", "emptied", "new-empty"]);
    assert_eq!(found.in_doubt[3], "shorter");
    assert_eq!(found.in_doubt[0], "cut (cut off or empty)");
}

#[test]
fn ignored_files_are_named_apart() {
    let mut lab = Lab::new(&[(".gitignore", ".env\nbuild/\n")]);
    lab.write(".env", "KEY=1\n");
    lab.write("seen", "1\n");
    let before = lab.receipt(None);
    lab.write(".env", "KEY=2\n");
    lab.write("build/out", "1\n");
    let found = compare(&mut lab, &before, true);
    let ignored: Vec<_> = found
        .ignored
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect();
    assert_eq!(
        ignored,
        [(".env", Change::Modified), ("build/out", Change::Added)]
    );
    assert!(found.files.is_empty());
    // A brain that hides files by ignoring them has changed the rules, not the files.
    lab.write(".gitignore", ".env\nbuild/\nseen\nhidden\n");
    lab.write("hidden", "1\n");
    let found = compare(&mut lab, &before, true);
    assert_eq!(changes(&found), [(".gitignore", Change::Modified)]);
    assert!(found.ignored.iter().any(|it| it.path == "hidden"));
}

#[test]
fn commits_are_listed_and_the_branch_is_no_foreign_write() {
    let mut lab = Lab::new(&[("a", "1\n")]);
    let before = lab.receipt(None);
    let old = lab.head().to_string();
    for text in ["2\n", "3\n"] {
        lab.write("a", text);
        lab.git(&["commit", "-qam", text]);
    }
    let found = compare(&mut lab, &before, false);
    let tip = lab.head().to_string();
    assert_eq!(
        found.branch.unwrap(),
        crate::task::BranchMove {
            before: Some(old),
            after: Some(tip.clone())
        }
    );
    assert_eq!((found.commits.len(), &found.commits[0]), (2, &tip));
    assert!(found.foreign.is_empty() && found.refs.is_empty());
}

#[test]
fn writes_outside_are_foreign_or_external() {
    let mut lab = Lab::new(&[("a", "1\n")]);
    let before = lab.receipt(None);
    let common = lab.repo.common_dir().to_owned();
    lab.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    for name in ["main", "mine", "other", "fresh"] {
        lab.git(&["update-ref", &format!("refs/heads/{name}"), "HEAD"]);
    }
    fs::write(common.join("HEAD"), "ref: refs/heads/fresh\n").unwrap();
    fs::write(common.join("hooks/pre-commit"), "#!/bin/sh\n").unwrap();
    let free = compare(&mut lab, &before, false);
    let refs: Vec<_> = free.refs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(refs, ["refs/heads/fresh", "refs/heads/main", "refs/heads/mine"]);
    assert_eq!(free.config, ["hooks/pre-commit"]);
    assert_eq!(free.foreign.len(), 4);
    for (n, name) in ["refs/heads/fresh: none", "refs/heads/main: "].iter().enumerate() {
        assert!(free.foreign[n].starts_with(name), "{:?}", free.foreign);
    }
    assert_eq!(
        free.foreign[2],
        "HEAD of the main work tree: ref: refs/heads/main → ref: refs/heads/fresh"
    );
    let confined = compare(&mut lab, &before, true);
    assert!(confined.foreign.is_empty() && confined.config.is_empty());
    assert_eq!(confined.external.len(), 4);
    assert_eq!(confined.refs.len(), 1);
}

#[test]
fn a_changed_nested_repository_is_seen() {
    let mut lab = Lab::new(&[("a", "1\n")]);
    let nested = lab.work().join("nested");
    fs::create_dir(&nested).unwrap();
    crate::worktree::testing::git_in(&nested, &["init", "-q"]);
    let before = lab.receipt(None);
    crate::worktree::testing::git_in(&nested, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let found = compare(&mut lab, &before, true);
    assert_eq!(changes(&found), [("nested/.git", Change::Modified)]);
}

proptest! {
    #[test]
    fn paths_survive_documents(path: Vec<u8>) {
        prop_assert_eq!(path_bytes(&path_text(&path)), path);
    }
}
