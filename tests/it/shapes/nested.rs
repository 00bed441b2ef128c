//! Repositories inside of a clone's worktree are saved whole, or stop what would destroy them.

use std::fs;

use git_khlone::process::Cmd;

use crate::{scratch::Work, stage::Stage};

const USER: &str = "git config user.name x; git config user.email x";

fn shell(dir: &Work, script: &str) {
    let sh = Cmd::new("sh").args(["-ec", script]).dir(&dir.0);
    let done = sh.env("HOME", "/nonexistent").finish().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{script}: {said}");
}

/// Every file below a folder with its mode and bytes, and every empty folder.
fn files(dir: &Work) -> String {
    let script = "find . \\( -type f -o -type d -empty \\) ! -path ./.git ! -path './.git/*' -printf '%m %p ' \
                  -exec sh -c 'test -d \"$1\" && echo || sha1sum < \"$1\"' sh {} \\; | sort -k2";
    let sh = Cmd::new("sh").args(["-c", script]).dir(&dir.0);
    String::from_utf8_lossy(&sh.output().unwrap()).into_owned()
}

/// Removes the zone and brings it back; gives what the removal without force said.
fn comes_back(stage: &Stage, why: &str) -> String {
    let clone = stage.clone();
    let before = files(&clone);
    let refused = stage.run(&["zone", "remove", "main"]);
    assert_eq!(refused.code, 4, "{why}: {}{}", refused.out, refused.err);
    assert_eq!(files(&clone), before, "{why}");
    let removed = stage.run(&["zone", "remove", "--force", "main"]);
    assert_eq!(removed.code, 0, "{why}: {}", removed.err);
    assert!(!removed.out.contains("not saved"), "{why}: {}", removed.out);
    assert!(!clone.0.exists(), "{why}");
    stage.run(&["gc"]).ok();
    stage.work.git(&["gc", "-q", "--prune=now"]);
    let undone = stage.run(&["undo"]).ok();
    assert!(!undone.contains("not brought back"), "{why}: {undone}");
    assert_eq!(files(&clone), before, "{why}");
    assert!(
        !stage.work.0.join(".git/khlone/apart").join("1").exists(),
        "{why}"
    );
    refused.err
}

#[test]
fn repositories_of_a_persons_come_back_whole() {
    let made = |path: &str| {
        format!(
            "git init -q {path}; cd {path}; {USER}; echo n > n; git add n; git commit -qm n; git tag t
             echo s > s; git add s; git stash -q; echo w > w; chmod 600 w; git config x.y z; git gc -q"
        )
    };
    for (script, named) in [
        (made("nest"), "nest"),
        (made("deep/er/nest"), "deep"),
        (made("nest.log"), "commits of its own in nest.log"),
        (made("p"), "p"),
        (format!("{}; {}", made("nest"), made("inner")), "nest"),
        (
            format!("({}); git clone -q --bare nest bare.git; rm -rf nest; git -C bare.git gc -q", made("nest")),
            "bare.git",
        ),
        ("git init -q --separate-git-dir=./gd.log work; cd work; git -c user.name=x -c user.email=x commit -q --allow-empty -m x".to_owned(), "gd.log"),
        ("git init -q unborn; echo x > unborn/x; git -C unborn add x".to_owned(), "unborn"),
    ] {
        let stage = Stage::with(&[("a.txt", "a\n"), (".gitignore", "*.log\n"), ("p/f", "f\n")]);
        stage.act("true");
        shell(&stage.clone(), &script);
        let said = comes_back(&stage, &script);
        assert!(said.contains(named), "{script}: {said}");
    }
    // An ignored one of which a remote has all goes like other ignored folders.
    let stage = Stage::new();
    stage.act("true");
    let script = format!("({}); git clone -q nest lib.log; rm -rf nest", made("nest"));
    shell(&stage.clone(), &script);
    stage.run(&["zone", "remove", "main"]).ok();
}

#[test]
fn what_a_brain_made_stays_from_task_to_task_and_comes_back() {
    let script = format!(
        "set -e; git init -q /tmp/lib; (cd /tmp/lib; {USER}; echo l > l; git add l; git commit -qm l)
         git -c protocol.file.allow=always submodule --quiet add /tmp/lib sub; (cd sub; {USER}; echo s > s; git add s; git commit -qm s)
         git worktree add -q wt -b side; cd wt; git checkout -q --detach; echo w > w; git add w; git commit -qm w
         cd ..; git init -q own; cd own; {USER}; echo o > o; git add o; git commit -qm o"
    );
    let stage = Stage::new();
    stage.act(&script);
    let look = "for d in sub wt own; do git -C $d log -1 --format=%s; git -C $d status --porcelain; done";
    let is_there = |when: &str| {
        let (said, task) = stage.act(look);
        assert_eq!(said.out.trim(), "s\nw\no", "{when}: {}", said.err);
        assert_eq!(task["outcome"], "no-op", "{when}: {task:#}");
    };
    is_there("the next task");
    comes_back(&stage, "made by a brain");
    is_there("removed and back");
}

#[test]
fn another_worktree_in_the_way_stops_the_removal() {
    let stage = Stage::new();
    stage.act("true");
    let clone = stage.clone();
    clone.git(&["worktree", "add", "-q", "mine", "-b", "mine"]);
    for force in [&["--force"][..], &[]] {
        let refused = stage.run(&[&["zone", "remove", "main"], force].concat());
        assert_eq!(refused.code, 4, "{}", refused.err);
        assert!(clone.0.join("mine/.git").exists());
    }
    let refused = stage.run(&["zone", "remove", "main", "--force"]);
    let next = refused
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: "));
    let next = next
        .unwrap()
        .replace("git khlone", env!("CARGO_BIN_EXE_git-khlone"));
    let next = git_khlone::process::Cmd::new("sh").args(["-ec", &next]);
    stage.surrounded(next).output().unwrap();
    assert!(!clone.0.exists());
    assert!(clone.0.with_file_name("mine").join(".git").exists());
}

#[test]
fn submodules_that_were_set_up_in_the_worktree_come_back() {
    let (stage, _) = super::committed::with_submodule();
    stage.act("true");
    let clone = stage.clone();
    shell(
        &clone,
        &format!(
            "cd dep; {USER}; git checkout -q -b own; echo e > e; git add e; git commit -qm e; git checkout -q --detach HEAD~1"
        ),
    );
    let said = comes_back(&stage, "a branch in it");
    assert!(said.contains("commits of its own in dep"), "{said}");
    // As git itself does it: the git folder is in that of the worktree.
    let (stage, _) = super::committed::with_submodule();
    stage.act("true");
    let clone = stage.clone();
    fs::remove_dir_all(clone.0.join("dep")).unwrap();
    clone.git(&["update-index", "--no-skip-worktree", "dep"]);
    clone.git(&["submodule", "update", "-q", "--init", "--force", "dep"]);
    shell(
        &clone,
        &format!("cd dep; {USER}; echo e > e; git add e; git commit -qm e; echo x > x"),
    );
    let before = files(&clone);
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    stage.run(&["undo"]).ok();
    assert_eq!(files(&clone), before);
    assert_eq!(clone.git(&["-C", "dep", "log", "-1", "--format=%s"]), "e");
}

#[test]
fn what_is_too_large_to_save_is_never_destroyed() {
    let large = |clone: &Work| fs::metadata(clone.0.join("big")).map(|data| data.len()).ok();
    let stage = Stage::new();
    let (_, task) = stage.act("head -c 60000000 /dev/zero > big; echo 1 > one");
    let clone = stage.clone();
    let rolled = stage.run(&["rollback", task["task"].as_str().unwrap()]).ok();
    assert!(rolled.contains("left") && rolled.contains("big"), "{rolled}");
    assert_eq!(large(&clone), Some(60_000_000));
    stage.run(&["undo"]).ok();
    assert_eq!(
        (large(&clone), clone.read("one").as_deref()),
        (Some(60_000_000), Some("1\n"))
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        clone.0.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    stage.run(&["zone", "remove", "--force", "main"]).ok();
    assert!(!clone.0.exists());
    let undone = stage.run(&["undo"]).ok();
    assert!(!undone.contains("not brought back"), "{undone}");
    assert_eq!(large(&clone), Some(60_000_000));
    assert!(clone.0.join("pipe").exists());
}

/// A saved state with things moved aside is somebody's last of them: it goes by that person's word alone.
#[test]
fn a_saved_state_is_given_up_only_by_its_number() {
    let stage = Stage::new();
    let user = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&user).unwrap();
    let apart = |n: u64| stage.work.0.join(format!(".git/khlone/apart/{n}"));
    let remove = || {
        stage.act("true");
        shell(
            &stage.clone(),
            "git init -q nest; echo mine > nest/mine; mkdir nest/shut; chmod 0500 nest/shut",
        );
        stage.run(&["zone", "remove", "--force", "main"]).ok();
    };
    remove();
    fs::write(user.join("config.yml"), "limits: {keep_for: 1s}\n").unwrap();
    let told = stage.until("the state is old", || {
        let told = stage.run(&["gc"]).ok();
        told.contains("saved state 1").then_some(told)
    });
    assert!(
        told.contains("kept, holds work: saved state 1\n  next: git khlone undo 1 "),
        "{told}"
    );
    assert!(told.contains("git khlone gc --forget 1\n"), "{told}");
    let unknown = stage.run(&["gc", "--forget", "1", "--forget", "9"]);
    assert!(
        unknown.code == 3 && unknown.err.contains("nothing is saved as 9"),
        "{}",
        unknown.err
    );
    let would = stage.run(&["gc", "-n", "--forget", "1"]).ok();
    assert!(would.contains("would drop saved state 1\n"), "{would}");
    assert!(apart(1).exists());
    // Of a state whose refs are lost, what was moved aside is told, and nothing of another comes to it.
    for name in stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/undo"])
        .lines()
    {
        stage.work.git(&["update-ref", "-d", name]);
    }
    let told = stage.run(&["gc"]).ok();
    assert!(
        told.contains(&format!("kept, holds work: {}", apart(1).display())),
        "{told}"
    );
    remove();
    assert!(apart(1).exists() && apart(2).exists());
    stage.run(&["gc", "--forget", "1", "--forget", "2"]).ok();
    assert!(!apart(1).exists() && !apart(2).exists());
    assert_eq!(stage.run(&["undo"]).code, 3);
}
