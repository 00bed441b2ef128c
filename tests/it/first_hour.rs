//! What somebody meets in the first hour: next steps that can be pasted as they stand, and answers without a repository.

use std::os::unix::fs::PermissionsExt;

use git_khlone::process::Cmd;

use crate::stage::Stage;

/// The next step of what was said, and what it comes to when it is pasted.
fn next(err: &str) -> String {
    let line = err
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("next: "));
    line.unwrap_or_else(|| panic!("no next step: {err}")).to_owned()
}

fn paste(stage: &Stage, command: &str) -> crate::stage::Said {
    let words = shlex::split(command).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = words
        .strip_prefix(&["git", "khlone"])
        .unwrap_or_else(|| panic!("{command}"));
    stage.run(args)
}

#[test]
fn doctor_and_what_is_on_the_machine_need_no_repository() {
    let stage = Stage::new();
    let outside = tempfile::tempdir().unwrap();
    let doctor = stage.run_in(outside.path(), &["doctor"]);
    assert_eq!(doctor.code, 0, "{}", doctor.err);
    for wanted in [
        "sandbox  ",
        "git      2.",
        "@claude",
        "@shell",
        "is not in a git repository\n  next: git init",
    ] {
        assert!(doctor.out.contains(wanted), "{wanted}: {}", doctor.out);
    }
    assert!(!doctor.out.contains("site "), "{}", doctor.out);
    let json = stage.run_in(outside.path(), &["--json", "doctor"]).ok();
    assert!(json.contains("\"findings\""), "{json}");
    assert!(
        stage
            .run_in(outside.path(), &["list", "brains"])
            .ok()
            .contains("@opencode")
    );
    stage.act("true");
    let sites = stage.run_in(outside.path(), &["list", "sites"]).ok();
    assert!(sites.contains(stage.work.0.to_str().unwrap()), "{sites}");
    // What is in a repository needs one.
    assert_eq!(stage.run_in(outside.path(), &["list", "tasks"]).code, 2);
    let broken = stage.path().join("home/.config/khlone");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("config.yml"), "notify: [no-such-program]\n").unwrap();
    for dir in [outside.path(), stage.work.0.as_path()] {
        let told = stage.run_in(dir, &["doctor"]).ok();
        assert!(told.contains("no-such-program is not installed"), "{told}");
    }
}

#[test]
fn the_next_step_of_what_failed_is_one_command() {
    let stage = Stage::new();
    for (verb, others) in [
        ("act", "retry {id}, or git khlone rollback {id}"),
        // An ask has changed nothing that could be taken back.
        ("ask", "retry {id}"),
    ] {
        let failed = stage.run(&[verb, "--who", "@shell", "--await", "-m", "exit 3"]);
        let id = failed.id();
        let step = format!(
            "git khlone resume {id}    # or git khlone {}",
            others.replace("{id}", &id)
        );
        assert!(failed.err.contains(&format!("  {step}\n")), "{}", failed.err);
        let shown = stage.run(&["show", &id]).ok();
        assert!(
            shown.lines().any(|line| line == format!("next     {step}")),
            "{shown}"
        );
        assert_eq!(paste(&stage, &step).code, 0);
        stage.run(&["await", &id]);
    }
    let said = stage.run(&["act", "--who", "@shell", "--await", "-m", "true"]);
    assert!(!said.err.contains("branch"), "nothing was changed: {}", said.err);
}

#[test]
fn a_command_line_that_cannot_be_read_says_where_it_is_explained() {
    let stage = Stage::new();
    for (line, message, step) in [
        (
            "statsu",
            "unrecognized subcommand 'statsu'; ",
            "git khlone help status",
        ),
        (
            "frobnicate",
            "unrecognized subcommand 'frobnicate'",
            "git khlone help",
        ),
        (
            "--frobnicate",
            "unexpected argument '--frobnicate'",
            "git khlone help",
        ),
        (
            "act --awiat x",
            "a similar argument exists: '--await'",
            "git khlone help act",
        ),
        ("act --when x y", "[possible values: ", "git khlone help act"),
        ("reply", "were not provided: <TASK>", "git khlone help reply"),
        (
            "await --timeout x",
            "invalid value 'x' for '--timeout",
            "git khlone help await",
        ),
        (
            "await --any --all",
            "cannot be used with",
            "git khlone help await",
        ),
        (
            "zone",
            "git khlone zone needs one of its verbs: new, ",
            "git khlone help zone",
        ),
        (
            "-C act zone new --x",
            "unexpected argument '--x'",
            "git khlone help zone new",
        ),
        ("zone remvoe x", "'remvoe'", "git khlone help zone remove"),
        ("zone new", "<BRANCH>", "git khlone help zone new"),
    ] {
        let args: Vec<_> = line.split(' ').collect();
        let said = stage.run(&args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {}", said.err);
        let lines: Vec<_> = said.err.lines().collect();
        assert_eq!(lines.len(), 2, "{line}: {}", said.err);
        assert!(lines[0].contains(message), "{line}: {}", said.err);
        assert_eq!(next(&said.err), step, "{line}");
        let help = paste(&stage, step);
        assert!(help.code == 0 && help.out.contains("Usage: git khlone"), "{step}");
        let json = stage.run(&[&args[..], &["--json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json.err).unwrap();
        assert_eq!(json["error"]["next"], step, "{line}: {json}");
        assert!(
            json["error"]["message"].as_str().unwrap().contains(message),
            "{json}"
        );
    }
}

#[test]
fn an_address_that_is_none_says_what_was_meant() {
    let stage = Stage::new();
    for (who, meant) in [
        ("@Shell", "--who @shell "),
        ("@shell/big", "--who @shell --model big "),
    ] {
        let said = stage.run(&["act", "--who", who, "-m", "true"]);
        assert_eq!(said.code, 2);
        assert!(
            said.err.contains("is not an address") && next(&said.err).contains(meant),
            "{}",
            said.err
        );
        let json = stage.run(&["--json", "act", "--who", who, "-m", "true"]);
        let json: serde_json::Value = serde_json::from_str(&json.err).unwrap();
        assert!(json["error"]["next"].as_str().unwrap().contains(meant), "{json}");
    }
}

#[test]
fn a_full_zone_names_a_clone_that_takes_the_task_or_makes_room() {
    let stage = Stage::new();
    stage
        .work
        .write("khlone.yml", "limits: {clones: 2}\nroles: {tester: {}}\n");
    stage.act("true");
    stage
        .run(&["act", "--who", "@shell++", "--await", "-m", "true"])
        .ok();
    let full = stage.run(&["act", "--who", "@shell++", "-m", "true"]);
    assert_eq!(full.code, 4, "{}", full.err);
    let step = next(&full.err);
    assert!(
        step.starts_with("git khlone act --who foreman.any@shell -z main "),
        "{step}"
    );
    // The pasted prompt is no script; that it is taken is what counts.
    assert_eq!(paste(&stage, &step).code, 0, "{step}");
    stage.run(&["await"]);
    let other = stage.run(&["act", "--who", "tester@shell", "-m", "true"]);
    let step = next(&other.err);
    assert!(
        step.starts_with("git khlone zone remove main --clone foreman.2    # makes room"),
        "{step}"
    );
    assert_eq!(paste(&stage, &step).code, 0, "{step}");
    stage
        .run(&["act", "--who", "tester@shell", "--await", "-m", "true"])
        .ok();
}

#[test]
fn lists_tell_zones_apart_where_there_are_several() {
    let stage = Stage::new();
    stage.act("true");
    for what in ["tasks", "crew"] {
        assert!(!stage.run(&["list", what]).ok().contains(" in main"), "{what}");
    }
    stage.run(&["zone", "new", "feat"]).ok();
    stage
        .run(&["act", "-z", "feat", "--who", "@shell", "--await", "-m", "true"])
        .ok();
    for what in ["tasks", "crew"] {
        let list = stage.run(&["list", what]).ok();
        assert!(
            list.contains("foreman.1 in main") && list.contains("foreman.1 in feat"),
            "{list}"
        );
        let one = stage.run(&["list", what, "-z", "feat"]).ok();
        assert!(!one.contains(" in "), "{one}");
    }
}

/// The folders of `PATH` that have no coding CLI, with this program's own before them.
fn path_without_brains() -> String {
    let names = ["claude", "codex", "opencode", "gemini"];
    let path = std::env::var_os("PATH").unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_git-khlone"));
    let folders =
        std::env::split_paths(&path).filter(|dir| !names.iter().any(|name| dir.join(name).exists()));
    let folders = std::iter::once(program.parent().unwrap().to_owned()).chain(folders);
    std::env::join_paths(folders).unwrap().into_string().unwrap()
}

#[test]
fn without_a_coding_cli_one_learns_which_to_install_and_what_works_now() {
    let stage = Stage::new();
    let path = path_without_brains();
    let run = |path: &str, args: &[&str]| {
        let cmd = stage.cmd(&stage.work.0, args).env("PATH", path);
        crate::stage::said(cmd)
    };
    let works = |command: &str| {
        let cmd = Cmd::new("sh").args(["-c", command]);
        let said = crate::stage::said(stage.surrounded(cmd).env("PATH", &path));
        assert_eq!(said.code, 0, "{command}: {}", said.err);
    };
    let first = run(&path, &[]).ok();
    assert!(first.contains("no coding CLI that could do one"), "{first}");
    for name in ["claude", "codex", "opencode", "gemini"] {
        let line = first.lines().find(|line| line.contains(&format!("@{name} ")));
        assert!(line.unwrap().contains("npm install -g "), "{first}");
    }
    let trial = first.lines().find(|line| line.starts_with("  git khlone "));
    assert!(
        trial.unwrap().contains("--who @shell"),
        "what works comes first: {first}"
    );
    for verb in ["act", "ask"] {
        let said = run(&path, &[verb, "implement auth"]);
        assert_eq!(said.code, 5, "{}", said.err);
        assert!(
            said.err.contains(
                "no coding CLI is installed; git khlone works with claude, codex, opencode, gemini, and"
            ),
            "{}",
            said.err
        );
        let step = next(&said.err);
        assert!(
            step.starts_with("npm install -g ") && step.contains("git khlone list brains"),
            "{step}"
        );
        works(step.split_once("now: ").unwrap().1);
    }
    // One that is installed is nearer at hand than all that are not.
    let bin = stage.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("codex"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(bin.join("codex"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = run(&format!("{}:{path}", bin.display()), &["act", "implement auth"]);
    assert_eq!(
        (said.code, next(&said.err).as_str()),
        (5, "codex login"),
        "{}",
        said.err
    );
}

#[test]
fn a_repository_that_one_may_not_write_can_be_looked_at() {
    let stage = Stage::new();
    let script = "chmod 755 .; chown -R 65534:65534 . 2>/dev/null || :; chmod -R a-w repo";
    let sh = |script: &str| {
        let sh = Cmd::new("sh").args(["-c", script]).dir(stage.path());
        sh.output().unwrap();
    };
    sh(script);
    let as_nobody = |args: &[&str]| {
        let cmd = stage.cmd(&stage.work.0, args);
        if !rustix::process::geteuid().is_root() {
            return crate::stage::said(cmd);
        }
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        let argv = cmd.argv();
        crate::stage::said(stage.surrounded(Cmd::new("setpriv").args(nobody).args(argv)))
    };
    for (args, code) in [
        (&[][..], 0),
        (&["list", "tasks"], 0),
        (&["list", "crew"], 0),
        (&["show"], 3),
        (&["doctor"], 0),
        (&["act", "--who", "@shell", "true"], 1),
    ] {
        let said = as_nobody(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
        assert!(!said.err.contains("No such file"), "{args:?}: {}", said.err);
        if args == ["doctor"] {
            assert!(said.out.contains("you may not write here"), "{}", said.out);
        }
        if args.len() > 3 {
            assert!(
                said.err.contains("Permission denied")
                    && next(&said.err).trim_end_matches('\'').ends_with("/.git"),
                "{}",
                said.err
            );
        }
    }
    sh("chmod -R u+w repo");
}

#[test]
fn an_empty_list_of_trust_says_that_it_is_empty() {
    let said = Stage::new().run(&["trust", "--list"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "no repository is trusted on this machine\n");
}

#[test]
fn a_terminal_without_unicode_gets_none() {
    let stage = Stage::new();
    stage.act("echo 1 > one");
    let program = env!("CARGO_BIN_EXE_git-khlone");
    for (locale, ahead, none) in [("C", "+1 -0 main", "−"), ("C.UTF-8", "+1 −0 main", "+1 -0")] {
        let script = format!("export LC_ALL={locale}; '{program}'; echo \"code $?.\"; read -r _");
        let screen = stage.terminal(80, &["bash", "-c", &script]).wait_for("code 0");
        assert!(
            screen.contains(ahead) && !screen.contains(none),
            "{locale}: {screen}"
        );
    }
    // A program reads the same wherever it runs.
    let piped = stage
        .cmd(&stage.work.0, &["list", "crew"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(String::from_utf8(piped).unwrap().contains("+1 −0 main"));
}
