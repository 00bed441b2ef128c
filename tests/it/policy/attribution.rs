//! Who stands in commits is one setting, told before the first landing.

use std::fs;

use super::signing::signing;
use crate::stage::Stage;

const TWO: &str = "echo one > one; git add one; git commit -qm 'add one'; echo two > two";
const LINE: &str = "Signed-off-by: Ann <ann@example.com>";

fn own_settings(stage: &Stage, text: &str) {
    let own = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("config.yml"), text).unwrap();
}

#[test]
fn attribution_is_told_before_the_first_landing_and_once() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let first = stage.run(&["land"]).err;
    let words =
        "author Ann <ann@example.com>, committer git-khlone, no Co-authored-by; what lands: no Signed-off-by";
    assert!(first.contains(words), "{first}");
    stage.act("echo two > two");
    let second = stage.run(&["land"]).err;
    assert!(!second.contains("committer"), "{second}");
}

#[test]
fn attribution_decides_who_stands_in_a_clones_commit() {
    for (author, committer, co_author) in [
        ("you", "khlone", false),
        ("khlone", "you", true),
        ("you", "you", true),
    ] {
        let stage = Stage::new();
        let text =
            format!("attribution: {{author: {author}, committer: {committer}, co_author: {co_author}}}\n");
        stage.work.write("khlone.yml", &text);
        stage.act("echo one > one");
        let name = |party: &str| if party == "you" { "Ann" } else { "git-khlone" };
        let made = stage
            .work
            .git(&["log", "-1", "--format=%an %cn%n%B", "khlone/main/foreman.1"]);
        assert!(
            made.starts_with(&format!("{} {}\n", name(author), name(committer))),
            "{made}"
        );
        assert_eq!(
            made.contains("Co-authored-by: foreman.1 on shell <"),
            co_author,
            "{made}"
        );
    }
}

#[test]
fn every_commit_that_lands_is_signed_off_where_the_user_says_so() {
    for (args, commits) in [
        (&["land"][..], 2),
        (&["land", "--no-ff"], 3),
        (&["land", "--squash"], 1),
        (&["land", "--rebase"], 2),
    ] {
        for signs in [false, true] {
            let stage = Stage::new();
            stage.act(TWO);
            stage.work.commit(&[("mine", "mine\n")], "mine");
            let base = stage.work.tip("main").to_string();
            let commits = if args == ["land"] { 3 } else { commits };
            if signs {
                signing(&stage);
            }
            own_settings(&stage, "attribution: {sign_off: true}\n");
            let landed = stage.run(args);
            assert_eq!(landed.code, 0, "{}", landed.err);
            let found = stage
                .work
                .git(&["log", "--format=%x00%G?%n%B", &format!("{base}..main")]);
            let found: Vec<_> = found.split('\0').skip(1).collect();
            assert_eq!(found.len(), commits, "{args:?} {found:?}");
            for message in found {
                assert_eq!(message.matches(LINE).count(), 1, "{args:?} {message}");
                assert_eq!(message.starts_with('G'), signs, "{args:?} {message}");
            }
            assert_eq!(
                (
                    stage.work.status().as_str(),
                    stage.run(&[]).out.contains("needs you")
                ),
                ("", false)
            );
        }
    }
}

/// It is the user's word: a repository alone does not give it.
#[test]
fn a_repository_signs_nothing_off_without_trust() {
    let stage = Stage::new();
    stage.act("echo one > one");
    stage.work.write("khlone.yml", "attribution: {sign_off: true}\n");
    stage.run(&["land"]).ok();
    assert!(
        !stage
            .work
            .git(&["log", "-1", "--format=%B"])
            .contains("Signed-off-by")
    );
}

/// `git merge` asks these, too.
#[test]
fn merge_ff_counts_as_for_git() {
    for (setting, value, diverged, expected) in [
        ("merge.ff", "false", false, Ok("merge")),
        ("merge.ff", "only", false, Ok("fast-forward")),
        ("merge.ff", "only", true, Err("merge.ff is `only`")),
        ("branch.main.mergeOptions", "--no-ff", false, Ok("merge")),
    ] {
        let stage = Stage::new();
        stage.act("echo one > one");
        if diverged {
            stage.work.commit(&[("mine", "mine\n")], "mine");
        }
        stage.work.git(&["config", setting, value]);
        let landed = stage.run(&["land"]);
        match expected {
            Ok(how) => assert!(
                landed.out.contains(&format!("({how}, ")),
                "{} {}",
                landed.out,
                landed.err
            ),
            Err(why) => assert!(landed.code == 4 && landed.err.contains(why), "{}", landed.err),
        }
    }
}
