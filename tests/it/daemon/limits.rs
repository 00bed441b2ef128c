//! Limits that all daemons of the machine share, met with a stand-in for a coding CLI that says what it is told to.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::site::{BOUND, Site, until};

/// The key that must be found nowhere but in the environment.
pub(super) const KEY: &str = "sk-topsecret-0123456789";

/// Two repositories of one user, whose `codex` is a script.
pub(super) struct Desk {
    pub(super) site: Site,
    other: PathBuf,
}

impl Desk {
    /// `codex` runs `script`; `config` is the user's besides what makes it so.
    pub(super) fn new(script: &str, config: &str) -> Self {
        let site = Site::new();
        let other = site.repo("other");
        let home = site.path().join("home");
        let program = site.path().join("codex");
        let whole = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo codex-cli 0.169.0; exit; }}\ncd '{}'\n{script}\n",
            home.display()
        );
        fs::write(&program, whole).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(home.join(".config/khlone")).unwrap();
        let config = format!(
            "sandbox: off\nbrains: {{codex: {{path: '{}'}}}}\n{config}\n",
            program.display()
        );
        fs::write(home.join(".config/khlone/config.yml"), config).unwrap();
        Self { site, other }
    }

    pub(super) fn run(&self, args: &[&str]) -> String {
        let done = self
            .site
            .cmd(args)
            .env("CODEX_API_KEY", KEY)
            .patience(BOUND)
            .finish()
            .unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{args:?}: {stderr}\n{}", self.site.log());
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    fn there(&self, args: &[&str]) -> String {
        let other = self.other.to_str().unwrap();
        self.run(&[&["-C", other], args].concat())
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.site.path().join("home/log")).unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let other = self.other.to_str().unwrap();
        drop(
            self.site
                .cmd(&["-C", other, "daemon", "stop"])
                .patience(BOUND)
                .finish(),
        );
    }
}

/// Says that all went well.
pub(super) const WELL: &str = r#"echo '{"type":"thread.started","thread_id":"s"}
{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"well"}}
{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'"#;

#[test]
fn a_limit_parks_its_provider_for_every_daemon_and_what_is_parked_goes_on_by_itself() {
    let limited = r#"[ -e once ] || { touch once; echo '{"type":"turn.failed","error":{"message":"Rate limit reached. Please try again in 6s."}}'; exit 1; }"#;
    let desk = Desk::new(&format!("date +%s >> log\n{limited}\n{WELL}"), "");
    let first = desk.run(&["ask", "--who", "@codex", "are you well?"]);
    let parked = until("the limit", || {
        let task = desk.site.task(&first.parse().unwrap());
        (task.status.as_str() == "parked").then_some(task)
    });
    assert_eq!(parked.outcome.unwrap().as_str(), "limited");
    let reset = parked.parked_until.unwrap();
    // Another daemon, which has not met the limit itself, and a successor of the first one.
    let second = desk.there(&["ask", "--who", "@codex", "and you?"]);
    desk.site.kill();
    desk.run(&["daemon", "start"]);
    desk.there(&["await", &second]);
    desk.run(&["await", &first]);
    let task = desk.site.task(&first.parse().unwrap());
    assert_eq!(
        (task.status.as_str(), task.attempts.len()),
        ("done", 2),
        "{task:?}"
    );
    let starts: Vec<i64> = desk.log().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(
        starts[1..].iter().all(|start| *start >= reset),
        "{starts:?} {reset}"
    );
    nowhere(&desk, KEY);
}

/// Neither the daemons' logs nor what they share holds the key.
fn nowhere(desk: &Desk, key: &str) {
    let home = desk.site.path().join("home/.khlone");
    let providers = fs::read_to_string(home.join("limits/providers.json")).unwrap();
    assert!(providers.contains("\"openai/"), "{providers}");
    let logs = [desk.site.common(), desk.other.join(".git")].map(|common| common.join("khlone/daemon.log"));
    for path in logs.into_iter().chain([
        home.join("limits/providers.json"),
        home.join("limits/running.json"),
    ]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.is_empty() && !text.contains(key),
            "{}: {text}",
            path.display()
        );
        assert!(!text.contains("are you well"), "{}: {text}", path.display());
    }
}

#[test]
fn a_providers_places_are_shared_and_tasks_of_no_provider_pass() {
    let config = "providers: {openai: {max_concurrent: 1}}\nlimits: {running: 8}";
    let desk = Desk::new(
        &format!("echo in >> log; sleep 0.2; echo out >> log\n{WELL}"),
        config,
    );
    let mut here = Vec::new();
    let mut there = Vec::new();
    for who in ["@codex", "@codex++", "@codex++"] {
        here.push(desk.run(&["ask", "--who", who, "go"]));
        there.push(desk.there(&["ask", "--who", who, "go"]));
    }
    desk.run(&["act", "--who", "@shell", "--await", "echo passes >> passes.txt"]);
    for id in &here {
        desk.run(&["await", id]);
    }
    for id in &there {
        desk.there(&["await", id]);
    }
    assert_eq!(desk.log(), "in\nout\n".repeat(6));
}

#[test]
fn a_limit_that_a_brain_waits_for_by_itself_keeps_others_from_its_provider_meanwhile() {
    let waits = r#"date +%s >> log
[ -e once ] || { touch once; echo '{"type":"error","message":"Reconnecting... 1/5 (429 Too Many Requests. Please try again in 5s.)"}'; sleep 1; }"#;
    let desk = Desk::new(&format!("{waits}\n{WELL}"), "limits: {running: 8}");
    let first = desk.run(&["ask", "--who", "@codex", "wait a little"]);
    let until_then = until("the limit", || {
        let task = desk.site.task(&first.parse().unwrap());
        task.last_attempt()?.limited_until
    });
    let here = desk.run(&["ask", "--who", "@codex++", "and you?"]);
    let there = desk.there(&["ask", "--who", "@codex", "and there?"]);
    desk.run(&["await", &first]);
    desk.run(&["await", &here]);
    desk.there(&["await", &there]);
    let task = desk.site.task(&first.parse().unwrap());
    assert_eq!(
        (task.status.as_str(), task.attempts.len()),
        ("done", 1),
        "{task:?}"
    );
    let starts: Vec<i64> = desk.log().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(
        starts[1..].iter().all(|start| *start >= until_then),
        "{starts:?} {until_then}"
    );
}

#[test]
fn silence_while_a_brain_waits_for_a_limit_is_the_limits() {
    let waits = r#"echo '{"type":"thread.started","thread_id":"s"}
{"type":"error","message":"Reconnecting... 1/5 (exceeded retry limit, last status: 429 Too Many Requests)"}'
exec sleep 600"#;
    let desk = Desk::new(waits, "limits: {silence: 1s}");
    let id = desk.run(&["ask", "--who", "@codex", "wait"]).parse().unwrap();
    let task = until("the limit", || {
        let task = desk.site.task(&id);
        task.outcome.is_some().then_some(task)
    });
    assert_eq!(task.outcome.unwrap().as_str(), "limited", "{task:?}");
}

#[test]
fn a_person_lifts_a_limit_for_its_task_and_all_that_wait_with_it() {
    let limited = r#"[ -e once ] || { touch once; echo '{"type":"turn.failed","error":{"message":"Usage limit reached. Please try again in 3 days."}}'; exit 1; }"#;
    let desk = Desk::new(&format!("{limited}\n{WELL}"), "");
    let first = desk.run(&["ask", "--who", "@codex", "one"]);
    let parked = |id: &str| {
        until("the limit", || {
            let task = desk.site.task(&id.parse().unwrap());
            (task.status.as_str() == "parked").then_some(task)
        })
    };
    let days = parked(&first).parked_until.unwrap() - jiff::Timestamp::now().as_second();
    assert!((200_000..260_000).contains(&days), "{days}");
    let second = desk.run(&["ask", "--who", "@codex++", "two"]);
    parked(&second);
    desk.run(&["retry", &first]);
    for id in [&first, &second] {
        desk.run(&["await", id]);
        assert_eq!(desk.site.task(&id.parse().unwrap()).status.as_str(), "done");
    }
}

#[test]
fn a_reset_that_cannot_be_meant_is_no_reset() {
    let limited = r#"echo '{"type":"turn.failed","error":{"message":"usage limit reached|99999999999999999, {\"resets_at\":4102444800}"}}'; exit 1"#;
    let desk = Desk::new(limited, "");
    let id = desk.run(&["ask", "--who", "@codex", "one"]);
    let until = until("the pause", || {
        let task = desk.site.task(&id.parse().unwrap());
        task.parked_until.filter(|_| task.status.as_str() == "parked")
    });
    assert!(until - jiff::Timestamp::now().as_second() <= 60, "{until}");
}

#[test]
fn a_brain_without_its_provider_is_parked_twice_and_then_waits_for_a_person() {
    let offline = r#"echo '{"type":"turn.failed","error":{"message":"Connection failed: error sending request"}}'; exit 1"#;
    let desk = Desk::new(offline, "");
    let id = desk.run(&["ask", "--who", "@codex", "one"]);
    for attempts in 1..=3 {
        let ended = until("the end of a try", || {
            let task = desk.site.task(&id.parse().unwrap());
            let paused = task.status.as_str() == "parked" && task.parked_until.is_some();
            let over = paused || task.status.as_str() == "failed";
            (over && task.attempts.len() == attempts).then_some(task)
        });
        let word = if attempts < 3 { "parked" } else { "failed" };
        assert_eq!(ended.status.as_str(), word, "{ended:?}");
        assert!(ended.reasons.join(" ").contains("Connection failed"), "{ended:?}");
        if attempts < 3 {
            desk.run(&["retry", &id]);
        }
    }
}
