//! Where the user signs, nothing lands unsigned.

use std::fs;

use git_khlone::process::Cmd;

use super::write_hook;
use crate::{
    scratch::Work,
    stage::{Said, Stage, said},
};

/// A repository that signs by ssh, with a key of its own.
pub(super) fn signing(stage: &Stage) {
    let key = stage.path().join("key");
    let keygen =
        Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ann@example.com", "-f"]);
    keygen.arg(&key).output().unwrap();
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let allowed = stage.path().join("allowed");
    fs::write(&allowed, format!("ann@example.com {public}")).unwrap();
    for (name, value) in [
        ("commit.gpgSign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingKey", key.to_str().unwrap()),
        ("gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()),
    ] {
        stage.work.git(&["config", name, value]);
    }
}

/// `%G?` of all that main has beyond `base`.
fn signatures(work: &Work, base: &str) -> String {
    work.git(&["log", "--format=%G? %s", &format!("{base}..main")])
}

#[test]
fn what_lands_is_signed_where_the_user_signs() {
    for (diverged, args, sign, expected) in [
        (false, &["land"][..], "rewrite", "G two|G add one"),
        (false, &["land", "--no-ff"], "rewrite", "G Merge|G two|G add one"),
        (true, &["land"], "rewrite", "G Merge|G two|G add one"),
        (true, &["land", "--squash"], "refuse", "G echo one"),
        (true, &["land", "--rebase"], "rewrite", "G two|G add one"),
        (false, &["land"], "merge", "G Merge|N two|N add one"),
        (true, &["land"], "merge", "G Merge|N two|N add one"),
        (true, &["land", "--rebase"], "merge", "G two|G add one"),
    ] {
        let stage = Stage::new();
        let script = "echo one > one; git add one; git commit -qm 'add one'; echo two > two; git add two; git commit -qm two";
        let (_, task) = stage.act(script);
        if diverged {
            stage.work.commit(&[("mine", "mine\n")], "mine");
        }
        let base = stage.work.tip("main").to_string();
        signing(&stage);
        let own = stage.path().join("home/.config/khlone");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("config.yml"), format!("land: {{sign: {sign}}}\n")).unwrap();
        if sign == "refuse" {
            let refused = stage.run(&["land"]);
            assert!(
                refused.code == 4 && refused.err.contains("not signed"),
                "{}",
                refused.err
            );
            assert_eq!(stage.work.tip("main").to_string(), base);
        }
        let landed = stage.run(args);
        assert_eq!(landed.code, 0, "{args:?} {sign}: {}", landed.err);
        let found = signatures(&stage.work, &base);
        let lines: Vec<_> = found.lines().collect();
        let wanted: Vec<_> = expected.split('|').collect();
        assert_eq!(lines.len(), wanted.len(), "{args:?} {sign}: {found}");
        let fits = lines
            .iter()
            .zip(&wanted)
            .all(|(line, begin)| line.starts_with(begin));
        assert!(fits, "{args:?} {sign}: {found}");
        // Author and message are the clone's, and the record has old and new.
        let task = stage.task(task["task"].as_str().unwrap());
        let rewritten = task["landed"]["rewritten"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let anew = sign == "rewrite" || args.contains(&"--rebase");
        assert_eq!(
            rewritten.len(),
            if anew { 2 } else { 0 },
            "{args:?} {sign} {task}"
        );
        for pair in &rewritten {
            let of = |key: &str| {
                stage.work.git(&[
                    "log",
                    "-1",
                    "--format=%an %ae %at %B",
                    pair[key].as_str().unwrap(),
                ])
            };
            assert_eq!(of("old"), of("new"));
        }
        assert_eq!(stage.work.status(), "");
        // It is landed, the next task begins on it, and undo takes it back.
        assert!(!stage.run(&[]).out.contains("needs you"), "{args:?} {sign}");
        stage.run(&["undo"]).ok();
        assert_eq!(stage.work.tip("main").to_string(), base);
        stage.run(&["undo"]).ok();
        let (_, next) = stage.act("git log --format=%s -1 > seen");
        assert_eq!(
            stage.clone().git(&["rev-parse", "HEAD~1"]),
            stage.work.tip("main").to_string(),
            "{next}"
        );
        assert_eq!(stage.run(&["fsck"]).code, 0);
    }
}

#[test]
fn nothing_lands_unsigned_where_the_signer_fails() {
    let stage = Stage::new();
    stage.act("echo one > one");
    signing(&stage);
    let base = stage.work.tip("main");
    fs::remove_file(stage.path().join("key")).unwrap();
    for args in [
        &["land"][..],
        &["land", "--no-ff"],
        &["land", "--squash"],
        &["land", "--rebase"],
    ] {
        let refused = stage.run(args);
        assert_eq!(
            (refused.code, stage.work.tip("main")),
            (4, base),
            "{}",
            refused.err
        );
        assert!(
            refused.err.contains("cannot be signed") && refused.err.contains("key"),
            "{}",
            refused.err
        );
    }
    // A repository does not loosen what the user has closed.
    let own = stage.path().join("home/.config/khlone");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("config.yml"), "land: {sign: refuse}\n").unwrap();
    stage.work.write("khlone.yml", "land: {sign: merge}\n");
    let refused = stage.run(&["land"]);
    assert!(
        refused.code == 4 && refused.err.contains("land.sign is `refuse`"),
        "{}",
        refused.err
    );
}

/// Whose key it is decides, not that there is a signature.
#[test]
fn a_signature_of_a_clones_own_is_none() {
    let stage = Stage::new();
    let script = "ssh-keygen -q -t ed25519 -N '' -f /tmp/k; echo one > one; git add one; \
         git -c gpg.format=ssh -c user.signingKey=/tmp/k commit -q -S -m one; rm /tmp/k /tmp/k.pub";
    let (_, task) = stage.act(script);
    let branch = "khlone/main/foreman.1";
    assert!(
        stage.work.git(&["cat-file", "commit", branch]).contains("gpgsig"),
        "{task}"
    );
    signing(&stage);
    let base = stage.work.tip("main").to_string();
    stage.run(&["land"]).ok();
    assert_eq!(signatures(&stage.work, &base), "G one");
    // The user's own signed commit on the clone's branch stays as it is.
    let clone = stage.clone();
    stage.act("true");
    clone.git(&["config", "user.name", "Ann"]);
    clone.git(&["config", "user.email", "ann@example.com"]);
    let own = clone.commit(&[("own", "own\n")], "own");
    stage.run(&["land", "foreman.1"]).ok();
    assert_eq!(stage.work.tip("main"), own);
}

/// The signer is in the foreground of the terminal, and can ask there.
#[test]
fn the_signer_gets_the_terminal() {
    let stage = Stage::new();
    stage.act("echo one > one");
    let asks = "#!/bin/sh\nread word </dev/tty || exit 1\ntest \"$word\" = secret || exit 1\n\
         cat >/dev/null; printf '\\n[GNUPG:] SIG_CREATED D\\n' >&2; printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n";
    write_hook(&stage.path(), "gpg", asks);
    stage.work.git(&["config", "commit.gpgSign", "true"]);
    stage.work.git(&["config", "user.signingKey", "x"]);
    stage.work.git(&[
        "config",
        "gpg.program",
        stage.path().join("gpg").to_str().unwrap(),
    ]);
    let program = env!("CARGO_BIN_EXE_git-khlone");
    let line = format!("'{program}' land; echo code $?");
    let script = stage.surrounded(Cmd::new("script"));
    let typed = script.args(["-qec", &line, "/dev/null"]).input("secret\n");
    let done: Said = said(typed);
    assert!(done.out.contains("code 0"), "{} {}", done.out, done.err);
    assert!(stage.work.git(&["cat-file", "commit", "main"]).contains("gpgsig"));
    let without = stage.run(&["undo"]);
    assert_eq!(without.code, 0, "{}", without.err);
    let detached = stage.surrounded(Cmd::new("setsid")).args(["-w", program, "land"]);
    let refused = said(detached.dir(&stage.work.0));
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("cannot be signed"), "{}", refused.err);
    assert_eq!(stage.work.read("one"), None);
}
