//! A git of ours that is killed leaves its lock in the user's checkout: it is cleared, and nobody else's is.

use std::fs;

use crate::stage::Stage;

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
    let said = stage.until("the lock is cleared", || {
        let said = stage.run(&["zone", "repair"]);
        (!lock.exists()).then_some(said)
    });
    assert!(
        others.exists() && said.out.contains("HEAD.lock"),
        "{}{}",
        said.out,
        said.err
    );
    fs::remove_file(others).unwrap();
    stage.work.git(&["status"]);
}
