//! What `git merge` does by its settings in the zone, a landing does as well, or refuses with the setting's name.

use std::fs;

use git_khlone::process::Cmd;

use super::{signing::signing, write_hook};
use crate::{
    scratch::Work,
    stage::{Said, Stage, copy},
};

const BRANCH: &str = "khlone/main/foreman.1";

/// Settings that both obey.
const OBEYED: [(&str, &str); 19] = [
    ("branch.main.mergeOptions", ""),
    ("branch.main.mergeOptions", "--no-ff"),
    ("branch.main.mergeOptions", "--ff-only"),
    ("branch.main.mergeOptions", "--squash"),
    ("branch.main.mergeOptions", "--no-ff --signoff"),
    ("branch.main.mergeOptions", "--signoff --log=3 -nv --no-edit"),
    ("branch.main.mergeOptions", "-X ours"),
    ("branch.main.mergeOptions", "--strategy-opt='theirs' -s ort"),
    ("branch.main.mergeOptions", "-s recursive -Xignore-space-change"),
    ("branch.main.mergeOptions", "--no-ff -S"),
    ("branch.main.mergeOptions", "--verify-signatures"),
    (
        "branch.main.mergeOptions",
        "--ff-only --ff -S --no-gpg-sign --squash --no-squash --verify-signatures --no-verify-signatures",
    ),
    ("branch.main.mergeOptions", "--no-ff --no-verify"),
    (
        "branch.main.mergeOptions",
        "--autostash --no-overwrite-ignore --progress",
    ),
    (
        "branch.main.mergeOptions",
        "--cleanup=strip --allow-unrelated-histories",
    ),
    ("merge.ff", "false"),
    ("merge.ff", "only"),
    ("merge.verifySignatures", "true"),
    ("merge.renormalize", "true"),
];

/// And those that no landing does.
const REFUSED: [(&str, &str, &str); 9] = [
    ("branch.main.mergeOptions", "--no-commit", "--no-commit"),
    ("branch.main.mergeOptions", "--log -s ours", "-s ours"),
    ("branch.main.mergeOptions", "--strategy=resolve", "-s resolve"),
    ("branch.main.mergeOptions", "-m 'a message'", "-m"),
    ("branch.main.mergeOptions", "--into-name else", "--into-name"),
    ("branch.main.mergeOptions", "-qe", "-e"),
    ("branch.main.mergeOptions", "--unheard-of", "--unheard-of"),
    ("branch.main.mergeOptions", "--ff-only --abort", "--abort"),
    ("pull.twohead", "ours", "ours"),
];

/// What a merge has made: parents, files, who signed off, signature, and the hooks that ran.
fn made(work: &Work, log: &std::path::Path) -> String {
    let hooks = fs::read_to_string(log).unwrap_or_default();
    drop(fs::remove_file(log));
    let told = work.git(&["log", "-1", "--format=%T %(trailers:key=Signed-off-by) %G?"]);
    let parents = work
        .git(&["rev-list", "--parents", "-1", "HEAD"])
        .split(' ')
        .count();
    format!("{told}{parents}{hooks}{}", work.status())
}

/// A stage with work to land: ahead of the zone, apart from it, or in conflict with it.
fn with_work(shape: &str) -> Stage {
    let stage = Stage::new();
    stage.act("printf 'b\\n' > a.txt; echo n > n");
    match shape {
        "ahead" => {}
        "apart" => drop(stage.work.commit(&[("mine", "mine\n")], "mine")),
        _ => drop(stage.work.commit(&[("a.txt", "c\n")], "mine")),
    }
    drop(stage.run(&["daemon", "stop"]));
    stage
}

/// Runs `by_hand` in a copy, and `land` in the stage; gives what both made, or nothing where it failed.
fn both(stage: &Stage, by_hand: &str) -> (Option<String>, Option<String>, Said) {
    let log = stage.path().join("log");
    let copied = Work(stage.path().join("hand"));
    copy(&stage.work.0, &copied.0);
    let sh = Cmd::new("sh")
        .args(["-ec", by_hand])
        .env("GIT_MERGE_AUTOEDIT", "no");
    let done = stage.surrounded(sh).dir(&copied.0).finish().unwrap();
    let hand = made(&copied, &log);
    fs::remove_dir_all(&copied.0).unwrap();
    let landed = stage.run(&["land", "foreman.1"]);
    let ours = made(&stage.work, &log);
    (
        done.status.success().then_some(hand),
        (landed.code == 0).then_some(ours),
        landed,
    )
}

fn obeyed(shape: &str) {
    let stage = with_work(shape);
    let log = stage.path().join("log");
    signing(&stage);
    stage.work.git(&["config", "commit.gpgSign", "false"]);
    for hook in ["commit-msg", "pre-merge-commit"] {
        let text = format!("#!/bin/sh\necho {hook} >> '{}'\n", log.display());
        write_hook(&stage.work.0.join(".git/hooks"), hook, &text);
    }
    let before = stage.work.tip("main");
    for (name, value) in OBEYED {
        stage.work.git(&["config", name, value]);
        let commit = if value == "--squash" {
            "&& git commit -q --no-edit"
        } else {
            ""
        };
        let (hand, ours, landed) = both(&stage, &format!("git merge -q {BRANCH} {commit}"));
        assert_eq!(ours, hand, "{shape} {name}={value}: {}", landed.err);
        if ours.is_none() {
            assert_eq!(
                (landed.code, stage.work.status()),
                (4, String::new()),
                "{}",
                landed.err
            );
        } else {
            stage.run(&["undo"]).ok();
        }
        assert_eq!(stage.work.tip("main"), before, "{shape} {name}={value}");
        stage.work.git(&["config", "--unset", name]);
    }
}

#[test]
fn a_landing_obeys_the_settings_of_git_merge_ahead() {
    obeyed("ahead");
}

#[test]
fn a_landing_obeys_the_settings_of_git_merge_apart() {
    obeyed("apart");
}

#[test]
fn a_landing_obeys_the_settings_of_git_merge_in_conflict() {
    obeyed("in conflict");
}

#[test]
fn a_setting_that_no_landing_does_is_named_with_the_way_out() {
    let stage = with_work("apart");
    for (name, value, option) in REFUSED {
        stage.work.git(&["config", name, value]);
        let before = (stage.work.bytes(), stage.work.tip("main"));
        let refused = stage.run(&["land", "foreman.1"]);
        assert_eq!(refused.code, 4, "{value}: {}", refused.err);
        assert!(
            refused.err.contains(name) && refused.err.contains(&format!("`{option}`")),
            "{}",
            refused.err
        );
        assert!(
            refused.err.contains(&format!("git merge {BRANCH}")),
            "{}",
            refused.err
        );
        assert!(before == (stage.work.bytes(), stage.work.tip("main")), "{value}");
        stage.work.git(&["config", "--unset", name]);
    }
    // `git rebase` has none of them.
    stage
        .work
        .git(&["config", "branch.main.mergeOptions", "--no-commit"]);
    stage.run(&["land", "foreman.1", "--rebase"]).ok();
}

#[test]
fn what_must_be_signed_is_signed_by_the_landing_or_refused() {
    for (shape, sign, args, lands) in [
        ("ahead", true, &["land", "foreman.1"][..], true),
        ("apart", true, &["land", "foreman.1"], true),
        ("ahead", false, &["land", "foreman.1"], false),
        ("apart", false, &["land", "foreman.1", "--no-ff"], false),
        ("apart", false, &["land", "foreman.1", "--squash"], false),
        ("apart", false, &["land", "foreman.1", "--rebase"], true),
    ] {
        let stage = with_work(shape);
        signing(&stage);
        stage
            .work
            .git(&["config", "commit.gpgSign", if sign { "true" } else { "false" }]);
        stage.work.git(&["config", "merge.verifySignatures", "true"]);
        let before = stage.work.tip("main");
        let landed = stage.run(args);
        assert_eq!(landed.code == 0, lands, "{shape} {args:?}: {}", landed.err);
        assert_eq!(stage.work.tip("main") == before, !lands);
        if !lands {
            assert!(landed.err.contains("merge.verifySignatures"), "{}", landed.err);
            assert!(
                landed.err.contains("git config commit.gpgSign true"),
                "{}",
                landed.err
            );
        }
    }
}
