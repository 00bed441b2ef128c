//! Each way of landing runs the hooks that git's own command runs, over the files that would land.

use std::fs;

use git_khlone::process::Cmd;

use super::write_hook;
use crate::{
    scratch::Work,
    stage::{Stage, copy},
};

const NAMES: [&str; 9] = [
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-merge",
    "pre-rebase",
    "post-rewrite",
    "reference-transaction",
];

/// Every hook writes down its name, its words without folders, where it stands, and what it finds there.
const LOGGER: &str = r#"#!/bin/sh
name=$(basename "$0"); words=
for word; do words="$words $(basename "$word")"; done
case $name in
reference-transaction) refs=$(grep ' refs/heads/main$' | cut -d' ' -f3); test -z "$refs" || echo "$name$words $refs" >>"$LOG" ;;
post-rewrite) echo "$name$words $(wc -l)" >>"$LOG" ;;
pre-*) echo "$name$words $(git symbolic-ref --short HEAD) $(git diff --cached --name-only | tr '\n' ' ')$(git status --porcelain -uno | grep -v '^[AMD] ')" >>"$LOG" ;;
*) echo "$name$words" >>"$LOG" ;;
esac
"#;

struct Hooked {
    stage: Stage,
    log: String,
}

impl Hooked {
    /// A task's work of two commits, beside one of a person's if `diverged`, and every hook.
    fn new(diverged: bool) -> Self {
        let stage = Stage::new();
        stage.act("echo one > one; git add one; git commit -qm 'add one'; echo two > two");
        if diverged {
            stage.work.commit(&[("mine", "mine\n")], "mine");
        }
        let log = stage.path().join("log").to_str().unwrap().to_owned();
        let hooked = Self { stage, log };
        for name in NAMES {
            hooked.hook(name, LOGGER);
        }
        hooked
    }

    fn hook(&self, name: &str, text: &str) {
        let text = text.replacen('\n', &format!("\nLOG='{}'\n", self.log), 1);
        write_hook(&self.stage.work.0.join(".git/hooks"), name, &text);
    }

    fn logged(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        drop(fs::remove_file(&self.log));
        text.lines().map(str::to_owned).collect()
    }

    /// What the same by hand logs, in a copy.
    fn by_hand(&self, script: &str) -> (Vec<String>, String) {
        drop(self.stage.run(&["daemon", "stop"]));
        let copied = self.stage.path().join("by hand");
        copy(&self.stage.work.0, &copied);
        let work = Work(copied.clone());
        work.git(&["worktree", "prune"]);
        let sh = Cmd::new("sh")
            .args(["-ec", script])
            .dir(&copied)
            .env("HOME", "/nonexistent");
        let done = sh.finish().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let tree = work.git(&["rev-parse", "HEAD^{tree}"]);
        fs::remove_dir_all(copied).unwrap();
        (self.logged(), tree)
    }
}

#[test]
fn a_landing_runs_the_hooks_that_git_runs() {
    let branch = "khlone/main/foreman.1";
    let squash = format!("git merge -q --squash {branch} >/dev/null; git commit -q --no-edit");
    let rebase =
        format!("git switch -q -c b {branch}; git rebase -q main; git switch -q main; git reset -q --hard b");
    for (diverged, args, hand) in [
        (false, &["land"][..], format!("git merge -q --ff-only {branch}")),
        (
            false,
            &["land", "--no-ff"],
            format!("git merge -q --no-edit --no-ff {branch}"),
        ),
        (true, &["land"], format!("git merge -q --no-edit {branch}")),
        (true, &["land", "--squash"], squash),
        (true, &["land", "--rebase"], rebase),
    ] {
        let hooked = Hooked::new(diverged);
        let (mut hand, tree) = hooked.by_hand(&hand);
        let landed = hooked.stage.run(args);
        assert_eq!(landed.code, 0, "{args:?}: {}", landed.err);
        let mut ours = hooked.logged();
        assert_eq!(
            hooked.stage.work.git(&["rev-parse", "HEAD^{tree}"]),
            tree,
            "{args:?}"
        );
        assert_eq!(hooked.stage.work.status(), "");
        let is_wanted = |line: &String| match args.last() {
            // By hand it is the branch of the work that is rebased, and it asks a hook for each commit.
            Some(&"--rebase") => line.starts_with("post-rewrite") || line.starts_with("pre-rebase"),
            _ => true,
        };
        hand.retain(is_wanted);
        ours.retain(is_wanted);
        if args.contains(&"--squash") {
            // Files of the checkout follow once nothing rejects any more.
            hand.sort();
            ours.sort();
        }
        if args.contains(&"--rebase") {
            let ours: Vec<_> = ours
                .iter()
                .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(ours, ["pre-rebase main foreman.1", "post-rewrite rebase 2"]);
            continue;
        }
        assert_eq!(ours, hand, "{args:?}");
    }
}

#[test]
fn a_hook_that_rejects_changes_nothing_and_is_heard() {
    for (args, name) in [
        (&["land"][..], "pre-merge-commit"),
        (&["land"], "prepare-commit-msg"),
        (&["land"], "commit-msg"),
        (&["land", "--squash"], "pre-commit"),
        (&["land", "--squash"], "commit-msg"),
        (&["land", "--rebase"], "pre-rebase"),
        (&["land"], "reference-transaction"),
        (&["land", "--rebase"], "reference-transaction"),
    ] {
        let hooked = Hooked::new(true);
        let stage = &hooked.stage;
        let text = match name {
            "reference-transaction" => {
                "#!/bin/sh\ntest $1 != prepared || ! grep -q refs/heads/main || { echo 'not on my watch' >&2; exit 1; }\n"
            }
            _ => "#!/bin/sh\necho 'not on my watch'; exit 1\n",
        };
        hooked.hook(name, text);
        let seen = || (stage.work.bytes(), stage.clone().bytes(), stage.work.status());
        let before = seen();
        let refused = stage.run(args);
        assert_eq!(refused.code, 4, "{name}: {}", refused.err);
        assert!(
            refused.err.contains(name) && refused.err.contains("not on my watch"),
            "{}",
            refused.err
        );
        hooked.logged();
        assert!(seen() == before, "{name}");
        assert_eq!(stage.run(&["undo"]).code, 3, "{name}");
        if name != "reference-transaction" && name != "prepare-commit-msg" {
            stage.run(&[args, &["--hooks", "skip"]].concat()).ok();
        }
    }
}

#[test]
fn a_hook_that_does_not_end_is_stopped() {
    let hooked = Hooked::new(true);
    let stage = &hooked.stage;
    hooked.hook("commit-msg", "#!/bin/sh\nsleep 600\n");
    stage.work.write("khlone.yml", "limits: {hook: 1s}\n");
    let before = stage.work.tip("main");
    let late = stage.run(&["land"]);
    assert_eq!((late.code, stage.work.tip("main")), (7, before), "{}", late.err);
    assert!(
        late.err.contains("commit-msg took longer than 1 s"),
        "{}",
        late.err
    );
}

#[test]
fn hooks_change_the_message_and_what_a_squash_has() {
    let hooked = Hooked::new(true);
    let stage = &hooked.stage;
    hooked.hook(
        "commit-msg",
        "#!/bin/sh\nprintf '\\nReviewed-by: Bo <bo@x>\\n\\n\\n' >> \"$1\"\n",
    );
    hooked.hook(
        "pre-commit",
        "#!/bin/sh\ncat one two > both; git add both; echo formatted >&2\n",
    );
    let landed = stage.run(&["land", "--squash"]);
    assert_eq!(landed.code, 0, "{}", landed.err);
    assert!(landed.err.contains("formatted"), "{}", landed.err);
    let message = stage.work.git(&["log", "-1", "--format=%B"]);
    assert!(message.ends_with("Reviewed-by: Bo <bo@x>"), "{message}");
    assert_eq!(
        (stage.work.read("both").as_deref(), stage.work.status().as_str()),
        (Some("one\ntwo\n"), "")
    );
    assert_eq!(stage.run(&["fsck"]).code, 0);
    let nothing = Hooked::new(true);
    nothing.hook("commit-msg", "#!/bin/sh\n: > \"$1\"\n");
    let refused = nothing.stage.run(&["land"]);
    assert!(
        refused.code == 4 && refused.err.contains("empty message"),
        "{}",
        refused.err
    );
}

/// Hooks of the work tree, as `core.hooksPath` names them, or a link in the git folder, or husky.
#[test]
fn hooks_in_the_work_tree_are_those_of_before() {
    let reject = "#!/bin/sh\n. \"$(dirname \"$0\")/lib.sh\"\necho \"$WORDS\"; exit 1\n";
    for place in [".githooks", "./.githooks/", "absolute", "linked", ".husky/_"] {
        let stage = Stage::new();
        let folder = stage.work.0.join(if place == ".husky/_" {
            ".husky"
        } else {
            ".githooks"
        });
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        write_hook(&folder, "pre-merge-commit", reject);
        fs::write(folder.join("lib.sh"), "WORDS='as it was'\n").unwrap();
        stage.work.write(".gitignore", "*.log\n.husky/_/\n");
        stage.work.commit(&[], "hooks");
        let script = format!(
            "echo one > one; printf '#!/bin/sh\\necho planted; touch {0}/planted\\n' > {1}/pre-merge-commit; \
             cp {1}/pre-merge-commit {1}/post-merge; chmod +x {1}/*; echo 'WORDS=planted' > {1}/lib.sh",
            stage.path().display().to_string().replace(' ', "\\ "),
            name
        );
        stage.act(&script);
        match place {
            "absolute" => {
                stage
                    .work
                    .git(&["config", "core.hooksPath", folder.to_str().unwrap()]);
            }
            "linked" => {
                let hooks = stage.work.0.join(".git/hooks");
                fs::create_dir_all(&hooks).unwrap();
                for name in ["pre-merge-commit", "lib.sh"] {
                    std::os::unix::fs::symlink(format!("../../.githooks/{name}"), hooks.join(name)).unwrap();
                }
            }
            place => {
                if place == ".husky/_" {
                    let start = "#!/bin/sh\nhere=$(dirname \"$(dirname \"$0\")\"); exec sh \"$here/$(basename \"$0\")\" \"$@\"\n";
                    write_hook(&folder.join("_"), "pre-merge-commit", start);
                }
                stage.work.git(&["config", "core.hooksPath", place]);
            }
        }
        let refused = stage.run(&["land", "--no-ff"]);
        assert_eq!(refused.code, 4, "{place}: {}", refused.err);
        assert!(
            refused.err.contains(&format!("{name}/pre-merge-commit")),
            "{place}: {}",
            refused.err
        );
        assert!(
            refused.err.contains("changes hooks") && refused.err.contains(" --no-ff --hooks run    # lands"),
            "{}",
            refused.err
        );
        let rejected = stage.run(&["land", "--no-ff", "--hooks", "run"]);
        assert_eq!(rejected.code, 4, "{place}: {}", rejected.err);
        assert!(rejected.err.contains("as it was"), "{place}: {}", rejected.err);
        // Where those of before let it pass, the planted ones come along, and do not run.
        write_hook(&folder, "pre-merge-commit", "#!/bin/sh\nexit 0\n");
        stage
            .work
            .git(&["-c", "core.hooksPath=/dev/null", "commit", "-qam", "let it pass"]);
        stage.clone().git(&[
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@x",
            "merge",
            "-q",
            "-X",
            "ours",
            "main",
        ]);
        let landed = stage.run(&["land", "foreman.1", "--no-ff", "--hooks", "run"]);
        assert_eq!(landed.code, 0, "{place}: {}", landed.err);
        assert!(!stage.path().join("planted").exists(), "{place}: {}", landed.err);
        assert_eq!(stage.work.status(), "", "{place}");
    }
}

/// A zone that is checked out nowhere, one with a space, a bare repository.
#[test]
fn hooks_run_where_the_zone_is_not_checked_out() {
    let hooked = Hooked::new(true);
    let stage = &hooked.stage;
    stage.work.git(&["switch", "-q", "-c", "elsewhere"]);
    hooked.logged();
    stage.run(&["land", "foreman.1", "--zone", "main"]).ok();
    let logged = hooked.logged();
    let names: Vec<_> = logged
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let merge = ["pre-merge-commit", "prepare-commit-msg", "commit-msg"];
    assert_eq!(names[..3], merge, "{logged:?}");
    assert_eq!(names.last(), Some(&"post-merge"), "{logged:?}");
    assert!(
        logged[0].starts_with("pre-merge-commit main one two"),
        "{logged:?}"
    );
}

#[test]
fn undo_of_a_landing_and_a_new_zone_ask_reference_transaction() {
    let hooked = Hooked::new(false);
    let stage = &hooked.stage;
    stage.run(&["land"]).ok();
    hooked.logged();
    let tip = stage.work.tip("main");
    let reject = "#!/bin/sh\ntest $1 != prepared || ! grep -q refs/heads/ || { echo no; exit 1; }\n";
    hooked.hook("reference-transaction", reject);
    let refused = stage.run(&["undo"]);
    assert_eq!(
        (refused.code, stage.work.tip("main")),
        (4, tip),
        "{}",
        refused.err
    );
    assert_eq!(stage.work.status(), "");
    let refused = stage.run(&["zone", "new", "side"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    let refused = stage.run(&[
        "act", "--zone", "side", "--create", "--who", "@shell", "-m", "true",
    ]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert_eq!(stage.work.git(&["branch", "--list", "side"]), "");
    hooked.hook("reference-transaction", LOGGER);
    stage.run(&["undo"]).ok();
    assert_eq!(
        hooked.logged(),
        [
            "reference-transaction prepared refs/heads/main",
            "reference-transaction committed refs/heads/main"
        ]
    );
}
