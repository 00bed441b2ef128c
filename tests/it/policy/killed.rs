//! A hook and a signer end with the command that runs them, and the landing is made or not.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    time::Instant,
};

use git_khlone::process::{Cmd, was_killed};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{signing::signing, write_hook};
use crate::{
    stage::{BOUND, Stage},
    tools,
};

/// Says who it is and what it has started, and hangs, whatever TERM says.
const HANGS: &str = "#!/bin/sh\n[ ! -e 'DIR/armed' ] || [ \"$1\" = committed ] || { rm 'DIR/armed'; trap '' TERM\nsleep 1000 &\necho $$ $! > 'DIR/new'; mv 'DIR/new' 'DIR/pids'; sleep 1000; sleep 1000; }\ncat >/dev/null\n";

fn start(stage: &Stage, args: &[&str]) -> Child {
    let mut land = stage.cmd(&stage.work.0, args).into_inner();
    land.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    land.spawn().unwrap()
}

fn pids(stage: &Stage) -> Vec<Pid> {
    let text = stage.until("the hook", || fs::read_to_string(stage.path().join("pids")).ok());
    fs::remove_file(stage.path().join("pids")).unwrap();
    let words = text.split_whitespace().map(|word| word.parse().unwrap());
    words.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

fn runs(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn has_no_lock(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_none_or(|ext| ext != "lock")
            && (!path.is_dir() || path.ends_with("khlone") || has_no_lock(&path))
    })
}

#[test]
fn a_hook_ends_with_its_landing_which_is_made_or_not() {
    for (name, args, is_made) in [
        ("pre-merge-commit", &["land", "--no-ff"][..], false),
        ("pre-commit", &["land", "--squash"], false),
        ("reference-transaction", &["land"], false),
        ("post-merge", &["land"], true),
        ("post-rewrite", &["land", "--rebase"], true),
    ] {
        for signal in [Signal::KILL, Signal::INT] {
            let stage = Stage::new();
            stage.act("echo one > one; git add one; git commit -qm one; echo two > two");
            if name == "post-rewrite" {
                stage.work.commit(&[("mine", "mine\n")], "mine");
            }
            let (before, dir) = (stage.work.tip("main"), stage.path());
            let text = HANGS.replace("DIR", dir.to_str().unwrap());
            write_hook(&stage.work.0.join(".git/hooks"), name, &text);
            fs::write(dir.join("armed"), "").unwrap();
            let mut land = start(&stage, args);
            let below = pids(&stage);
            assert!(below.iter().all(|pid| runs(*pid)));
            let group = Pid::from_raw(i32::try_from(land.id()).unwrap()).unwrap();
            kill_process_group(group, signal).unwrap();
            assert!(was_killed(land.wait().unwrap()), "{name}");
            let began = Instant::now();
            stage.until("the end of the hook", || {
                below.iter().all(|pid| !runs(*pid)).then_some(())
            });
            assert!(began.elapsed().as_secs() < 60, "{name} {signal:?}");
            stage.until("the end of git", || {
                has_no_lock(&stage.work.0.join(".git")).then_some(())
            });
            assert_eq!(stage.work.tip("main") != before, is_made, "{name} {signal:?}");
            let again = stage.run(args);
            assert_eq!(again.code, 0, "{name} {signal:?}: {}", again.err);
            assert_ne!(stage.work.tip("main"), before, "{name} {signal:?}");
            assert_eq!(stage.work.status(), "", "{name} {signal:?}");
            let log = stage
                .work
                .git(&["log", "--format=%s", &format!("{before}..main")]);
            assert_eq!(
                log.lines().filter(|line| *line == "one").count(),
                usize::from(args != ["land", "--squash"]),
                "{log}"
            );
            assert!(!stage.run(&[]).out.contains("needs you"), "{name} {signal:?}");
            stage.run(&["undo"]).ok();
            assert_eq!(stage.work.tip("main"), before, "{name} {signal:?}");
            assert_eq!(stage.run(&["fsck"]).code, 0, "{name} {signal:?}");
        }
    }
}

#[test]
fn a_signer_ends_with_its_landing() {
    let stage = Stage::new();
    stage.act("echo one > one");
    signing(&stage);
    let (before, dir) = (stage.work.tip("main"), stage.path());
    let text = HANGS
        .replace("DIR", dir.to_str().unwrap())
        .replace("cat >/dev/null", "exec ssh-keygen \"$@\"");
    write_hook(&dir, "signer", &text);
    stage
        .work
        .git(&["config", "gpg.ssh.program", dir.join("signer").to_str().unwrap()]);
    fs::write(dir.join("armed"), "").unwrap();
    let mut land = start(&stage, &["land", "--no-ff"]);
    let below = pids(&stage);
    kill_process(
        Pid::from_raw(i32::try_from(land.id()).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    land.wait().unwrap();
    stage.until("the end of the signer", || {
        below.iter().all(|pid| !runs(*pid)).then_some(())
    });
    assert_eq!(stage.work.tip("main"), before);
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.git(&["log", "-1", "--format=%G?"]), "G");
}

/// What is started in a container from without is in no session that can be seen there.
#[test]
fn in_a_container_too_a_hook_ends_with_its_landing() {
    let inside = "exec unshare --pid --fork --mount-proc sh -c \"$0\"";
    let stage = Stage::new();
    stage.act("echo one > one");
    let dir = stage.path();
    let text = HANGS.replace("DIR", dir.to_str().unwrap());
    write_hook(&stage.work.0.join(".git/hooks"), "reference-transaction", &text);
    let script = format!(
        "'{land}' land >'{dir}/land.log' 2>&1 & land=$!
         until read hook child <'{dir}/pids'; do sleep .01; done 2>/dev/null
         kill -KILL $land; wait $land 2>/dev/null
         for n in $(seq 6000); do kill -0 $hook || kill -0 $child || {{ echo ended; break; }}; sleep .01; done 2>/dev/null",
        land = env!("CARGO_BIN_EXE_git-khlone"),
        dir = dir.display(),
    );
    let enter = |script: &str| {
        let cmd = Cmd::new("sh").args(["-c", inside, script]);
        stage.surrounded(cmd).patience(BOUND).finish().unwrap()
    };
    if !enter("true").status.success() {
        tools::skip("no pid namespace can be made here");
        return;
    }
    fs::write(dir.join("armed"), "").unwrap();
    let done = enter(&script);
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "ended");
}

/// As with git: a job in the background keeps nobody waiting, and stays.
#[test]
fn what_a_hook_leaves_in_the_background_is_not_waited_for() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let dir = stage.path();
    let text = format!(
        "#!/bin/sh\necho indexing\n(until [ -e '{0}/stop' ]; do sleep .05; done; echo done > '{0}/stopped') &\n",
        dir.display()
    );
    write_hook(&stage.work.0.join(".git/hooks"), "post-merge", &text);
    let landed = stage.run(&["land"]);
    assert_eq!(landed.code, 0, "{}", landed.err);
    assert!(
        landed.err.contains("indexing") && !landed.err.contains("warning"),
        "{}",
        landed.err
    );
    assert!(!dir.join("stopped").exists());
    fs::write(dir.join("stop"), "").unwrap();
    stage.until("the job", || dir.join("stopped").exists().then_some(()));
}
