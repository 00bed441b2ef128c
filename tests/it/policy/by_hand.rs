//! A landing is what the same `git merge` by hand is, with hooks and signatures, over shapes of change; and undo of each
//! brings everything back.

use std::{fs, path::PathBuf};

use git_khlone::process::Cmd;

use super::{signing::signing, write_hook};
use crate::{
    scratch::Work,
    stage::{Stage, copy},
};

/// What stands before, in shell.
const BEFORE: &str = "
seq 1 30 > lines; seq 1 30 > moved; seq 1 30 > doomed; mkdir -p dir/deep; seq 1 9 > dir/deep/f; seq 1 9 > dir/g
printf 'a\\r\\nb\\r\\n' > crlf.txt; printf '*.txt text eol=crlf\\n*.u merge=union\\n*.d merge=own\\n*.up filter=up\\n' > .gitattributes
seq 1 5 > x.u; seq 1 5 > x.d; echo abc > x.up; printf 'run\\n' > tool; ln -s lines link; printf '\\0\\1\\2' > bin; echo '*.log' > .gitignore
git config merge.own.driver 'cat %A %B > %A.new && mv %A.new %A'; git config filter.up.smudge 'tr a-z A-Z'; git config filter.up.clean 'tr A-Z a-z'
";

/// Name, what the clone does, what the person does.
const SHAPES: [(&str, &str, &str); 22] = [
    (
        "other lines",
        "sed -i s/^2$/two/ lines",
        "sed -i s/^29$/more/ lines",
    ),
    (
        "moved and changed",
        "git mv moved there",
        "sed -i s/^15$/fifteen/ moved",
    ),
    (
        "changed and moved",
        "sed -i s/^15$/fifteen/ moved",
        "mkdir in; git mv moved in/moved",
    ),
    ("deleted", "git rm -q doomed", "echo x > x"),
    (
        "deleted on both sides",
        "git rm -q doomed; echo y > y",
        "git rm -q doomed",
    ),
    ("a mode", "chmod +x tool", "echo more >> tool"),
    (
        "a link",
        "ln -sfn moved link; ln -s nowhere dangling",
        "echo x > x",
    ),
    (
        "a file becomes a folder",
        "rm tool; mkdir tool; echo x > tool/x",
        "echo x > x",
    ),
    (
        "a folder becomes a file",
        "rm -r dir; echo file > dir",
        "echo x > x",
    ),
    ("a folder is renamed", "git mv dir folder", "echo more >> dir/g"),
    (
        "bytes",
        "printf '\\0\\377\\n' > bin; head -c 300000 /dev/zero > zeros",
        "echo x > x",
    ),
    (
        "names",
        "echo x > 'with space'; echo x > 'Größe'; printf x > $(printf 'tab\\there'); mkdir -p 'd e'; echo x > 'd e/f'",
        "echo x > x",
    ),
    (
        "an empty commit",
        "git commit -q --allow-empty -m nothing; echo y > y",
        "echo x > x",
    ),
    (
        "many commits",
        "for n in 1 2 3 4 5; do echo $n > n$n; git add n$n; git commit -qm n$n; done",
        "echo x > x",
    ),
    (
        "line ends",
        "printf 'a\\r\\nb\\r\\nc\\r\\n' > crlf.txt",
        "printf 'z\\r\\na\\r\\nb\\r\\n' > crlf.txt",
    ),
    ("a union", "echo clone >> x.u", "echo person >> x.u"),
    (
        "a driver of the user's",
        "echo clone >> x.d",
        "echo person >> x.d",
    ),
    ("a filter", "echo DEF > x.up; echo NEW > y.up", "echo x > x"),
    (
        "the same on both sides",
        "echo same > same; echo y > y",
        "echo same > same",
    ),
    (
        "attributes",
        "echo '*.bin -text' >> .gitattributes; echo x > x.bin",
        "echo x > x",
    ),
    (
        "what is ignored",
        "echo '*.tmp' >> .gitignore; echo t > t.tmp; git add -f t.tmp",
        "echo x > x",
    ),
    (
        "a merge in it",
        "git switch -q -c side HEAD~0; echo s > s; git add s; git commit -qm s; git switch -q -; echo y > y; git add y; git commit -qm y; git merge -q --no-edit side; git branch -D -q side",
        "echo x > x",
    ),
];

/// Everything that git and the disk tell of a checkout but what has a time in it.
fn seen(work: &Work) -> (Vec<(PathBuf, Vec<u8>)>, Vec<String>) {
    let mut files = work.bytes();
    files.retain(|(path, _)| !path.components().any(|part| part.as_os_str() == ".git"));
    for (path, _) in &mut files {
        *path = path.strip_prefix(&work.0).unwrap().to_owned();
    }
    let told = [
        &["ls-files", "-s"][..],
        &["status", "--porcelain"],
        &["symbolic-ref", "HEAD"],
    ];
    (files, told.iter().map(|words| work.git(words)).collect())
}

fn shell(work: &Work, script: &str) {
    let sh = Cmd::new("sh")
        .args(["-ec", script])
        .dir(&work.0)
        .env("HOME", "/nonexistent");
    let done = sh.finish().unwrap();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn shape((name, theirs, ours): (&str, &str, &str)) {
    let stage = Stage::new();
    shell(&stage.work, BEFORE);
    stage.work.commit(&[], "before");
    // As git itself writes it.
    shell(&stage.work, "rm x.up; git checkout -q x.up");
    let (_, task) = stage.act(theirs);
    assert_eq!(task["status"], "done", "{name} {task}");
    shell(&stage.work, ours);
    stage.work.commit(&[], "ours");
    signing(&stage);
    let log = stage.path().join("log");
    for hook in [
        "pre-merge-commit",
        "pre-commit",
        "commit-msg",
        "post-merge",
        "post-commit",
    ] {
        // By hand, post-merge comes before the commit of a squash; here, once the checkout has all of it.
        let staged = if hook == "post-merge" {
            "true"
        } else {
            "git diff --cached --name-status"
        };
        let text = format!(
            "#!/bin/sh\n(ls -A | grep -v '^.git$'; {staged}) | cksum >> '{0}'; echo {hook} >> '{0}'\n",
            log.display()
        );
        write_hook(&stage.work.0.join(".git/hooks"), hook, &text);
    }
    drop(stage.run(&["daemon", "stop"]));
    let logged = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        drop(fs::remove_file(&log));
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let refs = || stage.work.git(&["for-each-ref", "refs/heads", "refs/tags"]);
    let before = (seen(&stage.work), refs());
    let branch = "khlone/main/foreman.1";
    for (args, by_hand) in [
        (
            &["land", "foreman.1"][..],
            format!("git merge -q --no-edit {branch}"),
        ),
        (
            &["land", "foreman.1", "--squash"],
            format!("git merge -q --squash {branch} >/dev/null 2>&1; git commit -q --no-edit"),
        ),
    ] {
        let copied = Work(stage.path().join("hand"));
        copy(&stage.work.0, &copied.0);
        shell(&copied, &by_hand);
        let (hand, hand_log) = (seen(&copied), logged());
        let parents = copied.git(&["log", "-1", "--format=%p %an %cn %G?"]);
        fs::remove_dir_all(&copied.0).unwrap();
        let landed = stage.run(args);
        assert_eq!(landed.code, 0, "{name}: {}", landed.err);
        let now = seen(&stage.work);
        assert_eq!(now.1, hand.1, "{name} {args:?}");
        assert!(now.0 == hand.0, "{name} {args:?}: other files");
        let count = |text: &str| text.split(' ').count();
        let ours = stage.work.git(&["log", "-1", "--format=%p %an %cn %G?"]);
        assert_eq!(count(&ours), count(&parents), "{name} {args:?}");
        assert!(
            ours.ends_with(" Ann Ann G") && parents.ends_with(" Ann Ann G"),
            "{name} {ours} {parents}"
        );
        assert_eq!(logged(), hand_log, "{name} {args:?}");
        let undone = stage.run(&["undo"]);
        assert_eq!(undone.code, 0, "{name}: {}", undone.err);
        assert!(
            (seen(&stage.work), refs()) == before,
            "{name} {args:?}: undo left something"
        );
        assert_eq!(logged(), Vec::<String>::new());
    }
    stage.work.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn a_landing_is_what_git_merge_is_first_part() {
    SHAPES[..8].iter().for_each(|it| shape(*it));
}

#[test]
fn a_landing_is_what_git_merge_is_second_part() {
    SHAPES[8..15].iter().for_each(|it| shape(*it));
}

#[test]
fn a_landing_is_what_git_merge_is_third_part() {
    SHAPES[15..].iter().for_each(|it| shape(*it));
}
