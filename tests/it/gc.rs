//! What nobody needs goes; what has not landed or is not committed stays, however old it is.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use git_khlone::process::Cmd;

use crate::{
    daemon::site::{BOUND, Site},
    scratch::Work,
    stage::Stage,
};

fn gc(site: &Site, args: &[&str]) -> Value {
    serde_json::from_str(&site.run(&[&["--json", "gc"], args].concat())).unwrap()
}

#[test]
fn landed_and_old_goes_while_unlanded_and_uncommitted_stays() {
    let site = Site::new();
    fs::write(
        site.work.0.join("khlone.yml"),
        "limits: {keep: 1, keep_for: 30d}\n",
    )
    .unwrap();
    let done = |script: &str| {
        let id = site.act("@shell", script);
        site.run(&["await", id.as_str()]);
        id
    };
    let landed = done("echo 1 > 1.txt");
    site.run(&["land", landed.as_str()]);
    let unlanded = done("echo 2 > 2.txt");
    let newest = done("echo 3 > 3.txt");
    site.run(&["daemon", "stop"]);
    // What a removal of the user's has left, and what nobody knows: a clone's git folder with a commit of its own.
    let folder = |name: &str, head: &str| {
        let git = site.common().join("khlone/gitdirs").join(name).join("git");
        fs::create_dir_all(&git).unwrap();
        fs::write(git.join("HEAD"), format!("{head}\n")).unwrap();
        let folder = git.parent().unwrap().to_owned();
        let old = SystemTime::now() - Duration::from_secs(40 * 86_400);
        fs::File::open(&folder).unwrap().set_modified(old).unwrap();
        folder
    };
    let spent = folder("gone.foreman.1", &site.work.git(&["rev-parse", "HEAD"]));
    let precious = folder("gone.foreman.2", "1234567890123456789012345678901234567890");

    let refs = || site.work.git(&["for-each-ref"]);
    let before = refs();
    let would = gc(&site, &["--dry-run"]);
    assert_eq!(
        (would["dropped"]["tasks"].clone(), refs()),
        (json!([landed]), before),
        "{would:#}"
    );
    assert!(would["zones"][0]["bytes"].as_u64().unwrap() > 0);
    assert!(spent.exists());

    let did = gc(&site, &[]);
    assert_eq!(did["dropped"], would["dropped"], "{did:#}");
    assert_eq!(did["held"]["tasks"], json!([unlanded]));
    assert_eq!(did["held"]["folders"], json!([precious.display().to_string()]));
    assert_eq!((spent.exists(), precious.exists()), (false, true));
    assert_eq!(did["packs"]["count"], 1, "{did:#}");
    assert!(
        !site
            .common()
            .join("khlone/attempts")
            .join(landed.as_str())
            .exists()
    );
    for id in [&unlanded, &newest] {
        assert_eq!(site.task(id).id, *id);
    }
    site.run(&["fsck"]);
    site.work.git(&["fsck", "--strict"]);
    // Nothing is left to do.
    let again = gc(&site, &[]);
    assert_eq!(
        again["dropped"],
        json!({ "tasks": [], "undos": [], "folders": [] })
    );
}

/// What a kill between the forgetting of a clone and the removal of its worktree leaves.
#[test]
fn worktrees_that_no_clone_has_go_unless_they_hold_something() {
    let site = Site::new();
    let trees: Vec<_> = (1..=6)
        .map(|n| {
            let id = site.act("@shell++", &format!("echo {n} > {n}.txt"));
            site.run(&["await", id.as_str()]);
            Work(site.tree(&format!("foreman.{n}")).into())
        })
        .collect();
    let [clean, dirty, locked, detached, gone, _] = &trees[..] else {
        panic!("{trees:?}")
    };
    // A worktree of the user's, and the one of a clone that there is, are nobody else's business.
    let mine = [site.path().join("mine"), clean.0.with_file_name("repo-v1.2")];
    for (mine, branch) in mine.iter().zip(["mine", "too"]) {
        site.work
            .git(&["worktree", "add", "-q", "-b", branch, mine.to_str().unwrap()]);
    }
    dirty.write("new.txt", "");
    site.work.git(&["worktree", "lock", locked.0.to_str().unwrap()]);
    detached.git(&["checkout", "-q", "--detach"]);
    detached.git(&[
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    ]);
    fs::remove_dir_all(&gone.0).unwrap();
    let stays = site.with_ledger(|ledger| {
        let zone = git_khlone::task::ZoneId::of_branch("main");
        let forget = |zone: &mut git_khlone::refs::StoredZone| {
            zone.crew.retain(|name, _| name.number == 6);
            Ok::<_, git_khlone::refs::LedgerError>(())
        };
        ledger.update_zone(&zone, None, forget).unwrap();
        trees[5].0.clone()
    });
    let listed = || site.work.git(&["worktree", "list", "--porcelain"]);
    let before = listed();
    let would = gc(&site, &["--dry-run"])["worktrees"].clone();
    assert_eq!(listed(), before);
    let did = gc(&site, &[])["worktrees"].clone();
    assert_eq!(did, would);
    let of = |tree: &Work| {
        let path = json!(tree.0.to_str().unwrap());
        let mut all = did.as_array().unwrap().iter();
        all.find(|line| line["path"] == path).unwrap().clone()
    };
    assert_eq!(did.as_array().unwrap().len(), 5, "{did:#}");
    for (tree, why, next) in [
        (dirty, "new.txt", "status"),
        (locked, "locked", "git worktree unlock"),
        (detached, "is on no branch", "git branch NAME"),
    ] {
        let line = of(tree);
        assert!(line["why"].as_str().unwrap().contains(why), "{line:#}");
        assert!(line["next"].as_str().unwrap().contains(next), "{line:#}");
        assert!(tree.0.is_dir());
    }
    for tree in [clean, gone] {
        assert!(of(tree).get("held").is_none() && !tree.0.exists());
        assert!(!listed().contains(tree.0.to_str().unwrap()));
    }
    assert!(stays.is_dir() && mine.iter().all(|mine| mine.is_dir()));
    // Once what held them is settled, they go, too; their branches stay.
    fs::remove_file(dirty.0.join("new.txt")).unwrap();
    site.work.git(&["worktree", "unlock", locked.0.to_str().unwrap()]);
    site.work
        .git(&["branch", "kept", &detached.git(&["rev-parse", "HEAD"])]);
    gc(&site, &[]);
    assert!(!dirty.0.exists() && !locked.0.exists() && !detached.0.exists());
    let branches = site
        .work
        .git(&["branch", "--list", "khlone/*", "--format=%(refname)"]);
    assert_eq!(branches.lines().count(), 6, "{branches}");
    assert_eq!(gc(&site, &[])["worktrees"], json!([]));
}

#[test]
fn saved_states_stay_for_the_work_that_is_in_them() {
    let site = Site::new();
    let id = site.act("@shell", "echo 1 > 1.txt");
    site.run(&["await", id.as_str()]);
    site.run(&["land"]);
    site.run(&["zone", "remove", "main"]);
    let id = site.act("@shell", "echo 2 > 2.txt");
    site.run(&["await", id.as_str()]);
    site.run(&["zone", "remove", "main", "--force"]);
    site.run(&["daemon", "stop"]);
    fs::write(site.work.0.join("khlone.yml"), "limits: {keep_for: 1s}\n").unwrap();
    crate::daemon::site::until("a second", || {
        let did = gc(&site, &["--dry-run"]);
        (did["dropped"]["undos"] == json!([2, 1]) && did["held"]["undos"] == json!([3])).then_some(())
    });
    gc(&site, &[]);
    let left = site
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/undo"]);
    assert!(
        left.contains("undo/3/state") && !left.contains("undo/1/") && !left.contains("undo/2/"),
        "{left}"
    );
    site.run(&["undo"]);
    let path = site.run(&["path", "foreman.1"]);
    assert_eq!(fs::read_to_string(format!("{path}/2.txt")).unwrap(), "2\n");
}

/// Killed at every point of its way: a task is whole, with its pins, or gone; and what is left of it goes with the next.
#[test]
fn a_gc_that_is_killed_leaves_every_task_whole_or_gone() {
    let site = Site::new();
    for n in 0..3 {
        let id = site.act("@shell", &format!("echo {n} > {n}.txt"));
        site.run(&["await", id.as_str()]);
        site.run(&["land"]);
    }
    site.run(&["zone", "remove", "main"]);
    site.run(&["daemon", "stop"]);
    fs::write(site.work.0.join("khlone.yml"), "limits: {keep: 1}\n").unwrap();
    let refs = |below: &str| {
        site.work.git(&[
            "for-each-ref",
            "--format=%(refname)",
            &format!("refs/khlone/{below}"),
        ])
    };
    // Left of a state that was forgotten but for its tip, and of one that was never saved.
    for n in [7, 8] {
        site.work
            .git(&["update-ref", &format!("refs/khlone/undo/{n}/foreman.1"), "main"]);
    }
    let lost = site
        .work
        .git(&["commit-tree", "-m", "nowhere else", "main^{tree}"]);
    site.work
        .git(&["update-ref", "refs/khlone/undo/8/foreman.2", &lost]);
    site.work
        .git(&["update-ref", "refs/khlone/pins/t-0000000000/1-head-after", &lost]);
    let mut kills = 0;
    loop {
        let at = (kills + 1).to_string();
        let done = site.cmd(&["gc"]).env("KHLONE_FAULT", at).finish().unwrap();
        let pins = refs("pins");
        for task in refs("tasks").lines() {
            let pin = task.replace("/tasks/", "/pins/") + "/1-head-after";
            assert!(
                pins.contains(&pin),
                "{task} has lost its commits after {kills} kills"
            );
        }
        if done.status.success() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 4, "{kills}");
    assert_eq!(
        (refs("tasks").lines().count(), refs("pins").lines().count()),
        (1, 3)
    );
    let tips = refs("undo");
    assert!(
        !tips.contains("undo/7/") && !tips.contains("8/foreman.1") && tips.contains("8/foreman.2"),
        "{tips}"
    );
    let said = gc(&site, &[]);
    assert_eq!(
        said["strays"],
        json!(["refs/khlone/pins/t-0000000000/1-head-after"])
    );
}

#[test]
fn receipts_of_finished_tasks_go_but_for_a_clones_last() {
    let stage = Stage::new();
    let ids: Vec<String> = (0..4)
        .map(|n| {
            let (_, task) = stage.act(&format!("echo {n} > f{n}"));
            task["task"].as_str().unwrap().to_owned()
        })
        .collect();
    let (_, failed) = stage.act("exit 3");
    let failed = failed["task"].as_str().unwrap();
    stage.run(&["gc"]).ok();
    let has = |id: &str| stage.attempt(id, 1).join("receipt-before").exists();
    assert!(!has(&ids[0]) && !has(&ids[1]) && !has(&ids[2]) && has(failed));
    // What a person adds is still told from the brain's.
    fs::write(stage.clone().0.join("mine.txt"), "mine\n").unwrap();
    let (_, task) = stage.act("echo 5 > f5");
    let left = task["effects"]["left"].to_string();
    assert!(left.contains("mine.txt"), "{task}");
    stage.run(&["fsck"]).ok();
}

/// An import that was killed left the very objects that the next one brings; `git gc --prune=now` has found them to be
/// needed by nothing in between.
#[test]
fn what_git_is_about_to_delete_is_brought_home_again() {
    if !crate::tools::has("bubblewrap") {
        return;
    }
    let site = Site::new();
    let script = "export GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z
        echo one > one; git add one; git commit -qm same";
    site.done("@shell", script);
    let branch = "khlone/main/foreman.1";
    let commit = site.work.git(&["rev-parse", branch]);
    site.run(&["zone", "remove", "main", "--force"]);
    let refs = ["refs/khlone/pins", "refs/khlone/undo", "refs/heads/khlone"];
    let names = site
        .work
        .git(&[&["for-each-ref", "--format=%(refname)"], &refs[..]].concat());
    for name in names.lines() {
        site.work.git(&["update-ref", "-d", name]);
    }
    site.work.git(&["reflog", "expire", "--all", "--expire=now"]);
    // git lists the packs that have no `.keep` at its start, and deletes those at its end.
    let packs = site.common().join("objects/pack");
    let listed = fs::read_dir(&packs).unwrap().map(|entry| entry.unwrap().path());
    let listed: Vec<_> = listed
        .filter(|path| !path.with_extension("keep").exists())
        .collect();
    assert!(!listed.is_empty());

    site.done("@shell", script);
    assert_eq!(site.work.git(&["rev-parse", branch]), commit);
    for path in listed {
        fs::remove_file(path).unwrap();
    }
    site.work.git(&["cat-file", "-e", &commit]);
    site.work.git(&["fsck", "--strict"]);
    site.run(&["status"]);
}

/// A `git gc` of another user takes a ref in a folder that it cannot enter for none. The program's mask is 077 here.
#[test]
fn a_shared_repository_gets_the_modes_that_git_gives() {
    for (value, bits) in SHARED {
        let site = Site::new();
        site.work.git(&["config", "core.sharedRepository", value]);
        site.masked(
            "act --await --who @shell 'echo 1 > one; git add one; git commit -qm work; echo 2 > two'",
        );
        site.masked("gc");
        assert_eq!(site.wrong_modes(bits), Vec::<String>::new(), "{value}");
    }
}

/// As an earlier version left it, which did not heed the setting, or this one before it was there.
#[test]
fn what_is_ours_in_a_repository_that_becomes_shared_gets_the_modes_that_git_gives() {
    for (value, bits) in SHARED {
        let site = Site::new();
        site.masked(
            "act --await --who @shell 'echo 1 > one; git add one; git commit -qm work; echo 2 > two'",
        );
        assert_ne!(site.wrong_modes(bits), Vec::<String>::new());
        site.work.git(&["config", "core.sharedRepository", value]);
        site.masked("status");
        assert_eq!(site.wrong_modes(bits), Vec::<String>::new(), "{value}");
    }
}

/// Settings, and the bits that others get by each.
const SHARED: [(&str, u32); 2] = [("group", 0o060), ("all", 0o064)];

impl Site {
    fn masked(&self, args: &str) {
        let program = env!("CARGO_BIN_EXE_git-khlone");
        let (home, run) = (self.path().join("home"), self.path().join("run"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let env = [
            ("PATH", path),
            ("HOME", home.into()),
            ("XDG_RUNTIME_DIR", run.into()),
        ];
        let cmd = Cmd::new("sh").only_env(env.map(|(name, value)| (name.into(), value)));
        let script = format!("umask 077; exec {program} {args}");
        let done = cmd
            .dir(&self.work.0)
            .args(["-c", &script])
            .patience(BOUND)
            .finish()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// What of ours lacks some of `bits`.
    fn wrong_modes(&self, bits: u32) -> Vec<String> {
        use std::os::unix::fs::PermissionsExt;
        let mut wrong = Vec::new();
        let mut todo: Vec<_> = [
            "refs",
            "logs",
            "worktrees",
            "objects/pack",
            "khlone-site.json",
            "packed-refs",
        ]
        .map(|name| self.common().join(name))
        .into();
        while let Some(path) = todo.pop() {
            let Ok(data) = fs::symlink_metadata(&path) else {
                continue;
            };
            let mode = data.permissions().mode();
            // Objects are written by nobody.
            let asked = if path.parent().unwrap().ends_with("pack") {
                bits & 0o444
            } else {
                bits
            };
            if data.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            // What git made with the mask of this test before the setting was there.
            let old = [
                "refs/heads",
                "refs/tags",
                "refs",
                "logs",
                "objects/pack",
                "refs/heads/main",
                "logs/HEAD",
                "logs/refs",
                "logs/refs/heads",
                "logs/refs/heads/main",
            ];
            let is_old = old.iter().any(|name| path == self.common().join(name));
            // git makes this one with the mask, whatever the setting.
            let is_gits = path.ends_with("COMMIT_EDITMSG");
            if mode & asked != asked && !is_old && !is_gits {
                wrong.push(format!("{mode:o} {}", path.display()));
            }
        }
        wrong
    }
}
