//! Whose tasks are whose: a repository that was moved takes its tasks over, a copy beside its original does not.

use std::{fs, path::Path};

use git_khlone::{
    refs::{Ledger, Site},
    upkeep::adopt::{Adoption, adopt},
    worktree::place::Rules,
};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    recovery::deaths::{QUICK, runner, script, stage, until_mark},
    stage::{Stage, copy},
};

fn json(stage: &Stage, args: &[&str]) -> Value {
    serde_json::from_str(&stage.run(&[&["--json"], args].concat()).ok()).unwrap()
}

/// A repository with a task that is done, one that was killed in the middle, and one that waits behind it.
fn busy() -> (Stage, [String; 3]) {
    let stage = stage(QUICK);
    let (_, done) = stage.act("echo 1 > 1.txt");
    let begun = stage.start(&script("echo half > half.txt", "rm -f mark; echo 2 > 2.txt"));
    let queued = stage.start("echo $KHLONE_ATTEMPT >> runs.txt; echo 3 > 3.txt");
    until_mark(&stage, &begun);
    stage.run(&["daemon", "stop"]).ok();
    kill_process(runner(&stage, &begun), Signal::KILL).unwrap();
    let done = done["task"].as_str().unwrap().to_owned();
    (stage, [done, begun, queued])
}

/// Lets what waits go on, by the person's word where it is asked for.
fn finish(stage: &Stage, ids: &[String]) {
    for id in ids {
        let task = stage.until("an end, or a question", || {
            let task = stage.task(id);
            let settled = task["hold"].is_string() || task["status"] == "done";
            settled.then_some(task)
        });
        if task["hold"].is_string() {
            stage.run(&["resume", id]).ok();
        }
        assert_eq!(stage.run(&["await", id]).code, 0, "{:#}", stage.task(id));
    }
}

fn owners(stage: &Stage) -> Vec<Value> {
    json(stage, &["sites"])["sites"].as_array().unwrap().clone()
}

#[test]
fn a_repository_that_was_moved_says_so_and_takes_its_tasks_over() {
    let (mut stage, [done, begun, queued]) = busy();
    let linked = stage.path().join("mine");
    let args = ["worktree", "add", "-q", "-b", "mine"];
    stage.work.git(&[&args[..], &[linked.to_str().unwrap()]].concat());
    stage.relocate("else where");
    copy(&linked, &stage.path().join("else where/mine"));
    fs::remove_dir_all(&linked).unwrap();

    // Everything that meets them says what to do.
    let next = "git khlone sites adopt";
    for verb in ["status", "doctor", "sites"] {
        let said = stage.run(&[verb]).ok();
        assert!(said.contains(next), "{verb}: {said}");
    }
    let refused = stage.run(&["cancel", &queued]);
    assert!(refused.code == 4 && refused.err.contains(next), "{}", refused.err);
    let late = stage.run(&["act", "--who", "@shell", "-m", "echo 4 > 4.txt"]);
    assert!(late.err.contains(next), "{}", late.err);
    let before = owners(&stage);
    assert_eq!(
        before.iter().map(|it| it["whose"].clone()).collect::<Vec<_>>(),
        ["here", "former"],
        "{before:#?}"
    );
    assert_eq!(before[1]["unfinished"], 2, "{before:#?}");
    assert_eq!(
        before[1]["counts"],
        json!({"queued": 1, "running": 1, "done": 1}),
        "{before:#?}"
    );

    let adopted = json(&stage, &["sites", "adopt"]);
    assert_eq!(adopted["tasks"], json!([begun, queued]), "{adopted:#}");
    assert_eq!(adopted["over"], json!([done]), "{adopted:#}");
    let late = late.ok();
    finish(&stage, &[begun.clone(), queued.clone(), late.clone()]);
    let clone = stage.clone();
    assert!(
        clone.0.starts_with(stage.path().join("else where")),
        "{}",
        clone.0.display()
    );
    // It ran once, and what the killed one had written is there.
    assert_eq!(clone.read("runs.txt").as_deref(), Some("1\n"));
    assert_eq!(clone.read("half.txt").as_deref(), Some("half\n"));
    let history = format!("refs/khlone/tasks/{queued}:history.jsonl");
    let history = stage.work.git(&["show", &history]);
    assert!(history.contains("adopted from site"), "{history}");
    stage.run(&["land", "foreman.1"]).ok();
    for (file, text) in [
        ("1.txt", "1\n"),
        ("2.txt", "2\n"),
        ("3.txt", "3\n"),
        ("4.txt", "4\n"),
    ] {
        assert_eq!(stage.work.read(file).as_deref(), Some(text), "{file}");
    }
    // git agrees, also about the user's own worktree; and nothing was made at the old place.
    let listed = stage.work.git(&["worktree", "list", "--porcelain"]);
    assert!(!listed.contains("prunable"), "{listed}");
    assert!(listed.contains("else where/mine"), "{listed}");
    assert!(!stage.path().join("repo.khlone").exists());
    assert_eq!(stage.run(&["fsck"]).code, 0, "{}", stage.run(&["fsck"]).out);
    assert!(!stage.run(&["doctor"]).ok().contains(next));
    stage.run(&["zone", "remove", "main", "--force"]).ok();
    assert!(!clone.0.exists());
}

#[test]
fn a_copy_beside_its_original_is_refused_and_harms_nothing() {
    let (stage, [.., queued]) = busy();
    let copied = stage.path().join("copy");
    copy(&stage.work.0, &copied);
    let before = stage.clone().bytes();
    let refs = stage.work.git(&["for-each-ref"]);
    let adopt = |more: &[&str]| stage.run_in(&copied, &[&["sites", "adopt"], more].concat());
    let refused = adopt(&[]);
    let original = stage.work.0.join(".git");
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(
        refused.err.contains(original.to_str().unwrap()) && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    // Also when the machine has forgotten it.
    fs::remove_dir_all(stage.path().join("home/.khlone/sites")).unwrap();
    assert_eq!(adopt(&[]).code, 4);
    assert_eq!(
        (stage.clone().bytes(), stage.work.git(&["for-each-ref"])),
        (before, refs)
    );
    // Told to, it does, in worktrees of its own.
    let id = adopt(&["--force"]).ok();
    assert!(id.contains(&format!("adopted {queued}")), "{id}");
    let said = stage.run_in(&copied, &["resume", &queued]);
    assert!(said.code == 4 || said.code == 0, "{}", said.err);
    let path = stage.run_in(&copied, &["path", &queued]).ok();
    assert!(
        path.starts_with(stage.path().join("copy.khlone").to_str().unwrap()),
        "{path}"
    );
    assert_eq!(
        stage.clone().read("half.txt").as_deref(),
        Some("half\n"),
        "the original's files"
    );
    stage.run_in(&copied, &["daemon", "stop"]).ok();
}

#[test]
fn a_runner_of_the_original_that_lives_is_seen_when_the_repository_is_gone() {
    let mut stage = stage(QUICK);
    let id = stage.start("touch mark; sleep 600");
    until_mark(&stage, &id);
    let runner = runner(&stage, &id);
    stage.run(&["daemon", "stop"]).ok();
    stage.relocate("elsewhere");
    let refused = stage.run(&["sites", "adopt"]);
    assert!(
        refused.code == 4 && refused.err.contains(&format!("pid {}", runner.as_raw_nonzero())),
        "{} {}",
        refused.code,
        refused.err
    );
    kill_process(runner, Signal::KILL).unwrap();
    stage.until("its death", || {
        (stage.run(&["sites", "adopt"]).code == 0).then_some(())
    });
    finish_by_cancel(&stage, &id);
}

fn finish_by_cancel(stage: &Stage, id: &str) {
    stage.run(&["cancel", id]);
    stage.until("an end", || {
        (stage.task(id)["status"] == "cancelled").then_some(())
    });
}

#[test]
fn killed_anywhere_adopting_again_finishes() {
    let (mut stage, [done, begun, queued]) = busy();
    stage.relocate("elsewhere");
    let mut kills = 0;
    loop {
        let cmd = stage.cmd(&stage.work.0, &["sites", "adopt"]);
        let at = (kills % 7 + 1).to_string();
        let ended = cmd.env("KHLONE_FAULT", at).finish().unwrap();
        if ended.status.success() {
            break;
        }
        kills += 1;
        assert!(kills < 200, "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert!(kills > 3, "{kills}");
    stage.run(&["sites", "adopt"]).ok();
    stage.run(&["daemon", "start"]).ok();
    finish(&stage, &[begun.clone(), queued.clone()]);
    for id in [&done, &begun, &queued] {
        let task = stage.task(id);
        assert_eq!(task["status"], "done", "{task:#}");
    }
    let all = owners(&stage);
    assert_eq!((all.len(), &all[0]["whose"]), (1, &json!("here")), "{all:#?}");
    assert_eq!(stage.clone().read("runs.txt").as_deref(), Some("1\n"));
    assert_eq!(stage.run(&["fsck"]).code, 0, "{}", stage.run(&["fsck"]).out);
}

/// On the same disk it is the same site, and nothing has to be adopted: its worktrees are found again by their next task,
/// and by the same command.
#[test]
fn worktrees_that_moved_with_their_repository_are_found_again() {
    let mut stage = Stage::new();
    stage.act("echo 1 > 1.txt");
    stage.act("echo 2 > 2.txt");
    let second = stage.run(&["act", "--who", "@shell++", "--await", "-m", "echo 3 > 3.txt"]);
    second.ok();
    stage.run(&["daemon", "stop"]).ok();
    let first = stage.run(&["path", "foreman.1"]).ok();
    fs::write(Path::new(&first).join("mine.txt"), "not committed\n").unwrap();
    for (from, to) in [("repo", "renamed"), ("repo.khlone", "renamed.khlone")] {
        fs::rename(stage.path().join(from), stage.path().join(to)).unwrap();
    }
    stage.work.0 = stage.path().join("renamed");
    let doctor = stage.run(&["doctor"]).ok();
    assert!(
        doctor.contains("and 1 more") && doctor.contains("git khlone sites adopt"),
        "{doctor}"
    );
    let (said, task) = stage.act("cat mine.txt > seen.txt");
    assert_eq!(said.code, 0, "{} {task:#}", said.err);
    let clone = stage.clone();
    assert!(clone.0.starts_with(stage.path().join("renamed.khlone")));
    assert_eq!(clone.read("seen.txt").as_deref(), Some("not committed\n"));
    let adopted = json(&stage, &["sites", "adopt"]);
    assert_eq!(
        (
            &adopted["worktrees"][0]["clone"],
            &adopted["worktrees"][0]["state"]
        ),
        (&json!("foreman.2"), &json!("linked")),
        "{adopted:#}"
    );
    assert_eq!(adopted["worktrees"].as_array().unwrap().len(), 1, "{adopted:#}");
    assert!(!stage.path().join("repo.khlone").exists());
    let again = stage.run(&["sites", "adopt"]);
    assert!(
        again.code == 0 && again.err.contains("nothing to adopt"),
        "{}",
        again.err
    );
}

#[test]
fn another_machine_around_the_repository_makes_it_another_owner() {
    let stage = Stage::new();
    let (_, task) = stage.act("echo 1 > 1.txt");
    let id = task["task"].as_str().unwrap();
    stage.run(&["daemon", "stop"]).ok();
    let repo = stage.work.open();
    let site = Site::open(&repo, "elsewhere").unwrap();
    let (registry, data) = (stage.path().join("home/.khlone/sites"), stage.path().join("data"));
    let taken = adopt(
        &Ledger::new(&repo, &site),
        &Adoption {
            site: None,
            force: false,
            registry: &registry,
            rules: Rules {
                root: None,
                data_home: &data,
            },
        },
    );
    let taken = taken.unwrap();
    assert!(taken.from_away && taken.places.is_empty(), "{taken:?}");
    assert_eq!(taken.over.len(), 1);
    // Here it is the former one now; for a repository that was never there, another machine's.
    let sites = owners(&stage);
    assert_eq!(
        (&sites[0]["whose"], &sites[0]["machine"]),
        (&json!("former"), &json!("elsewhere")),
        "{sites:#?}"
    );
    let other = stage.path().join("other");
    stage.work.git(&["clone", "-q", ".", other.to_str().unwrap()]);
    let refs = "refs/khlone/tasks/*:refs/khlone/tasks/*";
    crate::scratch::Work(other.clone()).git(&["fetch", "-q", "origin", refs]);
    let uuid = sites[0]["site"].as_str().unwrap();
    let refused = stage.run_in(&other, &["sites", "adopt", uuid]);
    assert!(
        refused.code == 4 && refused.err.contains("on another machine"),
        "{}",
        refused.err
    );
    stage.run_in(&other, &["sites", "adopt", uuid, "--force"]).ok();
    assert_eq!(json(&stage, &["sites", "adopt"])["over"], json!([id]));
    assert_eq!(owners(&stage)[0]["whose"], "here");
}

/// Another repository has fetched them, or its own were fetched here.
#[test]
fn another_sites_tasks_are_taken_over_by_name() {
    let (stage, [done, begun, queued]) = busy();
    let other = stage.path().join("other");
    fs::create_dir(&other).unwrap();
    stage.work.git(&["clone", "-q", ".", other.to_str().unwrap()]);
    let run = |args: &[&str]| stage.run_in(&other, args);
    let own = run(&["act", "--who", "@shell", "--await", "-m", "echo own > own.txt"]).id();
    let git = crate::scratch::Work(other.clone());
    for refs in ["tasks", "pins"] {
        let refs = format!("refs/khlone/{refs}/*:refs/khlone/{refs}/*");
        git.git(&["fetch", "-q", stage.work.0.to_str().unwrap(), &refs]);
    }
    let sites: Value = serde_json::from_str(&run(&["--json", "sites"]).ok()).unwrap();
    let theirs = &sites["sites"][1];
    assert_eq!(
        (&theirs["whose"], &theirs["path"]),
        (&json!("other"), &json!(stage.work.0.to_str().unwrap())),
        "{sites:#}"
    );
    let name = &theirs["site"].as_str().unwrap()[..8];
    // Nobody is meant by default, or by another name.
    assert!(run(&["sites", "adopt"]).err.contains("nothing to adopt"));
    assert_eq!(run(&["sites", "adopt", "zz"]).code, 3);
    assert_eq!(run(&["sites", "adopt", name]).code, 4);
    fs::rename(&stage.work.0, stage.path().join("gone")).unwrap();
    run(&["sites", "adopt", name]).ok();
    let seq = |id: &str| -> u64 {
        let task: Value = serde_json::from_str(&run(&["--json", "show", id]).ok()).unwrap();
        task["seq"].as_u64().unwrap()
    };
    let order = [&own, &begun, &queued, &done].map(|id| seq(id));
    assert!(order.is_sorted() && order[0] < order[1], "{order:?}");
    run(&["await", &queued]);
    run(&["cancel", &begun]);
    run(&["daemon", "stop"]).ok();
    fs::rename(stage.path().join("gone"), &stage.work.0).unwrap();
    assert!(Path::new(&stage.work.0).exists());
}
