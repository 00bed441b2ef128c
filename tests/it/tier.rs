//! The tier that a dispatch told is the tier that runs, whatever becomes of bubblewrap in between.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use git_khlone::worktree::effects::path_text;

use crate::{
    confinement::path_without_bwrap,
    stage::{Stage, said},
    tools,
};

/// A `PATH` in which bubblewrap is a file of its own, in a folder of that name, and that file.
fn path_with_own_bwrap(stage: &Stage, folder: &[u8]) -> (std::ffi::OsString, std::path::PathBuf) {
    let folder = stage.path().join(std::ffi::OsStr::from_bytes(folder));
    fs::create_dir(&folder).unwrap();
    let real = git_khlone::process::Cmd::new("sh")
        .args(["-c", "command -v bwrap"])
        .output()
        .unwrap();
    let own = folder.join("bwrap");
    fs::copy(String::from_utf8_lossy(&real).trim(), &own).unwrap();
    let path = std::env::join_paths([folder, path_without_bwrap(stage)]).unwrap();
    (path, own)
}

#[test]
fn a_task_runs_in_the_sandbox_that_its_dispatch_told_wherever_the_daemon_was_started() {
    if !tools::has("bubblewrap") {
        return;
    }
    for folder in [&b"own"[..], b"own\xff\\"] {
        let stage = Stage::new();
        let (path, own) = path_with_own_bwrap(&stage, folder);
        let without = path_without_bwrap(&stage);
        said(
            stage
                .cmd(&stage.work.0, &["daemon", "start"])
                .env("PATH", &without),
        )
        .ok();
        let args = [
            "act",
            "--who",
            "@shell",
            "-m",
            "echo owned > $HOME/owned; echo 1 > one",
        ];
        let acted = said(stage.cmd(&stage.work.0, &args).env("PATH", &path));
        let id = acted.ok().trim().to_owned();
        assert_eq!(stage.run(&["await", &id]).code, 0);
        let task = stage.task(&id);
        assert_eq!(
            task["protection"]["bwrap"],
            path_text(own.as_os_str().as_bytes()),
            "{task:#}"
        );
        assert_eq!(task["attempts"][0]["tier"], "T2", "{task:#}");
        assert!(!stage.path().join("home/owned").exists());
    }
}

#[test]
fn a_sandbox_that_is_gone_for_a_moment_is_waited_for_and_never_done_without() {
    if !tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::new();
    let (path, own) = path_with_own_bwrap(&stage, b"own");
    let away = own.with_extension("new");
    let act = |prompt: &str| {
        let args = ["act", "--who", "@shell", "-m", prompt];
        let acted = said(stage.cmd(&stage.work.0, &args).env("PATH", &path));
        acted.ok().trim().to_owned()
    };
    // Before an attempt begins.
    let first = act("echo owned > $HOME/owned; exit 1");
    assert_ne!(stage.run(&["await", &first]).code, 0);
    fs::rename(&own, &away).unwrap();
    stage.run(&["retry", &first]).ok();
    stage.until("the cause", || {
        let task = stage.task(&first).to_string();
        task.contains("the sandbox does not work now").then_some(())
    });
    fs::rename(&away, &own).unwrap();
    assert_ne!(stage.run(&["await", &first]).code, 0);
    let task = stage.task(&first);
    let attempts = task["attempts"].as_array().unwrap();
    assert!(attempts.iter().all(|it| it["tier"] != "T0"), "{task:#}");
    assert_eq!(attempts.last().unwrap()["tier"], "T2", "{task:#}");
    assert!(!stage.path().join("home/owned").exists());
    // While it runs: what it left is taken home in a sandbox, too.
    let second =
        act("echo 2 > two; until [ -e go ]; do sleep 0.05; done; git add two; git commit -qm two; true");
    stage.until("its file", || {
        let place = stage.run(&["path", &second]).out;
        std::path::Path::new(place.trim())
            .join("two")
            .exists()
            .then_some(place)
    });
    fs::rename(&own, &away).unwrap();
    stage.clone().write("go", "");
    stage.until("a try of the recovery", || {
        let task = stage.task(&second).to_string();
        task.contains("none works here now").then_some(())
    });
    assert_eq!(stage.task(&second)["hold"], serde_json::Value::Null);
    fs::rename(&away, &own).unwrap();
    assert_eq!(
        stage.run(&["await", &second]).code,
        0,
        "{:#}",
        stage.task(&second)
    );
    assert_eq!(stage.clone().read("two").as_deref(), Some("2\n"));
}

/// A sandbox that could not be set up is set up again, since folders come and go; a program that is not in it is no such
/// thing.
#[test]
fn a_program_that_is_missing_in_the_sandbox_is_looked_for_once() {
    if !tools::has("bubblewrap") {
        return;
    }
    let stage = Stage::with(&[("a.txt", "a\n"), ("khlone.yml", "network: none\n")]);
    let bin = stage.path().join("home/.local/bin");
    fs::create_dir_all(&bin).unwrap();
    // In a temporary folder, of which a sandbox has its own. The first line of a script takes no path with a space.
    let elsewhere = tempfile::tempdir().unwrap();
    let (interpreter, program) = (elsewhere.path().join("sh"), bin.join("claude"));
    fs::copy("/bin/sh", &interpreter).unwrap();
    let says = "case \"$1\" in --version) echo '2.1.0 (Claude Code)';; *) exit 3;; esac";
    fs::write(&program, format!("#!{}\n{says}\n", interpreter.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap();
    let act = || {
        let args = ["act", "--who", "@claude", "--await", "-m", "x"];
        let cmd = stage.cmd(&stage.work.0, &args).env("PATH", &path);
        said(cmd.env("ANTHROPIC_API_KEY", "none"))
    };
    let acted = act();
    let task = stage.task(&acted.id());
    assert_eq!(
        (acted.code, task["attempts"].as_array().unwrap().len()),
        (1, 1),
        "{task:#}"
    );
    let errors = fs::read_to_string(stage.attempt(&acted.id(), 1).join("stderr.log")).unwrap();
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        ["bwrap: execvp claude: No such file or directory"]
    );
}
