//! A git of ours that is killed leaves its lock in the user's checkout: it is cleared, and nobody else's is.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::stage::{Stage, said};

/// A clone whose work takes a filter to check out; `smudge` is run once, the first time.
fn stage(smudge: &str) -> Stage {
    let stage = Stage::new();
    let once = stage.path().join("once");
    fs::write(&once, "").unwrap();
    stage.act("echo '*.bin filter=once' > .gitattributes; echo z > z.bin");
    let smudge = format!(
        "if [ -e '{0}' ]; then rm '{0}'; {smudge}; fi; cat",
        once.display()
    );
    stage.work.git(&["config", "filter.once.clean", "cat"]);
    stage.work.git(&["config", "filter.once.smudge", &smudge]);
    stage
}

#[test]
fn a_git_that_is_killed_over_the_users_index_leaves_no_lock() {
    let stage = stage("kill -9 $PPID");
    let lock = stage.work.0.join(".git/index.lock");
    // It is tried again once the lock is known to be nobody's.
    stage.run(&["land"]).ok();
    assert!(!lock.exists() && !stage.path().join("once").exists());
    assert_eq!(stage.work.read("z.bin").as_deref(), Some("z\n"));
    assert_eq!(stage.work.status(), "");
}

#[test]
fn a_lock_that_outlives_both_git_and_us_is_known_for_ours() {
    let stage = stage("kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) $PPID");
    let lock = stage.work.0.join(".git/index.lock");
    let said = stage.run(&["land"]);
    assert!(said.code < 0 && lock.exists(), "{} {}", said.code, said.err);
    let others = stage.work.0.join(".git/HEAD.lock");
    fs::write(&others, "").unwrap();
    let said = stage.run(&["zone", "repair"]);
    assert!(
        !lock.exists() && others.exists() && said.out.contains("HEAD.lock"),
        "{}{}",
        said.out,
        said.err
    );
    fs::remove_file(others).unwrap();
    stage.work.git(&["status"]);
}

#[test]
fn a_verb_that_only_looks_clears_it_too() {
    let stage = stage("kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) $PPID");
    let lock = stage.work.0.join(".git/index.lock");
    assert!(stage.run(&["land"]).code < 0 && lock.exists());
    stage.until("the lock is cleared", || {
        stage.run(&["status"]).ok();
        (!lock.exists()).then_some(())
    });
    stage.run(&["land"]).ok();
    assert_eq!(
        (stage.work.status(), stage.work.read("z.bin").as_deref()),
        (String::new(), Some("z\n"))
    );
}

/// Lands with a git that is killed, each time, as it is about to write the index; gives what that says.
fn land_under_a_killer(stage: &Stage) -> crate::stage::Said {
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let lock = stage.work.0.join(".git/index.lock");
    let git = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\ncase \" $* \" in *' read-tree '*|*' update-index '*) set -C; : > '{0}' && kill -9 $$; exit 128; esac\n\
         exec git \"$@\"\n",
        lock.display()
    );
    fs::write(bin.join("git"), git).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    said(stage.cmd(&stage.work.0, &["land"]).env("PATH", path))
}

#[test]
fn a_git_that_is_killed_every_time_leaves_no_lock_either() {
    let stage = Stage::new();
    stage.act("echo n > n; echo x >> a.txt");
    let before = stage.work.status();
    let said = land_under_a_killer(&stage);
    assert!(said.code > 0, "{}", said.out);
    assert!(!stage.work.0.join(".git/index.lock").exists(), "{}", said.err);
    assert_eq!(stage.work.status(), before);
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.read("n").as_deref(), Some("n\n"));
}

/// Removes a zone with a git that is killed once, as it deletes the clone's branch: in the moment in which it holds its
/// locks, after it has done `first`.
fn killed_over_a_branch(first: &str) {
    let stage = Stage::new();
    stage.work.git(&["branch", "feat"]);
    let act = [
        "act", "--zone", "feat", "--who", "@shell", "--await", "-m", "true",
    ];
    stage.run(&act).ok();
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let common = stage.work.0.join(".git");
    let locks = ["refs/heads/khlone/feat/foreman.1.lock", "packed-refs.lock"].map(|lock| common.join(lock));
    let once = bin.join("once");
    fs::write(&once, "").unwrap();
    let git = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\ncase \"$*\" in *update-ref*-d*) if [ -e '{0}' ]; then rm '{0}'; {first}\n\
         touch '{1}' '{2}'; kill -9 $$; fi; esac\nexec git \"$@\"\n",
        once.display(),
        locks[0].display(),
        locks[1].display()
    );
    fs::write(bin.join("git"), git).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let remove = stage.cmd(&stage.work.0, &["zone", "remove", "feat"]);
    said(remove.env("PATH", path)).ok();
    assert!(!once.exists(), "no git was killed");
    assert!(!locks[0].with_extension("").exists());
    assert!(locks.iter().all(|lock| !lock.exists()));
}

#[test]
fn a_git_that_is_killed_over_a_branch_leaves_no_lock() {
    killed_over_a_branch(":");
}

#[test]
fn nor_does_one_that_is_killed_when_the_branch_is_gone() {
    killed_over_a_branch("git \"$@\"");
}
