//! gc and redact beside a git that packs and prunes the same repository all the time.

use std::sync::atomic::{AtomicBool, Ordering};

use git_khlone::process::Cmd;

use crate::stage::Stage;

/// What somebody else's git does again and again.
const OTHERS: [&[&str]; 3] = [
    &["gc", "-q", "--prune=now"],
    &["repack", "-adq"],
    &[
        "maintenance",
        "run",
        "--quiet",
        "--task=gc",
        "--task=loose-objects",
    ],
];

#[test]
fn another_gc_is_waited_for_and_nothing_is_lost() {
    let stage = Stage::new();
    for n in 0..6 {
        let text: String = (0..3000).map(|line| format!("{n} {line}\n")).collect();
        stage.work.commit(&[("big", &text)], &format!("{n}"));
    }
    let ids: Vec<String> = (0..3)
        .map(|n| {
            stage
                .act(&format!("echo secret-{n}-word > s{n}; cat s{n}"))
                .0
                .id()
        })
        .collect();
    let tips = || stage.work.git(&["for-each-ref", "refs/heads"]);
    let before = tips();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for others in OTHERS {
            let (done, work) = (&done, &stage.work);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    drop(Cmd::new("git").dir(&work.0).args(others).finish());
                }
            });
        }
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..4 {
                let collected = stage.run(&["gc"]);
                assert_eq!(collected.code, 0, "{round}: {}", collected.err);
                for (n, id) in ids.iter().enumerate() {
                    let pattern = format!("secret-{n}{}", ["-w", "o", "r", "d"][round]);
                    let said = stage.run(&["redact", id, "--pattern", &pattern]);
                    // What commits hold of it is named.
                    assert!(!said.err.contains("error:"), "{round} {id}: {}", said.err);
                }
            }
        }));
        done.store(true, Ordering::Relaxed);
        tried.unwrap();
    });
    assert_eq!(tips(), before);
    stage.work.git(&["fsck", "--strict"]);
    assert_eq!(stage.run(&["fsck"]).code, 0);
    for (n, id) in ids.iter().enumerate() {
        let prompt = stage
            .work
            .git(&["cat-file", "-p", &format!("refs/khlone/tasks/{id}:prompt.md")]);
        assert!(!prompt.contains(&format!("secret-{n}-w")), "{prompt}");
    }
}
