//! The whole way: `git khlone act` and `ask` on the real CLIs, in the sandbox where there is one.

use std::{collections::BTreeMap, time::Instant};

use git_khlone::process::{Cmd, Finished};

use super::{each_name, each_of, rig::environment};
use crate::stage::id_in;
use crate::{
    model_server::ModelServer,
    scratch::{Scratch, Work},
};

/// A user with one CLI, signed in, in a repository.
pub(super) struct Desk {
    name: &'static str,
    pub(super) vars: BTreeMap<String, String>,
    pub(super) server: ModelServer,
    _scratch: Scratch,
    pub(super) repo: Work,
}

/// What a command came to.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Desk {
    pub(super) fn new(name: &'static str) -> Self {
        let (scratch, server) = (Scratch::new(), ModelServer::start());
        let repo = scratch.repo("repo", &[("README.md", "A project.\n")]);
        let home = scratch.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let vars = environment(name, &home, &server.url());
        Self {
            name,
            vars,
            server,
            _scratch: scratch,
            repo,
        }
    }

    /// The user's own settings.
    pub(super) fn settings(&self, text: &str) {
        let folder = format!("{}/.config/khlone", self.vars["HOME"]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(format!("{folder}/config.yml"), text).unwrap();
    }

    pub(super) fn khlone(&self, args: &[&str]) -> Said {
        let vars = self.vars.iter().map(|(name, value)| (name.into(), value.into()));
        let done: Finished = Cmd::new(env!("CARGO_BIN_EXE_git-khlone"))
            .only_env(vars)
            .dir(&self.repo.0)
            .args(args)
            .finish()
            .unwrap();
        Said {
            code: done.status.code(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// The task's document, and what its brain printed.
    pub(super) fn story(&self) -> String {
        let refs = self
            .repo
            .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/tasks"]);
        let tasks = refs
            .lines()
            .map(|name| self.repo.git(&["show", &format!("{name}:task.json")]));
        let log = self.khlone(&["log"]);
        tasks.chain([log.out, log.err]).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn act(&self, prompt: &str) -> Said {
        let who = format!("@{}", self.name);
        self.khlone(&["act", "--who", &who, "--await", prompt])
    }

    pub(super) fn ask(&self, prompt: &str) -> Said {
        let who = format!("@{}", self.name);
        self.khlone(&["ask", "--who", &who, "--await", prompt])
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let stopped = self.khlone(&["daemon", "stop"]);
        assert!(std::thread::panicking() || stopped.code == Some(0), "{stopped:?}");
    }
}

#[test]
fn an_act_runs_a_command_and_its_work_is_committed() {
    each_name(|name| {
        let desk = Desk::new(name);
        let said = desk.act("SCENARIO=shell");
        assert_eq!(said.code, Some(0), "{name} {said:?}\n{}", desk.story());
        let branch = desk
            .repo
            .git(&["for-each-ref", "--format=%(refname)", "refs/heads/khlone"]);
        assert_eq!(
            desk.repo.git(&["show", &format!("{branch}:sh.txt")]),
            "hi",
            "{name}"
        );
        let story = desk.story();
        assert!(
            story.contains("\"argv\"") && !said.out.contains("SCENARIO"),
            "{story}"
        );
        let tags = desk
            .repo
            .git(&["for-each-ref", "--format=%(refname)", "refs/khlone/tasks"]);
        let task = desk.repo.git(&["show", &format!("{tags}:task.json")]);
        let task: serde_json::Value = serde_json::from_str(&task).unwrap();
        assert_eq!(task["outcome"], "done", "{task:#}");
        assert!(
            !task["attempts"][0]["argv"].to_string().contains("SCENARIO"),
            "{task:#}"
        );
        // Some ask a model first which model to ask.
        let spent = task["usage"]["output"].as_u64().unwrap();
        assert!([68, 102].contains(&spent), "{task:#}");
        assert_eq!(desk.repo.status(), "", "the user's own work tree is as it was");
    });
}

#[test]
fn a_cli_reaches_its_provider_where_that_host_alone_is_named() {
    let bwrap = Cmd::new("sh").args(["-c", "command -v bwrap"]).output();
    if bwrap.is_err() {
        return;
    }
    each_name(|name| {
        let desk = Desk::new(name);
        let url = desk.server.url();
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        let settings = format!("network: {{allow: ['{host}']}}\nlimits: {{task: 90s}}\n");
        desk.repo
            .commit(&[("khlone.yml", &settings)], "named hosts alone");
        let said = desk.act("SCENARIO=shell");
        let story = desk.story();
        assert_eq!(said.code, Some(0), "{name} {said:?}\n{story}");
        let branch = desk
            .repo
            .git(&["for-each-ref", "--format=%(refname)", "refs/heads/khlone"]);
        assert_eq!(
            desk.repo.git(&["show", &format!("{branch}:sh.txt")]),
            "hi",
            "{name}"
        );
        assert!(story.contains(&format!("\"{host}\"")), "{name}: {story}");
    });
}

#[test]
fn git_and_toolchains_work_inside_as_the_clis_run_them() {
    each_name(|name| {
        let mut desk = Desk::new(name);
        // These tests have a HOME of their own; the toolchain's folder is found by name then.
        let rustup = std::env::var("RUSTUP_HOME").ok();
        let rustup = rustup.or_else(|| Some(std::env::home_dir()?.join(".rustup").display().to_string()));
        desk.vars
            .extend(rustup.map(|folder| ("RUSTUP_HOME".to_owned(), folder)));
        let said = desk.act("SCENARIO=work");
        assert_eq!(said.code, Some(0), "{name} {said:?}\n{}", desk.story());
        let branch = desk
            .repo
            .git(&["for-each-ref", "--format=%(refname)", "refs/heads/khlone"]);
        let log = desk.repo.git(&["log", "--format=%s", &branch]);
        for subject in ["three", "stashed", "topic", "one"] {
            assert!(
                log.lines().any(|line| line == subject),
                "{name}: {subject} is not in\n{log}\n{}",
                desk.story()
            );
        }
        let files = desk.repo.git(&["ls-tree", "--name-only", &branch]);
        for file in ["with-git", "with-npm", "with-cargo"] {
            assert!(
                files.lines().any(|line| line == file),
                "{name}: no {file}\n{}",
                desk.story()
            );
        }
        desk.repo.git(&["fsck", "--strict"]);
        assert_eq!(desk.repo.status(), "", "the user's own work tree is as it was");
    });
}

#[test]
fn an_answer_is_all_of_stdout_and_the_session_goes_on() {
    each_name(|name| {
        let desk = Desk::new(name);
        let first = desk.ask("SCENARIO=count one");
        assert_eq!(first.code, Some(0), "{name} {first:?}\n{}", desk.story());
        assert_eq!(first.out.trim(), "I have seen 1 prompts.", "{name} {first:?}");
        let second = desk.ask("SCENARIO=count two");
        assert_eq!(
            second.out.trim(),
            "I have seen 2 prompts.",
            "{name} {second:?}\n{}",
            desk.story()
        );
        let task = id_in(&second.err);
        let reply = desk.khlone(&["reply", &task, "--await", "SCENARIO=count three"]);
        assert_eq!(
            reply.out.trim(),
            "I have seen 3 prompts.",
            "{name} {reply:?}\n{}",
            desk.story()
        );
        let third = desk.khlone(&[
            "ask",
            "--who",
            &format!("@{name}"),
            "--new-session",
            "--await",
            "SCENARIO=count",
        ]);
        assert_eq!(
            third.out.trim(),
            "I have seen 1 prompts.",
            "{name} {third:?}\n{}",
            desk.story()
        );
    });
}

#[test]
fn no_prompt_is_a_command_of_the_clis_own() {
    each_name(|name| {
        let desk = Desk::new(name);
        let said = desk.ask("/clear SCENARIO=answer");
        assert_eq!(
            said.out.trim(),
            "The answer is 42.",
            "{name} {said:?}\n{}",
            desk.story()
        );
    });
}

#[test]
fn a_refused_key_is_exit_code_five() {
    each_name(|name| {
        let (desk, start) = (Desk::new(name), Instant::now());
        let said = desk.act("SCENARIO=401");
        assert_eq!(said.code, Some(5), "{name} {said:?}\n{}", desk.story());
        assert!(start.elapsed().as_secs() < 60, "{name} {:?}", start.elapsed());
    });
}

/// The other two offer their model no such tool where nobody could answer.
#[test]
fn a_question_by_a_tool_is_a_question_that_reply_answers() {
    each_of(&["claude", "gemini"], |name| {
        let desk = Desk::new(name);
        let said = desk.act("SCENARIO=question");
        let story = desk.story();
        assert_eq!(said.code, Some(0), "{name} {said:?}\n{story}");
        let needs = || -> serde_json::Value {
            serde_json::from_str(&desk.khlone(&["--json", "list", "needs"]).out).unwrap()
        };
        let list = needs();
        let need = &list["needs_you"][0];
        assert_eq!(need["need"], "question", "{list:#}\n{story}");
        assert_eq!(need["says"], "Which database? (Postgres | SQLite)", "{list:#}");
        let asked = "  asks: Which database? (Postgres | SQLite)\n  git khlone reply t-";
        assert!(said.err.contains(asked), "{said:?}");
        let id = need["task"].as_str().unwrap();
        let reply = desk.khlone(&["reply", id, "--await", "SCENARIO=count Postgres"]);
        assert_eq!(reply.out.trim(), "I have seen 2 prompts.", "{reply:?}");
        assert_eq!(needs()["needs_you"], serde_json::json!([]));
    });
}
