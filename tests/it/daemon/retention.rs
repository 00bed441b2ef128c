//! Finished tasks go when they are old or many; work that has not landed never does.

use std::fs;

use git_khlone::task::TaskId;

use super::site::{Site, until};

impl Site {
    fn tasks(&self) -> Vec<TaskId> {
        self.with_ledger(|ledger| ledger.heads().unwrap().into_iter().map(|head| head.id).collect())
    }
}

#[test]
fn what_is_old_and_landed_goes_with_all_that_belongs_to_it() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let site = Site::new();
    let done = |who: &str, script: &str| {
        let task = site.act(who, script);
        site.finish(&["await", task.as_str()]);
        task
    };
    let landed = done("@shell", "echo landed > landed.txt");
    site.run(&["land", landed.as_str()]);
    let squashed = done(
        "@shell++",
        "echo one > one.txt; git add -A; git commit -qm one; echo two > two.txt",
    );
    site.run(&["land", "--squash", squashed.as_str()]);
    let nothing = done("@shell", "true");
    let unlanded = done("@shell++", "echo unlanded > unlanded.txt");
    let stash = done("@shell++", "echo s > a.txt; git stash -q");
    let failed = done("@shell++", "echo half > half.txt; git add -A; exit 1");
    let waiting = site.run(&[
        "act",
        "--who",
        "foreman.5",
        "until [ -e go ]; do sleep 0.05; done",
    ]);
    let needed = done("@shell++", "true");
    let after = site.run(&["act", "--who", "foreman.5", "--after", needed.as_str(), "true"]);
    assert_eq!(site.tasks().len(), 9);
    site.run(&["daemon", "stop"]);

    // Nothing is kept for its age or number, and the daemon is idle once the gate opens.
    let config = "limits: {keep_for: 0s, keep: 1}\n";
    site.work.write("khlone.yml", config);
    site.run(&["daemon", "start"]);
    let tree = site.tree("foreman.5");
    fs::write(format!("{tree}/go"), "").unwrap();
    site.run(&["await", &waiting, &after]);
    until("what is due to go", || {
        let tasks = site.tasks();
        [&landed, &squashed, &nothing, &needed]
            .iter()
            // Its folder goes last.
            .all(|id| {
                !tasks.contains(id) && !site.common().join("khlone/attempts").join(id.as_str()).exists()
            })
            .then_some(())
    });
    let tasks = site.tasks();
    for held in [&unlanded, &stash] {
        assert!(tasks.contains(held), "{held} {tasks:?}\n{}", site.log());
    }
    // What it left was committed for it, and is on no branch of the user's.
    assert!(tasks.contains(&failed), "{tasks:?}");
    let refs = site
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone"]);
    let notes = site.work.git(&["notes", "--ref", "khlone", "list"]);
    for id in [&landed, &squashed, &nothing, &needed] {
        assert!(!refs.contains(id.as_str()), "{refs}");
        assert!(!site.common().join("khlone/attempts").join(id.as_str()).exists());
    }
    assert!(!notes.is_empty());
    site.run(&["fsck"]);
    site.work.git(&["fsck", "--strict"]);
    // Landed at last, it may go.
    site.run(&["daemon", "stop"]);
    site.run(&["land", unlanded.as_str()]);
    site.run(&["daemon", "start"]);
    until("the landed one to go", || {
        (!site.tasks().contains(&unlanded)).then_some(())
    });
}
