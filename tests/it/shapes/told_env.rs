//! What a command's environment says of its repository: obeyed, or refused before anything is queued.

use std::{fs, path::Path};

use git_khlone::process::Cmd;

use crate::{
    scratch::Work,
    stage::{Said, Stage, said},
};

/// The program with variables.
fn run(stage: &Stage, dir: &Path, vars: &[(&str, &Path)], args: &[&str]) -> Said {
    let cmd = stage.cmd(dir, args);
    said(vars.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)))
}

const ACT: [&str; 5] = ["act", "--who", "@shell", "--await", "echo more >> a.txt"];

#[test]
fn objects_that_only_the_environment_knows_are_refused_before_a_task_is_queued() {
    let stage = Stage::new();
    let away = stage.path().join("away objects");
    fs::create_dir(&away).unwrap();
    let (own, quoted) = (
        stage.work.0.join(".git/objects"),
        format!("\"{}\":/none", away.display()),
    );
    // The tip stands only there, as a brain or a runner would not see.
    let env = [
        ("GIT_OBJECT_DIRECTORY", away.as_path()),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", own.as_path()),
    ];
    let commit = stage.surrounded(git_khlone::process::Cmd::new("git").args([
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@x",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "away",
    ]));
    env.iter()
        .fold(commit, |git, (name, value)| git.env(name, value))
        .output()
        .unwrap();
    let holds_off = |vars: &[(&str, &Path)]| {
        for args in [&ACT[..], &["land"], &["status"]] {
            let refused = run(&stage, &stage.work.0, vars, args);
            assert_eq!(refused.code, 4, "{vars:?} {args:?}: {}", refused.err);
            assert!(refused.err.contains(vars[0].0), "{}", refused.err);
        }
    };
    holds_off(&env);
    holds_off(&[("GIT_ALTERNATE_OBJECT_DIRECTORIES", &away)]);
    holds_off(&[("GIT_ALTERNATE_OBJECT_DIRECTORIES", Path::new(&quoted))]);
    holds_off(&[("GIT_OBJECT_DIRECTORY", Path::new("/nonexistent"))]);
    holds_off(&[("GIT_COMMON_DIR", Path::new("/nonexistent"))]);
    assert!(!stage.work.0.join(".git/refs/khlone/tasks").exists());
    // What it says helps.
    let refused = run(&stage, &stage.work.0, &[env[0]], &ACT);
    let next = refused
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: "))
        .unwrap()
        .to_owned();
    stage
        .surrounded(git_khlone::process::Cmd::new("sh").args(["-ec", &next]))
        .output()
        .unwrap();
    assert_eq!(stage.act("git log -1 --format=%s").0.ok(), "away");
    // What the repository has anyway is no matter, nor what a push has not brought in yet.
    let known = std::env::join_paths([&own, &away, Path::new("/nonexistent")]).unwrap();
    for vars in [
        &[
            ("GIT_OBJECT_DIRECTORY", own.as_path()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", Path::new(&known)),
        ][..],
        &[
            ("GIT_OBJECT_DIRECTORY", Path::new("/in")),
            ("GIT_QUARANTINE_PATH", Path::new("/in")),
        ],
        &[
            ("GIT_COMMON_DIR", &stage.work.0.join(".git")),
            ("GIT_NAMESPACE", Path::new("other")),
        ],
    ] {
        let done = run(&stage, &stage.work.0, vars, &ACT);
        assert_eq!(done.code, 0, "{vars:?}: {}", done.err);
    }
    stage.run(&["land"]).ok();
    stage.work.git(&["fsck", "--strict"]);
}

#[test]
fn another_work_tree_or_index_is_never_silently_left_behind() {
    let stage = Stage::new();
    stage.act("echo n > n");
    let (other, own) = (stage.path().join("other"), stage.work.0.join(".git/index"));
    fs::create_dir(&other).unwrap();
    fs::copy(&own, other.join("index")).unwrap();
    let before = stage.work.bytes();
    for (name, value) in [
        ("GIT_WORK_TREE", other.clone()),
        ("GIT_INDEX_FILE", other.join("index")),
    ] {
        for args in [
            &["land"][..],
            &["undo"],
            &["act", "--who", "@shell", "--with-changes", "true"],
        ] {
            let refused = run(&stage, &stage.work.0, &[(name, &value)], args);
            assert_eq!(refused.code, 4, "{name} {args:?}: {}", refused.err);
            assert!(refused.err.contains(&format!("env -u {name}")), "{}", refused.err);
        }
        let tasks = stage.run(&["list", "tasks"]).ok();
        assert_eq!(tasks.lines().count(), 1, "{tasks}");
    }
    assert!(before == stage.work.bytes());
    // Those of the checkout itself, and what git gives to a hook.
    let beside = stage.work.0.join(".git/next-index-1.lock");
    for (tree, index) in [(&stage.work.0, &own), (&stage.work.0, &beside)] {
        let vars = [
            ("GIT_WORK_TREE", tree.as_path()),
            ("GIT_INDEX_FILE", index.as_path()),
        ];
        assert_eq!(run(&stage, &stage.work.0, &vars, &["land"]).code, 0);
    }
    assert_eq!(
        (stage.work.status(), stage.work.read("n")),
        (String::new(), Some("n\n".into()))
    );
}

#[test]
fn ceilings_hold_as_for_git() {
    let stage = Stage::new();
    let (top, deep) = (stage.work.0.clone(), stage.work.0.join("sub/deep"));
    fs::create_dir_all(&deep).unwrap();
    let link = stage.path().join("link");
    std::os::unix::fs::symlink(&top, &link).unwrap();
    for ceiling in [
        top.clone(),
        top.join("sub"),
        deep.clone(),
        link,
        stage.path(),
        "relative".into(),
        "/".into(),
    ] {
        for dir in [&top, &top.join("sub"), &deep] {
            let vars = [("GIT_CEILING_DIRECTORIES", ceiling.as_path())];
            let git = git_khlone::process::Cmd::new("git")
                .args(["rev-parse", "--git-dir"])
                .dir(dir);
            let git = git.env(vars[0].0, &ceiling).finish().unwrap();
            let ours = run(&stage, dir, &vars, &["status"]);
            assert_eq!(
                git.status.success(),
                ours.code == 0,
                "{} {}: {}",
                ceiling.display(),
                dir.display(),
                ours.err
            );
            let says = ours.err.contains("env -u GIT_CEILING_DIRECTORIES");
            assert_eq!(says, ours.code == 2, "{}", ours.err);
        }
    }
    // git is told of a repository in any case.
    let store = Work(top.join(".git"));
    let vars = [
        ("GIT_CEILING_DIRECTORIES", top.as_path()),
        ("GIT_DIR", store.0.as_path()),
    ];
    assert_eq!(run(&stage, &deep, &vars, &["status"]).code, 0);
}

/// The three ways to give one command settings, each naming `name`.
fn given(stage: &Stage, name: &str) -> [Vec<(&'static str, String)>; 3] {
    let file = format!("[user]\nname = {name}\nemail = e@example.com\n");
    fs::write(stage.path().join("given"), file).unwrap();
    let path = stage.path().join("given");
    let parameters = format!("'user.name'='{name}' 'user.email'='e@example.com'");
    [
        vec![("GIT_CONFIG_GLOBAL", path.display().to_string())],
        vec![("GIT_CONFIG_PARAMETERS", parameters)],
        vec![
            ("GIT_CONFIG_COUNT", "2".to_owned()),
            ("GIT_CONFIG_KEY_0", "user.name".to_owned()),
            ("GIT_CONFIG_VALUE_0", name.to_owned()),
            ("GIT_CONFIG_KEY_1", "user.email".to_owned()),
            ("GIT_CONFIG_VALUE_1", "e@example.com".to_owned()),
        ],
    ]
}

fn with(stage: &Stage, vars: &[(&'static str, String)], args: &[&str]) -> Said {
    let cmd = stage.cmd(&stage.work.0, args);
    said(vars.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)))
}

#[test]
fn settings_of_one_command_count_for_what_it_does_itself() {
    let stage = Stage::new();
    for name in ["user.name", "user.email"] {
        stage.work.git(&["config", "--unset", name]);
    }
    let landed = |vars: &[(&'static str, String)]| {
        let said = with(&stage, vars, &["land", "--no-ff"]);
        assert_eq!(said.code, 0, "{vars:?}: {}", said.err);
        stage.work.git(&["log", "-1", "--format=%an %cn %ce"])
    };
    for (n, mut vars) in given(&stage, "Eve").into_iter().enumerate() {
        stage.act(&format!("echo {n} > n{n}"));
        assert_eq!(landed(&vars), "Eve Eve e@example.com", "{vars:?}");
        // What a command sets wins over files, as with git.
        stage.work.git(&["config", "user.name", "Ann"]);
        stage.act(&format!("echo {n} > m{n}"));
        let who = if n == 0 { "Ann" } else { "Eve" };
        assert_eq!(landed(&vars), format!("{who} {who} e@example.com"), "{vars:?}");
        stage.work.git(&["config", "--unset", "user.name"]);
        // A relative path is as of where the command was started.
        if n == 0 {
            vars[0].1 = "../given".to_owned();
            stage.act("echo x > x");
            assert_eq!(landed(&vars), "Eve Eve e@example.com");
        }
    }
    // Hooks run, or do not, as for git.
    let hooks = stage.path().join("hooks");
    fs::create_dir(&hooks).unwrap();
    let hook = hooks.join("pre-merge-commit");
    fs::write(&hook, "#!/bin/sh\necho the hook ran\nexit 1\n").unwrap();
    Cmd::new("chmod").arg("+x").arg(&hook).output().unwrap();
    stage.act("echo y > y");
    let parameters = format!(
        "'core.hookspath'='{}' 'user.name'='Eve' 'user.email'='e@example.com'",
        hooks.display()
    );
    let said = with(
        &stage,
        &[("GIT_CONFIG_PARAMETERS", parameters)],
        &["land", "--no-ff"],
    );
    assert!(
        said.code == 4 && said.err.contains("the hook ran"),
        "{} {}",
        said.code,
        said.err
    );
}

#[test]
fn settings_of_one_command_end_with_it() {
    let stage = Stage::new();
    let act = [
        "act",
        "--who",
        "@shell",
        "--await",
        "env | grep -c '^GIT_CONFIG'; echo n >> n",
    ];
    for vars in given(&stage, "Eve") {
        drop(stage.run(&["daemon", "stop"]));
        let said = with(&stage, &vars, &act);
        assert_eq!((said.code, said.out.trim()), (0, "0"), "{}", said.err);
        let name = if vars.len() == 1 && vars[0].0 == "GIT_CONFIG_GLOBAL" {
            "note: GIT_CONFIG_GLOBAL counts"
        } else {
            "note: user.name, user.email counts"
        };
        assert!(said.err.contains(name), "{}", said.err);
        let author = stage
            .work
            .git(&["log", "-1", "--format=%an", "khlone/main/foreman.1"]);
        assert_eq!(author, "Ann", "{vars:?}");
        let status = stage.run(&["--json", "daemon", "status"]).ok();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let environ = fs::read(format!("/proc/{}/environ", status["pid"])).unwrap();
        let environ = String::from_utf8_lossy(&environ);
        assert!(!environ.contains("GIT_CONFIG"), "{environ}");
    }
    let (said, _) = stage.act("true");
    assert!(
        !said.err.contains("counts for this command alone"),
        "{}",
        said.err
    );
}
