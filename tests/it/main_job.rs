//! The main job, end to end: the real binary, daemon, runner, sandbox and git; the brain is a shell script.

use std::fs;

use crate::stage::Stage;

#[test]
fn an_act_is_a_commit_on_a_branch_of_its_own() {
    let stage = Stage::new();
    stage.work.git(&["remote", "add", "origin", "nowhere"]);
    let before = stage.work.status();
    let (said, task) = stage.act("printf hello > greeting.txt");
    assert_eq!(said.code, 0, "{}", said.err);
    for part in [
        "greeting.txt",
        "khlone/main/foreman.1",
        "git khlone land t-",
        "git push origin khlone/main/foreman.1",
    ] {
        assert!(said.err.contains(part), "{part} is missing in {}", said.err);
    }
    assert_eq!(
        (&task["status"], &task["outcome"]),
        (&"done".into(), &"done".into())
    );
    assert_eq!(task["effects"]["files"][0]["path"], "greeting.txt");
    // The user's own checkout has not changed; the clone's is clean and has the commit.
    assert_eq!(stage.work.status(), before);
    assert_eq!(stage.work.read("greeting.txt"), None);
    let clone = stage.clone();
    assert_eq!(
        (clone.status(), clone.read("greeting.txt").as_deref()),
        (String::new(), Some("hello"))
    );
    let log = stage.work.git(&[
        "log",
        "-1",
        "--format=%an|%cn|%s|%(trailers:key=Khlone-Task,valueonly)",
        "khlone/main/foreman.1",
    ]);
    assert!(
        log.starts_with("Ann|git-khlone|printf hello > greeting.txt|t-"),
        "{log}"
    );
    // Delivered, and seen by the user.
    stage.run(&["land"]).ok();
    assert_eq!(stage.work.read("greeting.txt").as_deref(), Some("hello"));
    assert_eq!(stage.work.status(), "");
    assert!(stage.run(&["diff"]).ok().contains("+hello"));
}

#[test]
fn a_login_shell_finds_what_the_user_finds() {
    let stage = Stage::new();
    let (_, task) = stage.act("echo $PATH; bash -lc 'echo $PATH'");
    let answer = task["answer"].as_str().unwrap();
    let paths: Vec<_> = answer.lines().collect();
    if task["attempts"][0]["tier"] == "T2" {
        assert_eq!(paths[0], paths[1]);
    }
}

#[test]
fn what_is_stored_is_git_through_and_through() {
    let stage = Stage::new();
    for script in [
        "echo 1 > one",
        "echo 2 > two; printf '[x]\\n' > .gitmodules",
        "true",
    ] {
        stage.act(script);
    }
    stage.work.git(&["gc", "-q", "--prune=now"]);
    stage.work.git(&["fsck", "--strict", "--no-dangling"]);
    // Nothing of it but pins and notes is commits, so a log shows only what branches have.
    let shown = stage.work.git(&["log", "--all", "--format=%s"]);
    assert!(shown.lines().all(|line| !line.contains("task.json")), "{shown}");
    let task = stage
        .work
        .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/tasks"]);
    let first = task.lines().next().unwrap();
    assert!(
        stage
            .work
            .git(&["show", &format!("{first}:task.json")])
            .contains("\"format\": 1")
    );
    assert!(stage.work.git(&["show", first]).contains("Khlone-Status: done"));
    stage.work.git(&[
        "diff",
        &format!("{first}:attempts/1/before"),
        &format!("{first}:attempts/1/after"),
    ]);
    let other = stage.path().join("other.git");
    let other = other.to_str().unwrap();
    stage.work.git(&["init", "-q", "--bare", other]);
    stage
        .work
        .git(&["--git-dir", other, "config", "receive.fsckObjects", "true"]);
    stage.work.git(&[
        "push",
        "-q",
        other,
        "refs/khlone/*:refs/khlone/*",
        "refs/notes/*:refs/notes/*",
    ]);
    stage
        .work
        .git(&["--git-dir", other, "fsck", "--strict", "--no-dangling"]);
    let commit = stage.work.git(&["rev-parse", "khlone/main/foreman.1"]);
    assert!(
        stage
            .work
            .git(&["notes", "--ref", "khlone", "show", &commit])
            .contains("Khlone-Task: t-")
    );
}

#[test]
fn an_ask_answers_on_stdout_alone_and_changes_nothing() {
    let stage = Stage::new();
    let answer = stage.run(&[
        "ask",
        "--who",
        "@shell",
        "--await",
        "cat a.txt; git log --format=%s",
    ]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "a\nfirst\n"));
    let tried = stage.run(&["ask", "--who", "@shell", "--await", "echo x > a.txt || exit 3"]);
    assert_eq!(tried.code, 1, "{}", tried.err);
    assert_eq!(stage.clone().read("a.txt").as_deref(), Some("a\n"));
}

#[test]
fn tasks_of_a_clone_run_in_order_and_give_the_shell_back() {
    let stage = Stage::new();
    let ids: Vec<_> = (0..4)
        .map(|n| {
            stage
                .run(&["act", "--who", "@shell", &format!("echo {n} >> order")])
                .ok()
        })
        .collect();
    let awaited: Vec<&str> = std::iter::once("await")
        .chain(ids.iter().map(String::as_str))
        .collect();
    assert_eq!(stage.run(&awaited).code, 0);
    assert_eq!(stage.clone().read("order").as_deref(), Some("0\n1\n2\n3\n"));
    assert_eq!(
        stage
            .work
            .git(&["rev-list", "--count", "main..khlone/main/foreman.1"]),
        "4"
    );
}

#[test]
fn many_acts_at_once_all_run_once() {
    let stage = Stage::new();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let stage = &stage;
            scope.spawn(move || {
                stage
                    .run(&["act", "--who", "@shell", &format!("echo {n} > f{n}")])
                    .ok()
            });
        }
    });
    let list: serde_json::Value =
        serde_json::from_str(&stage.run(&["--json", "list", "tasks"]).ok()).unwrap();
    let ids: Vec<_> = list["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 12);
    let awaited: Vec<&str> = std::iter::once("await")
        .chain(ids.iter().map(String::as_str))
        .collect();
    assert_eq!(stage.run(&awaited).code, 0);
    let clone = stage.clone();
    for n in 0..12 {
        assert_eq!(clone.read(&format!("f{n}")), Some(format!("{n}\n")));
    }
    // What stays of it must not set off the user's `gc --auto`: packs without a `.keep` are what it counts.
    let names = fs::read_dir(stage.work.0.join(".git/objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let unkept = names.filter(|path| {
        path.extension().is_some_and(|end| end == "pack") && !path.with_extension("keep").exists()
    });
    assert!(unkept.count() < 10);
    stage.work.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn whatever_a_brain_does_with_git_is_not_lost() {
    let stage = Stage::new();
    let script = "
        git checkout -q -b side && echo s > side && git add side && git commit -q -m side
        echo stashed > a.txt && git stash -q
        echo one > x && git add x && git commit -q -m one && git commit -q --amend -m two
        git tag mark && git checkout -q --detach";
    let (said, task) = stage.act(script);
    assert_eq!(task["outcome"], "done", "{}", said.err);
    let id = task["task"].as_str().unwrap();
    let pins = stage.work.git(&[
        "for-each-ref",
        "--format=%(refname) %(subject)",
        &format!("refs/khlone/pins/{id}"),
    ]);
    for pin in ["1-stash-0", "1-passed-", "1-head-after two"] {
        assert!(pins.contains(pin), "{pin} is missing in\n{pins}");
    }
    // The branch and the tag stand where HEAD ended, and are told.
    assert_eq!(pins.lines().count(), 4, "{pins}");
    let head = stage
        .work
        .tip(&format!("refs/khlone/pins/{id}/1-head-after"))
        .to_string();
    let refs = task["effects"]["refs"].as_array().unwrap();
    for name in ["refs/heads/side", "refs/tags/mark"] {
        let told = refs.iter().find(|it| it["name"] == name);
        assert_eq!(told.map(|it| &it["after"]), Some(&head.as_str().into()), "{name}");
    }
    // A final HEAD that descends from the clone's branch moves it.
    assert_eq!(
        stage
            .work
            .git(&["log", "-1", "--format=%s", "khlone/main/foreman.1"]),
        "two"
    );
    // Nothing of it is a ref of the user's.
    assert_eq!(stage.work.git(&["branch", "--list", "side"]), "");
    assert_eq!(stage.work.git(&["tag"]), "");
    assert_eq!(stage.work.git(&["stash", "list"]), "");
}

#[test]
fn a_brain_that_moves_away_or_stops_in_a_conflict_is_told() {
    let stage = Stage::new();
    let (said, task) = stage.act(
        "git checkout -q --orphan other && git rm -q -rf . && echo n > n && git add n && git commit -q -m n",
    );
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"moved".into()),
        "{}",
        said.err
    );
    let stage = Stage::new();
    let (said, task) = stage.act(
        "echo 1 > a.txt && git commit -q -am one && git checkout -q -b other HEAD~1 && echo 2 > a.txt \
         && git commit -q -am two && git merge foreman 2>/dev/null; git merge khlone/main/foreman.1; true",
    );
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"partial".into()),
        "{}",
        said.err
    );
}

#[test]
fn the_commit_takes_only_what_is_the_brains() {
    let stage = Stage::with(&[
        ("a.txt", "a\n"),
        (".gitignore", "*.log\n.env\n"),
        (".worktreeinclude", ".env\n"),
    ]);
    stage.work.write(".env", "SECRET=1\n");
    stage.work.write("khlone.yml", "commit: {max_file: 1KiB}\n");
    let (said, task) = stage
        .act("cat .env && echo x > y.log && echo ok > ok && head -c 2000 /dev/zero > big && rm .gitignore");
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"partial".into()),
        "{}",
        said.err
    );
    let files = stage
        .work
        .git(&["show", "--name-status", "--format=", "khlone/main/foreman.1"]);
    assert_eq!(files, "D\t.gitignore\nA\tok");
    assert!(said.err.contains("big"), "{}", said.err);
}

#[test]
fn what_is_committed_stands_in_the_files_whatever_the_brains_git_says() {
    let stage = Stage::new();
    let (said, task) = stage.act(
        "git config filter.x.clean 'echo planted' && echo '* filter=x' > .gitattributes && touch a.txt\n\
         echo mine >> .git/info/exclude 2>/dev/null || echo mine >> \"$(git rev-parse --git-path info/exclude)\"\n\
         echo m > mine && echo n > new.txt",
    );
    assert_eq!(task["outcome"], "done", "{}", said.err);
    let branch = "khlone/main/foreman.1";
    let files = stage.work.git(&["show", "--name-status", "--format=", branch]);
    assert_eq!(files, "A\t.gitattributes\nA\tmine\nA\tnew.txt");
    assert_eq!(stage.work.git(&["show", &format!("{branch}:new.txt")]), "n");
    assert_eq!(stage.clone().status(), "");
}

#[test]
fn whoever_writes_elsewhere_is_told() {
    let stage = Stage::new();
    let main = stage.work.0.display().to_string();
    let script = format!(
        "for place in '{main}' '{main}/.git' .. \"$HOME/.khlone\"; do echo x > \"$place/planted\"; done; \
         mkdir -p ~/.cache/tool && echo ok > ~/.cache/tool/it && echo mine > mine"
    );
    let (said, task) = stage.act(&script);
    assert_eq!(task["outcome"], "done", "{}", said.err);
    let id = task["task"].as_str().unwrap();
    let stderr = stage
        .work
        .git(&["show", &format!("refs/khlone/tasks/{id}:attempts/1/stderr.log")]);
    let refused = stderr.lines().filter(|line| {
        let line = line.to_lowercase();
        line.contains("read-only file system") || line.contains("nonexistent")
    });
    assert_eq!(refused.count(), 4, "{stderr}");
    assert!(
        stderr.to_lowercase().matches("read-only").count() >= 3,
        "{stderr}"
    );
    assert_eq!(stage.work.status(), "");
}

#[test]
fn limits_and_cancelling_leave_the_brain_its_grace() {
    let stage = Stage::new();
    stage.work.write("khlone.yml", "limits: {task: 1s}\n");
    let (said, task) = stage.act("sleep 60");
    assert_eq!(
        (said.code, &task["outcome"]),
        (7, &"timeout".into()),
        "{}",
        said.err
    );
    // The cause first.
    assert!(
        task["reasons"][0]
            .as_str()
            .unwrap()
            .starts_with("took longer than 1s"),
        "{}",
        task["reasons"]
    );
    fs::remove_file(stage.work.0.join("khlone.yml")).unwrap();
    let id = stage
        .run(&[
            "act",
            "--who",
            "@shell",
            "trap 'echo flushed > kept; exit 1' INT; while :; do sleep 0.05; done",
        ])
        .ok();
    let running = || (stage.task(&id)["attempts"][0]["n"].is_number()).then_some(());
    stage.until("the start", running);
    stage.until("the cancel", || {
        (stage.run(&["cancel", &id]).code == 0).then_some(())
    });
    assert_eq!(stage.run(&["await", &id]).code, 6);
    assert_eq!(stage.task(&id)["outcome"], "cancelled");
    let kept = stage.clone().read("kept");
    assert!(kept.is_none() || kept.as_deref() == Some("flushed\n"));
}

#[test]
fn a_killed_runner_loses_nothing() {
    let stage = Stage::new();
    let id = stage
        .run(&[
            "act",
            "--who",
            "@shell",
            "test -e began && echo second > end && exit; echo x > began; sleep 60",
        ])
        .ok();
    let pid = stage.until("the start", || {
        let task = stage.task(&id);
        let place = task["attempts"][0]["pid"].as_i64()?;
        let clone = stage.run(&["path", &id]);
        let began = std::path::Path::new(clone.out.trim()).join("began").exists();
        began.then_some(place)
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let said = stage.run(&["await", &id]);
    let task = stage.until("the second attempt's end", || {
        let task = stage.task(&id);
        (task["status"] == "done").then_some(task)
    });
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2, "{}", said.err);
    assert_eq!(stage.clone().read("end").as_deref(), Some("second\n"));
}

#[test]
fn setup_runs_once_when_trusted() {
    let stage = Stage::new();
    stage
        .work
        .write("khlone.yml", "worktree: {setup: ['echo ran >> setup.log']}\n");
    let refused = stage.run(&["act", "--who", "@shell", "true"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("git khlone trust"), "{}", refused.err);
    assert_eq!(stage.run(&["trust"]).code, 4);
    stage.run(&["trust", "--yes"]).ok();
    stage.act("true");
    stage.act("echo x > x");
    assert_eq!(stage.clone().read("setup.log").as_deref(), Some("ran\n"));
    stage.work.write("khlone.yml", "worktree: {setup: ['exit 3']}\n");
    assert_eq!(stage.run(&["act", "--who", "@shell", "true"]).code, 4);
    stage.run(&["trust", "--yes"]).ok();
    let (said, task) = stage.act("true");
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"setup".into()),
        "{}",
        said.err
    );
}

#[test]
fn without_a_sandbox_an_ask_is_taken_back_and_told() {
    let stage = Stage::new();
    let config = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "sandbox: off\n").unwrap();
    let asked = stage.run(&["ask", "--who", "@shell", "--await", "echo x > a.txt; echo n > n"]);
    assert!(asked.err.contains("without a sandbox"), "{}", asked.err);
    let task = stage.task(stage.run(&["list"]).ok().split_whitespace().next().unwrap());
    assert_eq!(
        (asked.code, &task["outcome"], &task["attempts"][0]["tier"]),
        (1, &"foreign".into(), &"T0".into())
    );
    let clone = stage.clone();
    assert_eq!(
        (clone.read("a.txt").as_deref(), clone.read("n")),
        (Some("a\n"), None)
    );
    let (said, _) = stage.act("echo ok > ok");
    assert_eq!(said.code, 0, "{}", said.err);
    // A write into the shared git folder is found.
    let (said, task) = stage.act("git config core.hooksPath /tmp/evil");
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"foreign".into()),
        "{}",
        said.err
    );
    stage.work.git(&["config", "--unset", "core.hooksPath"]);
    // One into the user's checkout is told; it may be the user's own. One into what their shell reads is a breach.
    let main = stage.work.0.display();
    stage.work.git(&["branch", "other"]);
    let act = ["act", "--zone", "other", "--who", "@shell", "--await", "-m"];
    stage.run(&[&act[..], &["true"]].concat()).ok();
    let other = stage.run(&["path", "--zone", "other"]).ok();
    let (said, task) = stage.act(&format!(
        "echo x > '{main}/a.txt'; echo x > '{main}/new'; echo x > '{other}/a.txt'; echo y > y"
    ));
    assert_eq!((said.code, &task["outcome"]), (0, &"done".into()), "{}", said.err);
    for file in [
        "your checkout: a.txt",
        "your checkout: new",
        "worktree of foreman.1 in zone other: a.txt",
    ] {
        let told = format!("foreign write: {file}: written");
        assert!(
            task["reasons"].as_array().unwrap().contains(&told.into()),
            "{task:#}"
        );
    }
    let (said, task) = stage.act("echo 'touch /tmp/evil' >> ~/.bashrc");
    assert_eq!(
        (said.code, &task["outcome"]),
        (1, &"foreign".into()),
        "{}",
        said.err
    );
    assert!(said.err.contains("~/.bashrc: written"), "{}", said.err);
}
