//! Secrets that a brain comes across are neither stored nor shown, however they are cut into pieces; one that was
//! stored all the same can be taken out again, to the last object.

use std::{fs, path::Path};

use crate::stage::Stage;

/// A token, in two halves that are no token each.
const HALVES: (&str, &str) = ("ghp_aB3dE5gH7jK9mN1p", "Q2rS4tU6vW8xY0zAaB3d");
/// Of `~/.netrc`, `~/.aws/credentials`, and an `.env` that the clone gets; no rule knows their shapes.
const PLAIN: [&str; 3] = [
    "correcthorsebattery",
    "wJalrXUtnFEMIK7MDENGbPx",
    "pass phrase; of mine",
];

fn with_secrets() -> Stage {
    let stage = Stage::with(&[
        ("a.txt", "a\n"),
        (".gitignore", ".env\n"),
        (".worktreeinclude", ".env\n"),
    ]);
    let home = stage.path().join("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    fs::write(
        home.join(".netrc"),
        format!("machine h login me password {}\n", PLAIN[0]),
    )
    .unwrap();
    fs::write(
        home.join(".aws/credentials"),
        format!("[default]\naws_secret_access_key = {}\n", PLAIN[1]),
    )
    .unwrap();
    stage
        .work
        .write(".env", &format!("PORT=3000\nDB_PASSWORD=\"{}\"\n", PLAIN[2]));
    stage
}

/// Every object of the repository and every file of ours in it, but for the raw spool, which is private and goes with
/// retention, and the brain's own copies.
fn all_that_is_kept(stage: &Stage) -> String {
    let ids = stage.work.git(&[
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname) %(objecttype)",
    ]);
    let mut all = String::new();
    for line in ids.lines() {
        let (id, kind) = line.split_once(' ').unwrap();
        if kind != "tree" {
            all.push_str(&stage.work.git(&["cat-file", kind, id]));
            all.push('\n');
        }
    }
    all
}

/// The files below `folder` that hold `text`.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn secrets_are_taken_out_of_all_that_is_kept() {
    let stage = with_secrets();
    let (first, second) = HALVES;
    let (a, b) = PLAIN[0].split_at(9);
    let script = format!(
        "printf 'key {first}'; sleep 0.2; echo '{second}'; printf '{a}' >&2; sleep 0.1; echo '{b}' >&2
         printf '%s' -----BEGIN; echo ' RSA PRIVATE KEY-----'; for i in 1 2 3; do echo MIIbody$i; done; echo '-----END RSA PRIVATE KEY-----'
         cat .env; printf 'wJalrXUt'; printf '\\033[31mnFEMI'; echo K7MDENGbPx; echo kept"
    );
    let (said, task) = stage.act(&script);
    assert_eq!(said.code, 0, "{}", said.err);
    let token = format!("{first}{second}");
    let shown = [
        stage.run(&["log"]).ok(),
        stage.run(&["show"]).ok(),
        stage.run(&["--json", "log"]).ok(),
        all_that_is_kept(&stage),
    ]
    .concat();
    for secret in PLAIN.iter().copied().chain([&*token, "MIIbody2"]) {
        let place = shown
            .find(secret)
            .map(|at| &shown[at.saturating_sub(200)..at + secret.len()]);
        assert!(
            place.is_none() || secret == "MIIbody2",
            "{secret} is kept: {place:?}"
        );
    }
    // The prompt is the user's own words, and is kept.
    let log = stage.run(&["log"]).ok();
    assert!(
        log.contains("kept") && log.contains("[redacted:private-key]"),
        "{log}"
    );
    assert!(!log.contains("MIIbody"), "{log}");
    let counts = &task["attempts"][0]["redacted"];
    assert_eq!(
        (
            &counts["github-token"],
            &counts["private-key"],
            &counts["given-value"]
        ),
        (&1.into(), &1.into(), &3.into()),
        "{counts}"
    );
    assert!(stage.run(&["show"]).ok().contains("1 github-token"));
    let raw = files_with(&stage.work.0.join(".git/khlone"), &token);
    assert!(
        raw.iter().all(|file| file.ends_with("stdout.raw")),
        "besides the raw spool: {raw:?}"
    );
}

#[test]
fn a_secret_found_later_is_gone_to_the_last_object() {
    let stage = Stage::new();
    // No rule knows it. It is in the prompt, the transcript, an uncommitted file, and a commit that is amended away.
    let secret = "hunter two and three";
    let script = format!(
        "# Work
         echo '{secret}'; echo '{secret}' >&2; printf '{secret}\\0\\377' > kept.log; echo '{secret}' > in; git add in; \
         git commit -qm 'with {secret}'; git rm -qf in; git commit -q --allow-empty --amend -m clean; echo fine > fine"
    );
    let (said, task) = stage.act(&script);
    assert_eq!(said.code, 0, "{}", said.err);
    let id = task["task"].as_str().unwrap();
    stage.work.git(&[
        "cat-file",
        "-e",
        &format!("refs/khlone/tasks/{id}:attempts/1/after/fine"),
    ]);
    assert!(all_that_is_kept(&stage).contains(secret));
    let redact = || {
        let mut cmd = stage.cmd(&stage.work.0, &["--json", "redact", id, "--stdin"]);
        cmd = cmd.input(format!("{secret}\n"));
        crate::stage::said(cmd)
    };
    let said = redact();
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    let done: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(
        done["objects_removed"].as_u64().unwrap() >= 4 && done["remains"] == serde_json::json!([]),
        "{done:#}"
    );
    let left = all_that_is_kept(&stage);
    assert!(
        !left.contains(secret),
        "{}",
        &left[left.find(secret).unwrap().saturating_sub(300)..]
    );
    assert_eq!(
        files_with(&stage.work.0.join(".git"), secret),
        Vec::<String>::new()
    );
    assert!(!(said.out + &said.err).contains(secret));
    // Everything else is as it was.
    stage.work.git(&["fsck", "--strict"]);
    let prompt = stage
        .work
        .git(&["show", &format!("refs/khlone/tasks/{id}:prompt.md")]);
    assert!(prompt.contains("echo '[redacted:given-value]'"), "{prompt}");
    assert_eq!(stage.task(id)["outcome"], "done");
    assert!(stage.run(&["log", id]).ok().contains("[redacted:given-value]"));
    assert_eq!(
        stage.task(id)["prompt_sha"].as_str().unwrap(),
        stage
            .work
            .git(&["rev-parse", &format!("refs/khlone/tasks/{id}:prompt.md")])
    );
    assert_eq!(
        redact().out.matches("given-value").count(),
        0,
        "nothing is left to do"
    );
    let (said, _) = stage.act("cat fine");
    assert_eq!(said.code, 0, "the clone works on: {}", said.err);
}

#[test]
fn what_redact_cannot_reach_it_names() {
    let stage = Stage::new();
    let secret = "a-secret-in-a-commit";
    let (_, first) = stage.act(&format!("echo {secret} > config; echo {secret}"));
    let (_, second) = stage.act("cat config");
    let (first, second) = (first["task"].as_str().unwrap(), second["task"].as_str().unwrap());
    let said = stage.run(&["redact", first, "--pattern", "a-secret-[a-z-]+"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let tip = stage
        .work
        .git(&["rev-parse", "--short=10", "khlone/main/foreman.1"]);
    assert!(
        said.out.contains(&format!("commit {tip} (khlone/main/foreman.1")),
        "{}",
        said.out
    );
    assert!(
        said.out.contains(&format!("git khlone redact {second}")),
        "{}",
        said.out
    );
    let said = stage.run(&["redact", first, "--pattern", "("]);
    assert_eq!(said.code, 2, "{}", said.err);
}
