use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::worktree::testing::without_power;

#[test]
fn links_lead_nowhere_and_writes_stay_below() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    let dir = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("info")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("HEAD")).unwrap();
    let beneath = Beneath::open(dir.path()).unwrap();
    assert_eq!(beneath.read("info/secret", 9).unwrap(), None);
    assert_eq!(beneath.read("HEAD", 9).unwrap(), None);
    beneath.write("HEAD", b"mine").unwrap();
    beneath.write("info/secret", b"mine").unwrap();
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"s");
    assert_eq!(beneath.read("info/secret", 9).unwrap().unwrap(), b"mine");
    assert!(beneath.read("HEAD", 3).is_err());
}

#[test]
fn what_stands_as_it_shall_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (beneath, source) = (Beneath::open(dir.path()).unwrap(), dir.path().join("source"));
    let big = vec![b'x'; CHUNK + 9];
    let id = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().ino();
    std::fs::write(&source, &big).unwrap();
    beneath.write("f", &big).unwrap();
    beneath.copy(&source, "c").unwrap();
    let before = (id("f"), id("c"));
    beneath.write("f", &big).unwrap();
    beneath.copy(&source, "c").unwrap();
    assert_eq!((id("f"), id("c")), before);
    // Changed in place, with the old time on it.
    let mut planted = big.clone();
    planted[CHUNK + 8] = b'y';
    let time = std::fs::metadata(&source).unwrap().modified().unwrap();
    for name in ["f", "c"] {
        std::fs::write(dir.path().join(name), &planted).unwrap();
        let file = File::options().write(true).open(dir.path().join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    beneath.write("f", &big).unwrap();
    beneath.copy(&source, "c").unwrap();
    for name in ["f", "c"] {
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), big, "{name}");
    }
}

#[test]
fn weeds_go_whatever_their_names() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = tempfile::tempdir().unwrap();
    for name in ["keep", "info/keep", "info/x", "info/deep/x", "other/keep"] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    std::fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
    symlink("/", dir.path().join("link")).unwrap();
    let beneath = Beneath::open(dir.path()).unwrap();
    let fate = |path: &str, entry| match (path, entry) {
        ("keep" | "info/keep", Entry::File) => Fate::Stays,
        ("info" | "link", Entry::Folder) => Fate::Within,
        _ => Fate::Goes,
    };
    beneath.weed("", &fate).unwrap();
    let left = |path: &str| beneath.list(path, 9).unwrap();
    assert_eq!(
        left(""),
        [
            ("info".to_owned(), Entry::Folder),
            ("keep".to_owned(), Entry::File)
        ]
    );
    assert_eq!(left("info"), [("keep".to_owned(), Entry::File)]);
}

#[test]
fn deep_and_locked_folders_go() {
    let dir = tempfile::tempdir().unwrap();
    let beneath = Beneath::open(dir.path()).unwrap();
    let deep = vec!["d"; 3000].join("/");
    drop(beneath.make_folder(&format!("a/{deep}")).unwrap());
    std::fs::create_dir_all(dir.path().join("a/x/y")).unwrap();
    std::fs::write(dir.path().join("a/x/f"), "").unwrap();
    std::fs::set_permissions(dir.path().join("a/x"), std::fs::Permissions::from_mode(0o0)).unwrap();
    without_power(|| beneath.remove("a")).unwrap();
    assert_eq!(beneath.list("", 9).unwrap(), []);
}

#[test]
fn rights_that_were_taken_away_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["top/a/in/x", "top/a/y", "top/b/z"] {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "1").unwrap();
    }
    for name in ["top/a/in/x", "top/a/in", "top/a", "top/b", "top"] {
        let mode = std::fs::Permissions::from_mode(0o0);
        std::fs::set_permissions(dir.path().join(name), mode).unwrap();
    }
    without_power(|| {
        let beneath = Beneath::open(&dir.path().join("top")).unwrap();
        assert_eq!(beneath.read("a/in/x", 9).unwrap().as_deref(), Some(&b"1"[..]));
        beneath.write("b/z", b"2").unwrap();
        let fate = |path: &str, _| if path == "a" { Fate::Within } else { Fate::Goes };
        beneath.weed("", &fate).unwrap();
        assert_eq!(beneath.list("a", 9).unwrap(), []);
    });
}

#[test]
fn pipes_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    crate::process::Cmd::new("mkfifo")
        .arg(dir.path().join("p"))
        .output()
        .unwrap();
    let beneath = Beneath::open(dir.path()).unwrap();
    assert_eq!(beneath.read("p", 9).unwrap(), None);
    assert_eq!(beneath.entry("p").unwrap(), Some(Entry::Other));
}
