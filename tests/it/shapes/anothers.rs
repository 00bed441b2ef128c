//! Repositories of another user: trusted where git trusts them, and nowhere else.

use super::told::hand_over;
use crate::{
    scratch::Work,
    stage::{Stage, said},
};

#[test]
fn another_users_repository_is_trusted_by_what_the_command_was_told() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let stage = Stage::new();
    hand_over(&stage, "chown -R 65534:65534 repo");
    let top = stage.work.0.clone();
    let run = |env: &[(&str, &str)], args: &[&str]| {
        let cmd = env
            .iter()
            .fold(stage.cmd(&top, args), |cmd, (name, value)| cmd.env(name, value));
        said(cmd)
    };
    let act = [
        "act",
        "--who",
        "@shell",
        "--await",
        "-m",
        "git log --format=%s; echo n > n",
    ];
    for wrong in [
        [].as_slice(),
        &[("GIT_CONFIG_PARAMETERS", "'safe.directory'='/elsewhere'")],
    ] {
        let refused = run(wrong, &act);
        assert!(
            refused.code == 4 && refused.err.contains("safe.directory"),
            "{}",
            refused.err
        );
        assert!(refused.err.contains(top.to_str().unwrap()), "{}", refused.err);
    }
    let path = top.to_str().unwrap();
    let told = [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", path),
    ];
    let acted = run(&told, &act);
    assert_eq!(acted.code, 0, "{}", acted.err);
    run(&[("GIT_CONFIG_PARAMETERS", "'safe.directory'='*'")], &["land"]).ok();
    assert_eq!(stage.work.read("n").as_deref(), Some("n\n"));
    let said = run(&told, &["zone", "remove", "--force", "main"]);
    assert_eq!(said.code, 0, "{}", said.err);
    run(&told, &["undo"]).ok();
    run(&told, &["daemon", "stop"]).ok();
}

/// By file and by command, in every form, for every kind: what git says is what we say.
#[test]
fn another_users_repository_is_trusted_where_git_trusts_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let stage = Stage::new();
    let top = stage.path();
    let place = |name: &str| top.join(name).to_str().unwrap().to_owned();
    stage
        .work
        .git(&["worktree", "add", "-q", "-b", "side", &place("linked")]);
    stage
        .work
        .git(&["clone", "-q", "--bare", ".", &place("proj/.bare")]);
    Work(top.join("proj/.bare")).git(&["worktree", "add", "-q", &place("proj/tree"), "main"]);
    stage.work.git(&[
        "clone",
        "-q",
        "--separate-git-dir",
        &place("store"),
        ".",
        &place("apart"),
    ]);
    hand_over(&stage, "chown -R 65534:65534 repo linked proj apart store");
    let places = ["repo", "linked", "proj/.bare", "proj/tree", "apart"];
    let settings = stage.path().join("home/.gitconfig");
    let mut counts = [0; 2];
    for value in [
        "",
        "*",
        "DIR/*",
        "DIR/linked",
        "DIR/repo/",
        "DIR/repo",
        "DIR/proj/tree",
        "DIR/apart",
        "DIR/lin*",
    ] {
        let value = value.replace("DIR", top.to_str().unwrap());
        for by_file in [true, false] {
            let text = if by_file {
                format!("[safe]\n\tdirectory = \"{value}\"\n")
            } else {
                String::new()
            };
            std::fs::write(&settings, text).unwrap();
            for name in places {
                let told = |cmd: git_khlone::process::Cmd| {
                    let cmd = cmd.dir(top.join(name));
                    if by_file {
                        return said(cmd);
                    }
                    said(cmd.env("GIT_CONFIG_PARAMETERS", format!("'safe.directory'='{value}'")))
                };
                let git = stage.surrounded(git_khlone::process::Cmd::new("git"));
                let by_git = told(git.args(["rev-parse", "--git-dir"])).code == 0;
                let ours = told(stage.cmd(&top, &["status"]));
                assert_eq!(
                    ours.code == 0,
                    by_git,
                    "{value} by file {by_file} in {name}: {}",
                    ours.err
                );
                assert!(
                    by_git || ours.code == 4 && ours.err.contains("safe.directory"),
                    "{}",
                    ours.err
                );
                counts[usize::from(by_git)] += 1;
            }
        }
    }
    assert!(counts[0] > 20 && counts[1] > 20, "{counts:?}");
    // The whole way in a linked worktree that a pattern alone trusts.
    std::fs::write(&settings, format!("[safe]\n\tdirectory = {}/*\n", top.display())).unwrap();
    let linked = Work(top.join("linked"));
    let run = |args: &[&str]| stage.run_in(&linked.0, args);
    let acted = run(&[
        "act",
        "--who",
        "@shell",
        "--await",
        "-m",
        "git log --format=%s; echo n > n",
    ]);
    assert_eq!(acted.code, 0, "{}", acted.err);
    assert!(acted.err.contains("in side"), "{}", acted.err);
    run(&["land"]).ok();
    assert_eq!(linked.read("n").as_deref(), Some("n\n"));
    run(&["undo"]).ok();
    assert_eq!(linked.read("n"), None);
    run(&["daemon", "stop"]).ok();
}
