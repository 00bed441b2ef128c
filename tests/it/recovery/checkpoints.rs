//! Checkpoints of a run in the task's tree.

use git_khlone::task::Checkpoint;

use crate::stage::Stage;

#[test]
fn checkpoints_stand_in_the_tasks_tree_and_the_first_is_older_than_the_last() {
    let stage = Stage::with(&[("a.txt", "a\n"), ("khlone.yml", "limits: {checkpoint: 0s}\n")]);
    let id = stage.start("n=0; until [ -e enough ]; do n=$((n+1)); echo $n > f$n; git add f$n; git commit -qm $n; sleep 0.2; done");
    let lines = stage.attempt(&id, 1).join("checkpoints.jsonl");
    stage.until("three checkpoints", || {
        let text = std::fs::read_to_string(&lines).unwrap_or_default();
        (text.matches("\"k\"").count() >= 3).then_some(())
    });
    stage.clone().write("enough", "");
    assert_eq!(stage.run(&["await", &id]).code, 0);
    let git = |args: &[&str]| stage.work.git(args);
    let at = |path: &str| format!("refs/khlone/tasks/{id}:attempts/1/{path}");
    let numbers = git(&["ls-tree", "--name-only", &at("checkpoints")]);
    let mut numbers: Vec<u32> = numbers.lines().map(|name| name.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!((2..=50).contains(&numbers.len()), "{numbers:?}");
    let read = |k: u32| -> Checkpoint {
        serde_json::from_str(&git(&["show", &at(&format!("checkpoints/{k}/checkpoint.json"))])).unwrap()
    };
    let all: Vec<_> = numbers.iter().map(|k| read(*k)).collect();
    let (first, last) = (&all[0], &all[all.len() - 1]);
    assert!(
        all.iter()
            .all(|it| it.branch.as_deref() == Some("refs/heads/khlone/main/foreman.1"))
    );
    assert_ne!(
        first.head, last.head,
        "the brain's own commits are seen where they are made"
    );
    let files = |k: u32| {
        git(&["ls-tree", "--name-only", &at(&format!("checkpoints/{k}/tree"))])
            .lines()
            .count()
    };
    assert!(files(numbers[0]) < files(numbers[numbers.len() - 1]), "{all:#?}");
    // One kept pack has all of it, and nothing stands in the way of the user's gc.
    let loose = git(&["count-objects", "-v"]);
    assert!(
        loose.starts_with("count: ") && !loose.starts_with("count: 1"),
        "{loose}"
    );
    git(&["fsck", "--strict"]);
    let quarantine = stage
        .work
        .0
        .join(format!(".git/khlone/attempts/{id}/1/quarantine"));
    assert!(!quarantine.exists());
}
