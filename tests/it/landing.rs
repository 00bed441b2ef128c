//! Work lands whole or not at all, and branches follow their zone.

use std::fs;

use git_khlone::{
    delivery::{
        advance::{Advance, Standing, advance, standing},
        landing::{Kind, LandError, Landed, Landing, Policy, Stat, Style, Voice, land},
        update::{UpdateError, update},
    },
    refs::{Ledger, Repo, Site},
    task::{Class, Explain, ZoneId},
    worktree::{
        checkout::Checkout,
        create::{Want, ensure},
    },
};
use git2::Oid;

use crate::scratch::{Scratch, Work};

mod around;

const BRANCH: &str = "khlone/main/foreman.1";
const FILES: &[(&str, &str)] = &[("a", "1\n2\n3\n4\n5\n"), ("b", "b\n"), (".gitignore", "*.log\n")];

/// A repository, its clone's worktree, and what the functions want of both.
struct Site1 {
    main: Work,
    clone: Work,
    checkout: Checkout,
    repo: Repo,
    site: Site,
    _scratch: Scratch,
}

impl Site1 {
    fn new() -> Self {
        let scratch = Scratch::new();
        let main = scratch.repo("app", FILES);
        let repo = main.open();
        let place = scratch.path().join("app.khlone/app-main.foreman.1");
        let want = Want {
            place: &place,
            branch: BRANCH,
            start: main.tip("main"),
            folders: &[],
        };
        let checkout = ensure(&repo, &want).unwrap().checkout;
        let site = Site::open(&repo, "machine").unwrap();
        Self {
            clone: Work(place),
            main,
            checkout,
            repo,
            site,
            _scratch: scratch,
        }
    }

    fn land(&self, style: Style) -> Result<Landed, LandError> {
        self.land_up_to(style, None)
    }

    fn land_up_to(&self, style: Style, up_to: Option<Oid>) -> Result<Landed, LandError> {
        let what = "t-7k3q9w2m1x (foreman.1): add login";
        land(
            &Ledger::new(&self.repo, &self.site),
            &Landing {
                zone: "main",
                branch: BRANCH,
                up_to,
                style,
                what,
                about: Some("add login\n\nby mail"),
            },
            (&Policy::free(), &Voice::none()),
        )
    }

    fn advance(&self) -> Advance {
        let (zone, clone) = (ZoneId::of_branch("main"), "foreman.1".parse().unwrap());
        let ledger = Ledger::new(&self.repo, &self.site);
        advance(
            &ledger,
            (&zone, &clone),
            Some(&self.checkout),
            (BRANCH, self.main.tip("main")),
        )
        .unwrap()
    }

    /// Nothing of a refused landing may be seen, in either tree or in any ref.
    fn is_refused(&self, style: Style, words: &str) -> LandError {
        let before = (
            self.main.bytes(),
            self.clone.bytes(),
            self.main.status(),
            self.clone.status(),
        );
        let error = self.land(style).unwrap_err();
        let after = (
            self.main.bytes(),
            self.clone.bytes(),
            self.main.status(),
            self.clone.status(),
        );
        assert_eq!(error.class(), Class::Refused);
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            before == after,
            "a refused landing has changed something: {error}"
        );
        error
    }
}

#[test]
fn a_branch_ahead_is_fast_forwarded_with_the_checkout() {
    let s = Site1::new();
    let old = s.main.tip("main");
    s.clone
        .commit(&[("a", "1\n2\n3\n4\nfive\n"), ("new/deep", "x\n")], "one");
    let new = s.clone.commit(&[("c", "c\n")], "two");
    s.main.write("notes", "untracked stays");
    s.main.write("x.log", "ignored stays");
    let landed = s.land(Style::Auto).unwrap();
    assert_eq!(
        (landed.kind, landed.old, landed.new, landed.commits.len()),
        (Kind::FastForward, old, new, 2)
    );
    assert_eq!(
        landed.stat,
        Stat {
            files: 3,
            insertions: 3,
            deletions: 1
        }
    );
    assert_eq!(landed.checkouts, vec![s.main.0.clone()]);
    assert_eq!((s.main.tip("HEAD"), s.main.status().as_str()), (new, "?? notes"));
    assert_eq!(s.main.read("new/deep").as_deref(), Some("x\n"));
    assert!(
        s.main
            .git(&["reflog", "-1", "main"])
            .contains("khlone land: t-7k3q9w2m1x")
    );
    assert_eq!(s.land(Style::Auto).unwrap().kind, Kind::Already);
    assert!(matches!(s.advance(), Advance::Current));
}

#[test]
fn branches_that_went_apart_are_merged_and_the_clone_goes_on_from_there() {
    let s = Site1::new();
    s.clone.commit(&[("a", "one\n2\n3\n4\n5\n")], "theirs");
    s.main.commit(&[("a", "1\n2\n3\n4\nfive\n")], "ours");
    let landed = s.land(Style::Auto).unwrap();
    assert_eq!((landed.kind, s.main.status().as_str()), (Kind::Merge, ""));
    assert_eq!(s.main.read("a").as_deref(), Some("one\n2\n3\n4\nfive\n"));
    let message = s.main.git(&["log", "-1", "--format=%an %cn%n%B"]);
    assert!(
        message.starts_with("Ann Ann\nMerge branch 'khlone/main/foreman.1' into main\n"),
        "{message}"
    );
    assert!(
        message.contains("add login") && message.contains("* theirs"),
        "{message}"
    );
    assert!(matches!(s.advance(), Advance::Moved { .. }));
    assert_eq!((s.clone.tip("HEAD"), s.clone.status().as_str()), (landed.new, ""));
}

#[test]
fn no_ff_and_squash() {
    let s = Site1::new();
    let one = s.clone.commit(&[("c", "c\n")], "one");
    let landed = s.land(Style::NoFf).unwrap();
    assert_eq!((landed.kind, landed.commits), (Kind::Merge, vec![one]));
    assert_eq!(s.main.git(&["rev-list", "--count", "--merges", "main"]), "1");

    s.clone.commit(&[("d", "d\n")], "two");
    s.clone.commit(&[("e", "e\n")], "three");
    let landed = s.land(Style::Squash).unwrap();
    assert_eq!((landed.kind, landed.commits.len()), (Kind::Squash, 2));
    assert_eq!(s.main.git(&["log", "-1", "--format=%p"]).split(' ').count(), 1);
    assert!(
        s.main
            .git(&["log", "-1", "--format=%b"])
            .contains("by mail\n\n* two\n* three")
    );
    assert_eq!(s.main.git(&["log", "-1", "--format=%s"]), "add login");
    assert_eq!(s.land(Style::Auto).unwrap().kind, Kind::Already);
    assert!(
        matches!(s.advance(), Advance::Moved { .. }),
        "what was squashed has landed"
    );
    assert_eq!((s.clone.tip("HEAD"), s.clone.status().as_str()), (landed.new, ""));
}

#[test]
fn one_tasks_commits_land_also_after_an_update() {
    let s = Site1::new();
    let first = s.clone.commit(&[("c", "c\n")], "first task");
    let second = s.clone.commit(&[("d", "d\n")], "second task");
    s.main.commit(&[("b", "main\n")], "ours");
    let updated = update(
        &s.repo,
        Some(&s.checkout),
        (BRANCH, s.main.tip("main")),
        None,
        |_| Ok(()),
    )
    .unwrap();
    assert_eq!(
        updated.rewritten.iter().map(|(old, _)| *old).collect::<Vec<_>>(),
        [first, second]
    );
    let landed = s.land_up_to(Style::Auto, Some(first)).unwrap();
    assert_eq!(
        (landed.kind, landed.new),
        (Kind::FastForward, updated.rewritten[0].1)
    );
    assert_eq!((s.main.read("c").is_some(), s.main.read("d")), (true, None));
    let unrelated = s.main.commit(&[("z", "z\n")], "not the clone's");
    s.main.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let error = s.land_up_to(Style::Auto, Some(unrelated)).unwrap_err();
    assert!(matches!(error, LandError::Rewritten { .. }), "{error}");
}

#[test]
fn a_conflict_changes_nothing() {
    let s = Site1::new();
    s.clone.commit(&[("a", "clone\n"), ("b", "clone\n")], "theirs");
    s.main.commit(&[("a", "main\n"), ("b", "main\n")], "ours");
    for style in [Style::Auto, Style::NoFf, Style::Squash] {
        s.is_refused(style, "conflicts with main in a, b");
    }
    let before = (s.main.bytes(), s.clone.bytes());
    let error = update(
        &s.repo,
        Some(&s.checkout),
        (BRANCH, s.main.tip("main")),
        None,
        |_| Ok(()),
    )
    .unwrap_err();
    assert!(
        matches!(error, UpdateError::Conflict { .. }) && error.class() == Class::Refused,
        "{error}"
    );
    assert!(
        error.to_string().contains("`theirs`") && error.to_string().contains("in a, b"),
        "{error}"
    );
    assert!(before == (s.main.bytes(), s.clone.bytes()));
}

#[test]
fn a_checkout_that_is_not_clean_refuses() {
    let s = Site1::new();
    s.clone.commit(
        &[
            ("c", "c\n"),
            ("gen.log", "x\n"),
            ("dir/f", "f\n"),
            ("b", "new b\n"),
        ],
        "work",
    );
    s.clone.git(&["add", "-f", "gen.log"]);
    s.clone.git(&["commit", "-q", "--amend", "--no-edit"]);
    s.main.write("b", "changed, and otherwise than by the landing\n");
    s.is_refused(Style::Auto, "uncommitted changes: b");
    s.main.git(&["add", "b"]);
    s.is_refused(Style::Auto, "uncommitted changes: b");
    s.main.git(&["reset", "-q", "--hard"]);
    fs::remove_file(s.main.0.join("b")).unwrap();
    fs::create_dir(s.main.0.join("b")).unwrap();
    s.main.write("b/inside", "a folder where a file would change\n");
    s.main.git(&["add", "b/inside"]);
    s.is_refused(Style::Auto, "uncommitted changes: b");
    s.main.git(&["reset", "-q", "--hard"]);

    s.main.write("c", "untracked");
    s.is_refused(Style::Auto, "untracked files where new ones would go: c");
    fs::remove_file(s.main.0.join("c")).unwrap();
    s.main.write("gen.log", "ignored");
    s.is_refused(Style::NoFf, "gen.log");
    fs::remove_file(s.main.0.join("gen.log")).unwrap();
    s.main.write("dir", "a file where a folder would go");
    s.is_refused(Style::Auto, "dir");
    fs::remove_file(s.main.0.join("dir")).unwrap();
    s.main
        .write("c/inside.log", "ignored, in a folder where a file would go");
    s.is_refused(Style::Auto, "c/inside.log");
    fs::remove_dir_all(s.main.0.join("c")).unwrap();

    let other = s.main.commit(&[("b", "other b\n")], "other");
    s.main.git(&["branch", "-q", "-f", "other", "HEAD"]);
    s.main.git(&["reset", "-q", "--hard", "HEAD~1"]);
    s.main.git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
    s.main.git(&["cherry-pick", "--no-commit", &other.to_string()]);
    s.is_refused(Style::Auto, "uncommitted changes: b");
    s.main.git(&["reset", "-q", "--hard"]);
    assert_eq!(s.land(Style::Auto).unwrap().kind, Kind::Merge);
}

#[test]
fn a_rebase_of_the_zones_branch_is_not_disturbed() {
    let s = Site1::new();
    s.clone.commit(&[("c", "c\n")], "work");
    s.main.git(&["switch", "-q", "-c", "side"]);
    s.main.commit(&[("b", "side\n")], "side");
    s.main.git(&["switch", "-q", "main"]);
    s.main.commit(&[("b", "main\n")], "main");
    s.main.try_git(&["rebase", "-q", "side"]).unwrap_err();
    s.is_refused(Style::Auto, "a rebase is in progress");
    s.main.git(&["rebase", "--abort"]);
    assert_eq!(s.land(Style::Auto).unwrap().kind, Kind::Merge);
}

#[test]
fn every_checkout_of_the_branch_comes_along_or_none() {
    let s = Site1::new();
    s.main.git(&["worktree", "add", "-q", "-f", "../second", "main"]);
    let second = Work(s.main.0.with_file_name("second"));
    let new = s.clone.commit(&[("c", "c\n")], "work");
    second.write("c", "mine");
    s.is_refused(Style::Auto, "second has untracked files");
    fs::remove_file(second.0.join("c")).unwrap();
    assert_eq!(s.land(Style::Auto).unwrap().checkouts.len(), 2);
    assert_eq!(
        (
            s.main.status().as_str(),
            second.status().as_str(),
            second.tip("HEAD")
        ),
        ("", "", new)
    );
}

#[test]
fn nobody_has_the_branch_checked_out() {
    let s = Site1::new();
    let new = s.clone.commit(&[("c", "c\n")], "work");
    s.main.git(&["switch", "-q", "-c", "elsewhere"]);
    s.main.write("a", "dirty\n");
    let landed = s.land(Style::Auto).unwrap();
    assert_eq!(
        (
            landed.checkouts.len(),
            s.main.tip("main"),
            s.main.status().as_str()
        ),
        (0, new, " M a")
    );
}

#[test]
fn a_filter_that_fails_half_way_leaves_the_old_files() {
    let s = Site1::new();
    s.main.git(&["config", "filter.big.clean", "cat"]);
    s.main.git(&["config", "filter.big.smudge", "cat"]);
    s.main.git(&["config", "filter.big.required", "true"]);
    let files = [
        (".gitattributes", "*.bin filter=big\n"),
        ("c/deep", "c\n"),
        ("b", "new b\n"),
        ("z.bin", "z\n"),
    ];
    s.clone.commit(&files, "work");
    s.main.git(&["config", "filter.big.smudge", "false"]);
    s.is_refused(Style::Auto, "smudge filter");
    s.main.git(&["config", "filter.big.smudge", "sed s/z/big/"]);
    assert_eq!(s.land(Style::Auto).unwrap().kind, Kind::FastForward);
    assert_eq!(
        (s.main.read("z.bin").as_deref(), s.main.read("c/deep").as_deref()),
        (Some("big\n"), Some("c\n"))
    );
}

#[test]
fn a_landing_killed_before_the_branch_moved_is_finished_by_the_next() {
    let s = Site1::new();
    let new = s.clone.commit(&[("c", "c\n"), ("b", "new b\n")], "work");
    s.main.git(&["read-tree", "-m", "-u", "HEAD", &new.to_string()]);
    assert_eq!(s.main.status(), "M  b\nA  c");
    assert_eq!(s.land(Style::Auto).unwrap().new, new);
    assert_eq!((s.main.tip("HEAD"), s.main.status().as_str()), (new, ""));
}

#[test]
fn a_clone_without_work_of_its_own_follows_its_zone() {
    let s = Site1::new();
    let tip = s.main.commit(&[("b", "newer\n"), ("d/e", "e\n")], "ours");
    s.clone.write("built.log", "ignored stays");
    s.clone.write("scratch", "untracked stays");
    s.clone.write("a", "uncommitted\n");
    assert!(matches!(s.advance(), Advance::Held(_)));
    s.clone.git(&["checkout", "-q", "--", "a"]);
    assert!(matches!(s.advance(), Advance::Moved { .. }));
    assert_eq!(
        (s.clone.tip("HEAD"), s.clone.status().as_str()),
        (tip, "?? scratch")
    );
    assert_eq!(
        (
            s.clone.read("d/e").as_deref(),
            s.clone.read("built.log").is_some()
        ),
        (Some("e\n"), true)
    );

    let own = s.clone.commit(&[("c", "c\n")], "own");
    let tip = s.main.commit(&[("b", "newest\n")], "ours again");
    let expected = Standing { ahead: 2, behind: 1 };
    s.clone.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    assert!(matches!(s.advance(), Advance::Unlanded(found) if found == expected));
    assert_eq!(
        standing(&s.repo, own, tip).unwrap(),
        Standing { ahead: 1, behind: 1 }
    );
}

#[test]
fn an_update_keeps_authors_and_leaves_out_what_has_landed() {
    let s = Site1::new();
    let picked = s.clone.commit(&[("c", "c\n")], "picked");
    s.clone.git(&[
        "commit",
        "-q",
        "--allow-empty",
        "--author",
        "Bo <bo@x>",
        "-m",
        "empty stays",
    ]);
    s.clone.git(&[
        "commit",
        "-q",
        "--amend",
        "--allow-empty",
        "--no-edit",
        "--date",
        "2001-02-03T04:05:06+0700",
    ]);
    s.clone.commit(&[("dir/d", "d\n")], "kept");
    s.main.commit(&[("b", "main\n")], "ours");
    s.main.git(&["cherry-pick", &picked.to_string()]);
    s.clone.write("b", "dirty\n");
    let error = update(
        &s.repo,
        Some(&s.checkout),
        (BRANCH, s.main.tip("main")),
        None,
        |_| Ok(()),
    )
    .unwrap_err();
    assert!(
        error.class() == Class::Refused && error.to_string().contains("uncommitted changes: b"),
        "{error}"
    );
    s.clone.git(&["checkout", "-q", "--", "b"]);
    let updated = update(
        &s.repo,
        Some(&s.checkout),
        (BRANCH, s.main.tip("main")),
        None,
        |_| Ok(()),
    )
    .unwrap();
    assert_eq!((updated.dropped, updated.rewritten.len()), (vec![picked], 2));
    assert_eq!((s.clone.tip("HEAD"), s.clone.status().as_str()), (updated.to, ""));
    assert_eq!(
        s.clone
            .git(&["log", "--format=%an %ad %s", "-2", "--date=iso"])
            .lines()
            .nth(1)
            .unwrap(),
        "Bo 2001-02-03 04:05:06 +0700 empty stays"
    );
    assert_eq!(
        s.clone.git(&["merge-base", "HEAD", "main"]),
        s.main.tip("main").to_string()
    );
    let again = update(
        &s.repo,
        Some(&s.checkout),
        (BRANCH, s.main.tip("main")),
        None,
        |_| Ok(()),
    )
    .unwrap();
    assert_eq!(again.from, again.to);
    assert_eq!(s.main.git(&["fsck", "--strict", "--no-dangling"]), "");
}
