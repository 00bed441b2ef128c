//! A landing beside what is uncommitted in the checkout.

use std::fs;

use git_khlone::delivery::landing::Style;

use super::Site1;
use crate::scratch::Work;

/// Everything that can be uncommitted, beside what lands; gives its bytes.
fn uncommitted(main: &Work) -> (String, String, Vec<(String, Vec<u8>)>) {
    (
        main.status(),
        main.git(&["diff", "--cached", "--raw", "--abbrev=40"]),
        ["unstaged", "both", "new", "untracked", "run"]
            .map(|name| (name.to_owned(), fs::read(main.0.join(name)).unwrap_or_default()))
            .to_vec(),
    )
}

/// As with `git merge`: only what would be overwritten is in the way.
#[test]
fn what_a_landing_does_not_touch_stays_as_it_is() {
    for (style, diverged) in [
        (Style::Auto, false),
        (Style::Auto, true),
        (Style::NoFf, false),
        (Style::Squash, true),
        (Style::Rebase, true),
    ] {
        let s = Site1::new();
        let names = [
            "unstaged", "staged", "both", "gone", "unlinked", "moved", "run", "typed",
        ];
        let files: Vec<_> = names.iter().map(|name| (*name, "old\n")).collect();
        s.main.commit(&files, "more files");
        s.clone.git(&["reset", "-q", "--hard", "main"]);
        let files = [
            ("b", "new b\n"),
            ("c/deep", "c\n"),
            ("z.bin", "z\n"),
            (".gitattributes", "*.bin filter=big\n"),
        ];
        s.clone.commit(&files, "work");
        if diverged {
            s.main.commit(&[("a", "0\n1\n2\n3\n4\n5\n")], "mine");
        }
        let git = |args: &[&str]| s.main.git(args);
        s.main.write("staged", "staged\n");
        s.main.write("both", "staged\n");
        git(&["add", "staged", "both"]);
        s.main.write("both", "and changed again\n");
        s.main.write("unstaged", "changed\n");
        git(&["rm", "-q", "gone"]);
        fs::remove_file(s.main.0.join("unlinked")).unwrap();
        git(&["mv", "moved", "there"]);
        s.main.write("new", "meant\n");
        git(&["add", "-N", "new"]);
        s.main.write("untracked", "mine\n");
        git(&["update-index", "--chmod=+x", "run"]);
        fs::remove_file(s.main.0.join("typed")).unwrap();
        std::os::unix::fs::symlink("a", s.main.0.join("typed")).unwrap();
        let before = uncommitted(&s.main);

        // Half way it fails.
        for (name, value) in [("required", "true"), ("clean", "cat"), ("smudge", "false")] {
            git(&["config", &format!("filter.big.{name}"), value]);
        }
        s.is_refused(style, "smudge filter");
        assert_eq!(uncommitted(&s.main), before);
        git(&["config", "filter.big.smudge", "cat"]);

        s.land(style).unwrap();
        assert_eq!(uncommitted(&s.main), before, "{style:?}");
        assert_eq!(s.main.read("c/deep").as_deref(), Some("c\n"));
        assert_eq!(s.main.read("b").as_deref(), Some("new b\n"));
        assert_eq!(git(&["show", "main:b"]), "new b");
    }
}

/// A landing that was killed before the branch moved is finished beside what is uncommitted elsewhere.
#[test]
fn a_killed_landing_is_finished_around_changes() {
    let s = Site1::new();
    let new = s.clone.commit(&[("c", "c\n"), ("b", "new b\n")], "work");
    s.main.write("a", "changed\n");
    s.main.git(&["read-tree", "-m", "-u", "HEAD", &new.to_string()]);
    s.main.write("mine", "mine\n");
    s.main.git(&["add", "mine"]);
    assert_eq!(s.main.status(), " M a\nM  b\nA  c\nA  mine");
    assert_eq!(s.land(Style::Auto).unwrap().new, new);
    assert_eq!(
        (s.main.tip("HEAD"), s.main.status().as_str()),
        (new, " M a\nA  mine")
    );
}
