//! Signatures by X.509, with the real gpgsm.

use std::{fs, os::unix::fs::PermissionsExt};

use git_khlone::process::Cmd;

use crate::{stage::Stage, tools};

/// What is asked for a passphrase.
const PINENTRY: &str = "#!/bin/sh
echo OK
while read -r line; do
  case $line in GETPIN*) printf 'D secret\\nOK\\n';; BYE*) echo OK; exit;; *) echo OK;; esac
done
";

const KEY: &str = "Key-Type: RSA
Key-Length: 2048
Key-Usage: sign
Serial: random
Name-DN: CN=Ann
Name-Email: ann@example.com
";

/// The agent of the stage's user, which outlives every command.
struct Agent<'a>(&'a Stage);

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let kill = self.0.surrounded(Cmd::new("gpgconf").args(["--kill", "all"]));
        drop(kill.finish());
    }
}

/// A key of the stage's user with a certificate that they trust; gives its fingerprint.
fn certified(stage: &Stage) -> String {
    let home = stage.path().join("home/.gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let pinentry = stage.path().join("pinentry");
    fs::write(&pinentry, PINENTRY).unwrap();
    fs::set_permissions(&pinentry, fs::Permissions::from_mode(0o755)).unwrap();
    let agent = format!("pinentry-program {}\n", pinentry.display());
    fs::write(home.join("gpg-agent.conf"), agent).unwrap();
    fs::write(
        home.join("gpgsm.conf"),
        "disable-crl-checks\ndisable-policy-checks\n",
    )
    .unwrap();
    let gpgsm = |args: &[&str], input: &[u8]| {
        let cmd = Cmd::new("gpgsm").arg("--batch").args(args);
        stage.surrounded(cmd).input(input).output().unwrap()
    };
    let certificate = gpgsm(&["--generate-key"], KEY.as_bytes());
    gpgsm(&["--import"], &certificate);
    let listed = gpgsm(&["--with-colons", "--list-keys"], b"");
    let listed = String::from_utf8(listed).unwrap();
    let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
    let key = line.split(':').nth(9).unwrap().to_owned();
    fs::write(home.join("trustlist.txt"), format!("{key} S relax\n")).unwrap();
    drop(Agent(stage));
    key
}

#[test]
fn what_lands_is_signed_by_gpgsm_where_the_user_signs_by_x509() {
    if !tools::has("gpgsm") {
        return;
    }
    let stage = Stage::new();
    let _agent = Agent(&stage);
    let key = certified(&stage);
    stage.act("echo one > one");
    for (name, value) in [
        ("commit.gpgSign", "true"),
        ("gpg.format", "x509"),
        ("user.signingKey", &key),
        ("merge.verifySignatures", "true"),
    ] {
        stage.work.git(&["config", name, value]);
    }
    let signed = |base: git2::Oid| {
        let range = format!("{base}..main");
        let git = Cmd::new("git").args(["log", "--format=%G? %s", &range]);
        String::from_utf8(stage.surrounded(git).output().unwrap()).unwrap()
    };
    let base = stage.work.tip("main");
    stage.run(&["land"]).ok();
    assert_eq!(signed(base), "G echo one > one\n");
    let (_, task) = stage.act("echo two > two");
    let base = stage.work.tip("main");
    stage.run(&["land", "--no-ff"]).ok();
    let found = signed(base);
    assert!(
        found.lines().count() == 2 && found.lines().all(|line| line.starts_with("G ")),
        "{found}"
    );
    let task = stage.task(task["task"].as_str().unwrap());
    assert_eq!(task["landed"]["signer"]["scheme"], "x509", "{task:#}");
    // A key that is not there signs nothing, and nothing lands.
    stage.act("echo three > three");
    stage
        .work
        .git(&["config", "user.signingKey", "nobody@example.com"]);
    let before = stage.work.tip("main");
    let refused = stage.run(&["land"]);
    assert!(
        refused.code == 4 && refused.err.contains("No public key"),
        "{}",
        refused.err
    );
    assert_eq!(
        (stage.work.tip("main"), stage.work.status()),
        (before, String::new())
    );
}
