//! What a landing ran and who signed it stands in its tasks, and in the audit of each.

use std::fs;

use serde_json::{Value, json};

use super::{signing::signing, write_hook};
use crate::stage::Stage;

fn audit(stage: &Stage, id: &str) -> Value {
    serde_json::from_str(&stage.run(&["audit", id]).ok()).unwrap()
}

#[test]
fn an_audit_names_the_hooks_and_the_signer_of_a_landing() {
    let stage = Stage::new();
    let (_, task) = stage.act("echo one > one");
    let id = task["task"].as_str().unwrap();
    stage.work.commit(&[("mine", "mine\n")], "mine");
    signing(&stage);
    let hooks = stage.work.0.join(".git/hooks");
    for name in ["commit-msg", "pre-merge-commit", "post-merge", "pre-push"] {
        write_hook(&hooks, name, "#!/bin/sh\nexit 0\n");
    }
    let blob = stage
        .work
        .git(&["hash-object", hooks.join("commit-msg").to_str().unwrap()]);
    for (args, by, expected) in [
        (
            &["land"][..],
            "merge",
            json!([
                ["pre-merge-commit", null],
                ["commit-msg", null],
                ["post-merge", null]
            ]),
        ),
        (
            &["land", "--hooks", "skip"],
            "merge",
            json!([
                ["pre-merge-commit", true],
                ["commit-msg", true],
                ["post-merge", null]
            ]),
        ),
        (
            &["land", "--squash"],
            "squash",
            json!([["commit-msg", null], ["post-merge", null]]),
        ),
        (&["land", "--rebase"], "rebase", json!([])),
    ] {
        stage.run(args).ok();
        let audit = audit(&stage, id);
        let landed = &audit["document"]["landed"];
        assert_eq!(landed["how"], by, "{landed:#}");
        let none = Vec::new();
        let found = landed["hooks"].as_array().unwrap_or(&none);
        let named: Vec<_> = found
            .iter()
            .map(|hook| json!([hook["name"], hook["skipped"]]))
            .collect();
        assert_eq!(Value::from(named), expected, "{args:?} {landed:#}");
        assert!(found.iter().all(|hook| hook["blob"] == *blob), "{landed:#}");
        let key = stage.path().join("key");
        let signer = json!({"scheme": "ssh", "program": "ssh-keygen", "key": key});
        assert_eq!(landed["signer"], signer, "{landed:#}");
        let made = audit["landed_commits"].as_array().unwrap();
        assert!(!made.is_empty(), "{audit:#}");
        for commit in made {
            assert_eq!(
                (&commit["signature"], &commit["signed_by"]),
                (&"G".into(), &"ann@example.com".into())
            );
        }
        assert_eq!(made.last().unwrap()["commit"], landed["new"], "{audit:#}");
        stage.run(&["undo"]).ok();
        assert!(self::audit(&stage, id)["document"]["landed"].is_null());
    }
    // A fast-forward makes no commit, so that there is nothing to sign.
    stage.work.git(&["config", "commit.gpgSign", "false"]);
    stage.work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    stage.run(&["land"]).ok();
    let landed = &audit(&stage, id)["document"]["landed"];
    assert_eq!(
        (&landed["how"], &landed["signer"]),
        (&"fast-forward".into(), &Value::Null)
    );
    assert_eq!(landed["hooks"][0]["name"], "post-merge", "{landed:#}");
}

/// A landing that an earlier version has written down has neither.
#[test]
fn a_landing_of_before_is_read() {
    let old = r#"{"branch":"main","how":"merge","old":"1","new":"2","tip":"3","at":7}"#;
    let landed: git_khlone::task::Landed = serde_json::from_str(old).unwrap();
    assert_eq!((landed.hooks.len(), &landed.signer), (0, &None));
    assert_eq!(serde_json::to_string(&landed).unwrap(), old);
}

/// What stands in for gpg and gpgsm: it writes down how it was called, signs anything, and finds every signature good.
const SIGNER: &str = r#"#!/bin/sh
echo "$(basename "$0") $*" >> "$(dirname "$0")/log"
case "$*" in
*--verify*) cat >/dev/null; printf '[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123456789ABCDEF Ann\n[GNUPG:] VALIDSIG 0123456789ABCDEF0123456789ABCDEF01234567 2026-01-01 0 0 - - - - - 0123456789ABCDEF0123456789ABCDEF01234567\n[GNUPG:] TRUST_FULLY\n' ;;
*) cat >/dev/null; printf '\n[GNUPG:] SIG_CREATED D\n' >&2; printf -- '-----BEGIN %s-----\n\nx\n-----END %s-----\n' "$KIND" "$KIND" ;;
esac
"#;

#[test]
fn each_format_of_signatures_is_made_and_read_by_its_own_program() {
    for (format, setting, kind) in [
        ("openpgp", "gpg.program", "PGP SIGNATURE"),
        ("openpgp", "gpg.openpgp.program", "PGP SIGNATURE"),
        ("x509", "gpg.x509.program", "SIGNED MESSAGE"),
        ("ssh", "gpg.ssh.program", ""),
    ] {
        let stage = Stage::new();
        let (_, task) = stage.act("echo one > one; git add one; git commit -qm one; echo two > two; git add two; git commit -qm two");
        let program = stage.path().join("signer");
        let text = match format {
            "ssh" => "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> \"$(dirname \"$0\")/log\"\nexec ssh-keygen \"$@\"\n".to_owned(),
            _ => SIGNER.replace("$KIND", kind),
        };
        signing(&stage);
        write_hook(&stage.path(), "signer", &text);
        stage.work.git(&["config", "gpg.format", format]);
        stage.work.git(&["config", setting, program.to_str().unwrap()]);
        if format != "ssh" {
            stage.work.git(&["config", "user.signingKey", "0xANN"]);
        }
        let base = stage.work.tip("main").to_string();
        let landed = stage.run(&["land"]);
        assert_eq!(landed.code, 0, "{setting}: {}", landed.err);
        let log = fs::read_to_string(stage.path().join("log")).unwrap();
        let (sign, key) = match format {
            "ssh" => ("-Y sign", stage.path().join("key").to_str().unwrap().to_owned()),
            _ => ("--status-fd=2 -bsau", "0xANN".to_owned()),
        };
        let calls = log
            .lines()
            .filter(|line| line.contains(sign) && line.contains(&key));
        assert_eq!(calls.count(), 2, "{setting}: {log}");
        let made = stage
            .work
            .git(&["log", "--format=%G?%B", &format!("{base}..main")]);
        assert_eq!(
            made.matches("Gone").count() + made.matches("Gtwo").count(),
            2,
            "{setting}: {made}"
        );
        assert!(format == "ssh" || stage.work.git(&["cat-file", "commit", "main"]).contains(kind));
        let signer = &stage.task(task["task"].as_str().unwrap())["landed"]["signer"];
        assert_eq!(signer, &json!({"scheme": format, "program": program, "key": key}));
        // What is signed stays as it is.
        let tip = stage.work.tip("main");
        stage.run(&["undo"]).ok();
        stage.clone().git(&["reset", "-q", "--hard", &tip.to_string()]);
        stage.run(&["land", "foreman.1"]).ok();
        assert_eq!(stage.work.tip("main"), tip, "{setting}");
        // A signer that refuses, and one that is not there.
        stage.run(&["undo"]).ok();
        for text in ["#!/bin/sh\necho no key today >&2; exit 2\n", ""] {
            let (_, _) = stage.act("echo three >> three");
            match text {
                "" => fs::remove_file(&program).unwrap(),
                _ => write_hook(&stage.path(), "signer", text),
            }
            let refused = stage.run(&["land", "foreman.1"]);
            assert_eq!(
                (refused.code, stage.work.tip("main").to_string()),
                (4, base.clone()),
                "{}",
                refused.err
            );
            assert!(
                refused.err.contains("cannot be signed"),
                "{setting}: {}",
                refused.err
            );
            assert!(
                text.is_empty() || refused.err.contains("no key today"),
                "{setting}: {}",
                refused.err
            );
        }
    }
}
