//! What a brain without a sandbox does outside of its worktree is found out: each kind that SECURITY.md names.

use std::fs;

use git_khlone::process::Cmd;

use crate::stage::Stage;

/// What is done, and what the task says of it. Each fails the task.
const BREACHES: [(&str, &str); 13] = [
    (
        "mkdir -p ~/.config/fish/conf.d; echo x > ~/.config/fish/conf.d/x.fish",
        "~/.config/fish/conf.d/x.fish: written",
    ),
    (
        "mkdir -p ~/.config/systemd/user; echo x > ~/.config/systemd/user/x.service",
        "~/.config/systemd/user/x.service: written",
    ),
    (
        "mkdir -p ~/.config/autostart; echo x > ~/.config/autostart/x.desktop",
        "~/.config/autostart/x.desktop: written",
    ),
    (
        "mkdir -p ~/.local/bin; echo x > ~/.local/bin/git",
        "~/.local/bin/git: written",
    ),
    ("echo x > ~/.vimrc", "~/.vimrc: written"),
    ("echo x >> ~/.bashrc", "~/.bashrc: written"),
    ("git branch other", "refs/heads/other: none"),
    (
        "git branch khlone/main/foreman.9",
        "refs/heads/khlone/main/foreman.9: none",
    ),
    (
        "git replace $(git rev-parse HEAD:a.txt) $(echo evil | git hash-object -w --stdin)",
        "refs/replace/",
    ),
    (
        "git update-ref refs/khlone/pins/zz/1-x HEAD",
        "refs/khlone/pins/zz/1-x: keeps a commit for no task",
    ),
    (
        "git update-ref refs/khlone/tasks/t-0000000000 HEAD",
        "refs/khlone/tasks/t-0000000000: is no task",
    ),
    (
        "git update-ref refs/khlone/what HEAD",
        "refs/khlone/what: is no ref of git-khlone",
    ),
    (
        "m=\"$(git rev-parse --git-common-dir)/modules/a/b/hooks\"; mkdir -p \"$m\"; echo x > \"$m/post-checkout\"",
        "modules/a/b/hooks/post-checkout: added",
    ),
];

/// What may be the user's doing: it is named, and fails nothing.
const PERHAPS: [(&str, &str); 4] = [
    (
        "git -C \"$(dirname \"$(git rev-parse --path-format=absolute --git-common-dir)\")\" update-index --assume-unchanged a.txt",
        "your checkout: a.txt: hidden from git status",
    ),
    (
        "mkdir -p ~/.khlone/trust; echo x > ~/.khlone/trust/x.json",
        "what is trusted (git khlone trust --list)/x.json: written",
    ),
    (
        "mkdir -p ~/.claude; echo x > ~/.claude/settings.json",
        "~/.claude/settings.json: written",
    ),
    (
        "mkdir -p ~/.codex; echo x > ~/.codex/config.toml",
        "~/.codex/config.toml: written",
    ),
];

fn unconfined() -> Stage {
    let stage = Stage::new();
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "sandbox: off\n").unwrap();
    stage
}

fn is_told(task: &serde_json::Value, word: &str) -> bool {
    let reasons = task["reasons"].as_array().unwrap();
    reasons
        .iter()
        .any(|reason| reason.as_str().unwrap().contains(word))
}

#[test]
fn what_is_written_outside_is_named_and_fails_the_task() {
    let stage = unconfined();
    let (said, _) = stage.act("echo ok > ok; git tag mine; git stash list");
    assert_eq!(said.code, 0, "{}", said.err);
    for (script, word) in BREACHES {
        let (said, task) = stage.act(script);
        assert_eq!(
            (said.code, &task["outcome"]),
            (1, &"foreign".into()),
            "{script}: {task:#}"
        );
        assert!(is_told(&task, word), "{script}: {task:#}");
        for forged in ["tasks/t-0000000000", "what", "pins/zz/1-x"] {
            let _may_not_be_there =
                stage
                    .work
                    .try_git(&["update-ref", "-d", &format!("refs/khlone/{forged}")]);
        }
    }
}

#[test]
fn what_the_user_may_have_changed_is_named_and_fails_nothing() {
    let stage = unconfined();
    for (script, word) in PERHAPS {
        let (said, task) = stage.act(script);
        assert_eq!(said.code, 0, "{script}: {}", said.err);
        assert!(is_told(&task, word), "{script}: {task:#}");
    }
}

#[test]
fn refs_that_git_cannot_read_any_more_are_put_right() {
    let stage = unconfined();
    stage.work.git(&["tag", "kept"]);
    let (done, _) = stage.act("echo a > a");
    assert_eq!(done.code, 0, "{}", done.err);
    stage.work.git(&["pack-refs", "--all"]);
    let before = stage
        .work
        .git(&["for-each-ref", "refs/heads", "refs/tags", "refs/khlone/zones"]);
    for script in [
        "echo garbage >> \"$(git rev-parse --git-common-dir)/packed-refs\"",
        "rm \"$(git rev-parse --git-common-dir)/packed-refs\"",
        "printf '\\0\\0' > \"$(git rev-parse --git-common-dir)/packed-refs\"",
    ] {
        let (said, task) = stage.act(script);
        assert_eq!(
            (said.code, &task["outcome"]),
            (1, &"foreign".into()),
            "{script}: {}",
            said.err
        );
        assert!(is_told(&task, "packed-refs: "), "{script}: {task:#}");
        let after = stage
            .work
            .git(&["for-each-ref", "refs/heads", "refs/tags", "refs/khlone/zones"]);
        assert_eq!(after.lines().count(), before.lines().count(), "{script}: {after}");
        stage.work.git(&["fsck", "--strict"]);
    }
}

/// Refs that were loose are in no `packed-refs` of before.
#[test]
fn refs_that_were_packed_and_then_lost_are_put_back() {
    for damage in [
        "echo garbage > $p",
        "rm $p",
        ": > $p",
        "head -c 400 /dev/urandom > $p",
        "rm $p; ln -s nowhere $p",
        "rm $p; mkdir $p",
        "echo '# pack-refs with: peeled fully-peeled sorted ' > $p",
    ] {
        for packed_before in [false, true] {
            let stage = unconfined();
            stage.work.git(&["tag", "kept"]);
            stage.work.git(&["branch", "other"]);
            let (done, first) = stage.act("echo a > a");
            assert_eq!(done.code, 0, "{}", done.err);
            if packed_before {
                stage.work.git(&["pack-refs", "--all"]);
            }
            let refs = || stage.work.git(&["for-each-ref", "refs/heads", "refs/tags"]);
            let before = refs();
            let script = format!(
                "cd \"$(git rev-parse --git-common-dir)\" && git pack-refs --all && p=packed-refs && {damage}"
            );
            let (said, task) = stage.act(&script);
            assert_eq!(
                (said.code, &task["outcome"]),
                (1, &"foreign".into()),
                "{damage}: {}",
                said.err
            );
            assert!(is_told(&task, "packed-refs: "), "{damage}: {task:#}");
            assert_eq!(refs(), before, "{damage}");
            assert_eq!(stage.task(first["task"].as_str().unwrap())["status"], "done");
            stage.work.git(&["fsck", "--strict"]);
            stage.run(&["fsck"]).ok();
        }
    }
}

/// What the user does while the brain runs is newer than all that was kept before it.
#[test]
fn refs_are_put_back_as_they_stood_when_they_were_lost() {
    for damage in [
        "echo garbage > $p",
        "rm $p",
        ": > $p",
        "rm $p; ln -s nowhere $p",
        "rm $p; mkdir $p",
    ] {
        for packed_before in [false, true] {
            let stage = unconfined();
            let git = |args: &[&str]| stage.work.git(args);
            for branch in ["kept", "folder"] {
                git(&["branch", branch]);
            }
            let (done, first) = stage.act("echo a > a");
            assert_eq!(done.code, 0, "{}", done.err);
            if packed_before {
                git(&["pack-refs", "--all"]);
            }
            let commit = |text: &str| git(&["commit", "-q", "--allow-empty", "-m", text]);
            commit("loose, over what is packed");
            let (mark, go) = (stage.path().join("home/mark"), stage.path().join("home/go"));
            let id = stage.start(&format!(
                "touch '{}'; until test -e '{}'; do sleep 0.05; done
                 cd \"$(git rev-parse --git-common-dir)\" && git pack-refs --all && p=packed-refs && {damage}",
                mark.display(),
                go.display(),
            ));
            stage.until("the brain runs", || mark.exists().then_some(()));
            commit("meanwhile");
            git(&["branch", "late/one"]);
            git(&["branch", "-D", "folder"]);
            git(&["branch", "folder/inner"]);
            let queued = stage.start("echo queued > queued");
            let refs = || git(&["for-each-ref", "refs/heads", "refs/tags", "refs/khlone/zones"]);
            let before = refs();
            fs::write(&go, "").unwrap();
            for task in [&id, &queued] {
                stage.run(&["await", task]);
            }
            let task = stage.task(&id);
            assert_eq!(task["outcome"], "foreign", "{damage}: {task:#}");
            for word in [
                "packed-refs: ",
                "refs/heads/main: put back at ",
                "refs/heads/late/one: put back at ",
            ] {
                assert!(task.to_string().contains(word), "{damage}: {word}: {task:#}");
            }
            let after = refs();
            for line in before.lines().filter(|line| !line.contains("khlone/")) {
                assert!(after.contains(line), "{damage} {packed_before}: {line}\n{after}");
            }
            assert!(after.contains("refs/khlone/zones/main"), "{damage}: {after}");
            assert_eq!(stage.task(first["task"].as_str().unwrap())["status"], "done");
            assert_eq!(stage.task(&queued)["outcome"], "done", "{damage}");
            git(&["fsck", "--strict"]);
            stage.run(&["fsck"]).ok();
        }
    }
}

#[test]
fn refs_are_put_right_though_the_runner_died_with_its_brain() {
    let stage = unconfined();
    let (done, _) = stage.act("echo a > a");
    assert_eq!(done.code, 0, "{}", done.err);
    stage.work.git(&["pack-refs", "--all"]);
    let refs = |stage: &Stage| {
        stage
            .work
            .git(&["for-each-ref", "refs/heads", "refs/khlone/zones"])
    };
    let before = refs(&stage);
    for damage in ["echo garbage >>", "rm"] {
        let mark = stage.path().join("home/mark");
        let id = stage.start(&format!(
            "test $KHLONE_ATTEMPT = 1 || exit 0; {damage} \"$(git rev-parse --git-common-dir)/packed-refs\"
             echo $PPID > '{0}.new'; mv '{0}.new' '{0}'; sleep 100",
            mark.display()
        ));
        let runner = stage.until("packed-refs is broken", || fs::read_to_string(&mark).ok());
        fs::remove_file(&mark).unwrap();
        let kill = Cmd::new("kill").args(["-9", runner.trim()]);
        kill.output().unwrap();
        stage.until("the refs can be read again", || {
            let listed = stage.run(&["list", "tasks"]);
            (listed.code == 0 && listed.out.contains(&id[..5])).then_some(())
        });
        let told = stage.until("it is looked after", || {
            let task = stage.task(&id);
            task.to_string().contains("packed-refs: ").then_some(task)
        });
        assert_ne!(told["status"], "done", "{damage}: {told:#}");
        assert_eq!(refs(&stage).lines().count(), before.lines().count(), "{damage}");
        stage.work.git(&["fsck", "--strict"]);
        assert_eq!(
            fs::read_dir(stage.work.0.join(".git/khlone/packed-refs"))
                .unwrap()
                .count(),
            0
        );
        stage.run(&["cancel", &id]);
    }
}

#[test]
fn a_persons_file_in_a_clones_worktree_is_told_and_not_committed() {
    for sandbox in ["auto", "off"] {
        let stage = unconfined();
        let config = stage.path().join("home/.config/khlone/config.yml");
        fs::write(config, format!("sandbox: {sandbox}\n")).unwrap();
        stage.act("echo a > a");
        let clone = stage.clone();
        clone.write("mine.txt", "mine\n");
        clone.write("a.txt", "edited by a person\n");
        let (said, task) = stage.act("echo b > b");
        assert_eq!(
            (said.code, &task["outcome"]),
            (0, &"done".into()),
            "{sandbox}: {}",
            said.err
        );
        assert!(is_told(&task, "not committed: mine.txt"), "{task:#}");
        assert_eq!(clone.git(&["show", "--name-only", "--format="]), "b");
        assert_eq!(clone.read("mine.txt").as_deref(), Some("mine\n"));
        assert_eq!(clone.git(&["status", "--porcelain"]), " M a.txt\n?? mine.txt");
        // What the brain changes of it is the brain's.
        let (_, task) = stage.act("echo more >> mine.txt");
        assert_eq!(
            clone.git(&["show", "--name-only", "--format="]),
            "mine.txt",
            "{task:#}"
        );
    }
}

#[test]
fn a_nested_repository_that_a_task_left_troubles_no_later_one() {
    for sandbox in ["auto", "off"] {
        let stage = unconfined();
        let config = stage.path().join("home/.config/khlone/config.yml");
        fs::write(config, format!("sandbox: {sandbox}\n")).unwrap();
        let (_, first) = stage.act("git init -q sub2; echo x > sub2/x; git init -q sub3; git -C sub3 -c user.name=a -c user.email=a@b commit -q --allow-empty -m i");
        assert_eq!(first["outcome"], "partial", "{first:#}");
        for n in 0..2 {
            let (said, task) = stage.act(&format!("echo {n} > {n}"));
            assert_eq!(
                (said.code, &task["outcome"]),
                (0, &"done".into()),
                "{sandbox} {n}: {task:#}"
            );
        }
    }
}

#[test]
fn one_clone_is_removed_and_comes_back() {
    let stage = Stage::new();
    for n in 1..=2 {
        let done = stage.run(&[
            "act",
            "--who",
            "@shell++",
            "--await",
            "-m",
            &format!("echo {n} > f{n}"),
        ]);
        assert_eq!(done.code, 0, "{}", done.err);
    }
    let crew = || stage.run(&["list", "crew"]).ok();
    let refused = stage.run(&["zone", "remove", "main", "--clone", "foreman.1"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert_eq!(
        stage
            .run(&["zone", "remove", "main", "--clone", "foreman.7", "--force"])
            .code,
        3
    );
    let removed = stage.run(&["zone", "remove", "main", "--clone", "foreman.1", "--force"]);
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert!(
        !crew().contains("foreman.1") && crew().contains("foreman.2"),
        "{}",
        crew()
    );
    let branches = stage.work.git(&["branch", "--format=%(refname:short)"]);
    assert!(
        !branches.contains("foreman.1") && branches.contains("foreman.2"),
        "{branches}"
    );
    assert_eq!(stage.work.git(&["worktree", "list"]).lines().count(), 2);
    stage.run(&["undo"]).ok();
    assert!(crew().contains("foreman.1"), "{}", crew());
    assert_eq!(stage.work.git(&["show", "khlone/main/foreman.1:f1"]), "1");
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "limits: {clones: 2}\n").unwrap();
    let full = stage.run(&["act", "--who", "@shell++", "-m", "true"]);
    assert!(full.err.contains("git khlone zone remove"), "{}", full.err);
}

#[test]
fn an_audit_is_one_document_of_all_that_is_recorded() {
    let stage = Stage::new();
    let (done, task) = stage.act("echo a > a; git add a; git commit -qm one");
    assert_eq!(done.code, 0, "{}", done.err);
    let id = task["task"].as_str().unwrap();
    for args in [&["audit", id][..], &["--json", "audit"]] {
        let audit: serde_json::Value = serde_json::from_str(&stage.run(args).ok()).unwrap();
        let attempt = &audit["attempts"][0];
        assert_eq!(audit["prompt"], "echo a > a; git add a; git commit -qm one");
        assert_eq!(audit["task"], id);
        assert!(
            attempt["tier"].is_string() && attempt["network"] == "open",
            "{audit:#}"
        );
        assert!(!attempt["argv"].as_array().unwrap().is_empty(), "{audit:#}");
        assert!(
            attempt["env_names"]
                .as_array()
                .unwrap()
                .contains(&"KHLONE_TASK".into())
        );
        assert_eq!(attempt["effects"]["files"][0]["path"], "a");
        assert_eq!(
            (&audit["commits"][0]["signature"], audit["history"][0].is_object()),
            (&"N".into(), true)
        );
        assert_eq!(audit["object"].as_str().unwrap().len(), 40);
    }
}

/// Where a person works in a linked worktree, that is their checkout, too.
#[test]
fn a_linked_worktree_of_the_users_is_watched() {
    let stage = Stage::new();
    let own = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("config.yml"), "sandbox: off\n").unwrap();
    let linked = stage.path().join("linked");
    stage
        .work
        .git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    stage.act("true");
    let name = linked.to_str().unwrap();
    let (_, task) = stage.act(&format!("echo x >> '{name}/a.txt'; echo new > '{name}/new'"));
    let foreign = task["reasons"].to_string();
    for file in ["a.txt", "new"] {
        assert!(
            foreign.contains(&format!("your checkout: {name}/{file}: written")),
            "{foreign}"
        );
    }
    let (_, quiet) = stage.act("true");
    assert!(!quiet["reasons"].to_string().contains(name), "{quiet:#}");
}
