//! The adapters against the real coding CLIs, which talk to a model server on loopback.
//!
//! The first test that needs the CLIs has `tests/brains/install` bring them; where it cannot, these tests say that they
//! are skipped. Nothing else here leaves the machine: the environment is cleared, HOME is scratch, every address is
//! loopback.

mod dispatch;
mod installed;
mod limits;
mod recovery;
mod rig;
mod struck;
mod table;
mod told;

use std::time::Duration;

use git_khlone::brain::Trouble;

use self::rig::{Rig, Run};

const ALL: [&str; 4] = ["claude", "codex", "opencode", "gemini"];

/// Runs a test for every CLI, in parallel.
fn each(test: impl Fn(&Rig) + Sync) {
    each_name(|name| test(&Rig::new(name)));
}

/// The same by name.
fn each_name(test: impl Fn(&'static str) + Sync) {
    each_of(&ALL, test);
}

/// The same for some. `KHLONE_TEST_BRAIN` picks one.
fn each_of(names: &[&'static str], test: impl Fn(&'static str) + Sync) {
    if !installed::is_ready() {
        return;
    }
    let only = std::env::var("KHLONE_TEST_BRAIN").ok();
    let picked = names
        .iter()
        .filter(|name| only.as_deref().is_none_or(|only| only == **name));
    std::thread::scope(|scope| {
        for name in picked {
            let test = &test;
            scope.spawn(move || test(name));
        }
    });
}

#[test]
fn an_ask_is_answered_and_counted() {
    each(|rig| {
        let ran = rig.run(&Run::ask("SCENARIO=answer"));
        let verdict = &ran.verdict;
        assert_eq!(verdict.result, Some(true), "{ran:?}");
        assert_eq!(verdict.answer.trim(), "The answer is 42.", "{ran:?}");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let usage = verdict.usage.clone().unwrap();
        assert_eq!((usage.output, usage.cached), (Some(34), Some(200)), "{ran:?}");
        assert!(verdict.session.is_some(), "{ran:?}");
        assert_eq!(rig.changes(), "", "{ran:?}");
    });
}

#[test]
fn an_act_writes_a_file() {
    each(|rig| {
        let ran = rig.run(&Run::act("SCENARIO=write"));
        assert_eq!(ran.verdict.result, Some(true), "{ran:?}");
        assert_eq!(rig.changes(), "?? hello.txt", "{ran:?}");
        assert_eq!(ran.verdict.denials, 0, "{ran:?}");
        assert!(
            ran.paths().iter().any(|path| path.ends_with("hello.txt")),
            "{ran:?}"
        );
    });
}

#[test]
fn a_contained_act_runs_commands() {
    each(|rig| {
        let ran = rig.run(&Run {
            sandboxed: true,
            ..Run::act("SCENARIO=shell")
        });
        assert_eq!(ran.verdict.result, Some(true), "{ran:?}");
        assert_eq!(rig.changes(), "?? sh.txt", "{ran:?}");
        assert_eq!(ran.verdict.answer.trim(), "Ran it.", "{ran:?}");
        assert_eq!(ran.verdict.denials, 0, "{ran:?}");
    });
}

#[test]
fn a_session_goes_on() {
    each(|rig| {
        let first = rig.run(&Run::ask("SCENARIO=count one"));
        let session = first.resume();
        let second = rig.run(&Run {
            session: Some(session),
            ..Run::ask("SCENARIO=count two")
        });
        assert!(second.verdict.answer.contains("seen 2 prompts"), "{second:?}");
        assert!(!second.verdict.wrong_session, "{second:?}");
        assert_eq!(second.verdict.session, first.verdict.session);
        assert_eq!(second.verdict.usage, first.verdict.usage, "{second:?}");
    });
}

#[test]
fn a_lost_session_is_no_success() {
    each(|rig| {
        let id = if rig.name == "opencode" {
            "ses_nothere"
        } else {
            "99999999-2222-4333-8444-555555555555"
        };
        let ran = rig.run(&Run {
            session: Some(rig::resume(id)),
            ..Run::ask("SCENARIO=answer")
        });
        assert!(ran.verdict.lost_session || ran.verdict.wrong_session, "{ran:?}");
    });
}

#[test]
fn a_refused_key_ends_soon() {
    each(|rig| {
        let ran = rig.run(&Run::ask("SCENARIO=401"));
        assert!(ran.verdict.auth_failed, "{ran:?}");
        assert_eq!(ran.verdict.result, Some(false), "{ran:?}");
        assert!(ran.took < Duration::from_secs(90), "{ran:?}");
    });
}

#[test]
fn a_limit_that_lasts_is_told_and_one_that_passes_is_waited_for() {
    each(|rig| {
        let passing = rig.run(&Run::act("SCENARIO=429x2-write"));
        assert_eq!(passing.verdict.result, Some(true), "{passing:?}");
        assert!(!passing.verdict.limited, "{passing:?}");
        let lasting = rig.run(&Run::ask("SCENARIO=429"));
        assert!(lasting.verdict.limited, "{lasting:?}");
        assert!(!lasting.verdict.auth_failed, "{lasting:?}");
        assert!(lasting.took < Duration::from_secs(70), "{lasting:?}");
    });
}

#[test]
fn prompts_of_any_shape_arrive_whole() {
    each(|rig| {
        let long = "x".repeat(200_000);
        for odd in [
            "-rf --help",
            "/clear",
            "@nowhere $(id) `id` \"'\\ %s mail to bob@README.md, see @README.md; @app.route",
            "two\nlines\n",
            long.as_str(),
        ] {
            let prompt = format!("{odd}\nSCENARIO=answer");
            let ran = rig.run(&Run::ask(&prompt));
            assert_eq!(
                ran.verdict.answer.trim(),
                "The answer is 42.",
                "{}: {odd:.40} {ran:?}",
                rig.name
            );
            let sent = rig.server.requests().last().unwrap().to_string();
            // For one it is marked as text, which it is told of.
            let sent = sent.replace(r"\\@", "@");
            // One shows the model the file beside the words, as it does for a person.
            let is_apart = rig.name == "claude" || !sent.contains("A project.");
            assert!(is_apart, "{}: a file is put in", rig.name);
            let quoted = serde_json::to_string(odd.trim()).unwrap();
            assert!(
                sent.contains(quoted.trim_matches('"')),
                "{}: {odd:.40} {sent:.3000}",
                rig.name
            );
        }
    });
}

#[test]
fn an_ask_cannot_write() {
    each(|rig| {
        let ran = rig.run(&Run::ask("SCENARIO=write"));
        assert_eq!(rig.changes(), "", "{ran:?}");
        assert!(
            ran.verdict.denials > 0 || ran.verdict.last_denied || ran.tools() == 0,
            "{ran:?}"
        );
    });
}

#[test]
fn outside_a_sandbox_commands_need_leave() {
    let rules = [
        ("claude", ["Bash(git:*)", "Bash(echo:*)"]),
        ("opencode", ["git *", "echo *"]),
        ("gemini", ["run_shell_command(git)", "run_shell_command(echo)"]),
    ];
    each_of(&rules.map(|(name, _)| name), |name| {
        let (_, rules) = rules.into_iter().find(|(of, _)| *of == name).unwrap();
        let rig = Rig::new(name);
        let refused = rig.run(&Run::act("SCENARIO=commit"));
        assert_eq!(rig.commits(), 1, "{refused:?}");
        assert!(
            refused.verdict.denials > 0 && refused.verdict.last_denied,
            "{refused:?}"
        );
        let allowed = rig.run(&Run {
            allow: rules.map(str::to_owned).into(),
            ..Run::act("SCENARIO=commit")
        });
        assert_eq!(rig.commits(), 2, "{allowed:?}");
    });
}

#[test]
fn a_stream_that_breaks_off_always_is_no_success() {
    each_of(&["claude", "codex", "gemini"], |name| {
        let rig = Rig::new(name);
        let ran = rig.run(&Run::ask("SCENARIO=cut"));
        assert_ne!(
            (ran.verdict.result, ran.verdict.answer.is_empty()),
            (Some(true), true),
            "{ran:?}"
        );
    });
}

#[test]
fn no_key_is_an_auth_failure() {
    each_of(&["claude", "codex", "gemini"], |name| {
        let rig = Rig::new(name).without_key();
        let ran = rig.run(&Run::ask("SCENARIO=answer"));
        assert!(ran.verdict.auth_failed, "{ran:?}");
        assert_ne!(ran.hopeless, Some(Trouble::Other), "{ran:?}");
    });
}
