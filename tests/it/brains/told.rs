//! What the real CLIs make of what a provider may do, and what we make of that: a table of scenarios for each CLI.

use git_khlone::brain::{Event, Role};

use super::{
    dispatch::Desk,
    each, each_of,
    rig::{Ran, Rig, Run},
};

/// A scenario, and what holds of a run of it.
type Case<'a> = (&'a str, fn(&Ran) -> bool);

/// Runs scenarios one after the other, and holds what came of each against what it was.
fn hold(rig: &Rig, scenarios: &[Case<'_>]) {
    for (scenario, holds) in scenarios {
        let ran = rig.run(&Run::ask(&format!("SCENARIO={scenario}")));
        assert!(holds(&ran), "{} {scenario} {ran:?}", rig.name);
    }
}

fn is_answered(ran: &Ran) -> bool {
    let verdict = &ran.verdict;
    let trouble =
        verdict.limited || verdict.auth_failed || verdict.no_credit || verdict.full || verdict.offline;
    verdict.result == Some(true) && verdict.answer.trim() == "The answer is 42." && !trouble
}

/// It failed for a reason of its own: no sign-in, limit, credit or network would mend it.
fn has_failed(ran: &Ran) -> bool {
    let verdict = &ran.verdict;
    let other =
        verdict.limited || verdict.auth_failed || verdict.no_credit || verdict.full || verdict.offline;
    verdict.result == Some(false) && !other && !verdict.reasons.is_empty()
}

#[test]
fn what_passes_is_waited_for() {
    each(|rig| {
        hold(
            rig,
            &[
                ("500x2", is_answered),
                ("503x2", is_answered),
                ("529x2", is_answered),
            ],
        );
    });
}

#[test]
fn a_stream_that_breaks_off_once_is_no_end() {
    each(|rig| {
        // One does not try again by itself: the task does.
        let holds = |ran: &Ran| is_answered(ran) || (rig.name == "gemini" && ran.verdict.offline);
        let ran = rig.run(&Run::ask("SCENARIO=cut1"));
        assert!(holds(&ran), "{} {ran:?}", rig.name);
    });
}

#[test]
fn what_was_cut_off_withheld_or_unknown_is_no_success() {
    each(|rig| {
        hold(
            rig,
            &[
                ("length", has_failed),
                ("withheld", has_failed),
                ("404", has_failed),
            ],
        );
    });
}

/// By itself it asks the model five times over, and tells each time what it had said.
#[test]
fn what_did_not_come_to_an_end_is_told_once() {
    each_of(&["codex"], |name| {
        let rig = Rig::new(name);
        for (scenario, words) in [("length", "and then"), ("withheld", "I can")] {
            let ran = rig.run(&Run::ask(&format!("SCENARIO={scenario}")));
            let says = |event: &&Event| {
                let by_it = matches!(
                    event,
                    Event::Message {
                        role: Role::Assistant,
                        ..
                    }
                );
                by_it && serde_json::to_string(event).unwrap().contains(words)
            };
            assert!(
                ran.events.iter().filter(says).count() <= 1,
                "{name} {scenario} {ran:?}"
            );
            let asked = rig.server.requests();
            let asked = asked.iter().filter(|body| body.to_string().contains(scenario));
            assert!(asked.count() <= 2, "{name} {scenario} {ran:?}");
            assert!(!ran.verdict.reasons[0].contains("stream disconnected"), "{ran:?}");
        }
    });
}

#[test]
fn odd_answers_and_outputs_arrive_whole() {
    each(|rig| {
        hold(
            rig,
            &[
                // One leaves now and then before all of it has gone through the pipe; then it has failed.
                ("big", |ran| {
                    ran.verdict.result == Some(true) && ran.verdict.answer.len() > 1_000_000
                        || ran.launch.program.ends_with("gemini") && has_failed(ran)
                }),
                ("empty", |ran| {
                    ran.verdict.answer.trim().is_empty() && !ran.verdict.limited
                }),
            ],
        );
        let ran = rig.run(&Run {
            sandboxed: true,
            ..Run::act("SCENARIO=bytes")
        });
        assert_eq!(
            (ran.verdict.result, ran.verdict.unread),
            (Some(true), 0),
            "{} {ran:?}",
            rig.name
        );
        assert_eq!(ran.verdict.answer.trim(), "Odd bytes.", "{} {ran:?}", rig.name);
    });
}

#[test]
fn a_refusal_that_success_followed_is_a_remark() {
    // The other has no command left in an ask.
    each_of(&["claude", "codex", "opencode"], |name| {
        let desk = Desk::new(name);
        let said = desk.ask("SCENARIO=refused-then");
        let story = desk.story();
        assert_eq!(
            (said.code, said.out.trim()),
            (Some(0), "I tried to write."),
            "{name} {said:?}
{story}"
        );
        assert_eq!(desk.repo.status(), "");
    });
}

/// The same with all that a dispatch adds: where the reason is told in a file only, the sandbox shows that.
#[test]
fn an_answer_that_was_cut_off_fails_its_task() {
    each_of(&["gemini"], |name| {
        let desk = Desk::new(name);
        for (scenario, why) in [("length", "MAX_TOKENS"), ("withheld", "SAFETY")] {
            let said = desk.act(&format!("SCENARIO={scenario}"));
            assert_eq!(
                said.code,
                Some(1),
                "{name} {said:?}
{}",
                desk.story()
            );
            assert!(said.err.contains(why), "{name} {said:?}");
        }
        let said = desk.ask("SCENARIO=answer");
        assert_eq!(
            said.code,
            Some(0),
            "what an earlier run said is over: {said:?}
{}",
            desk.story()
        );
    });
}

/// What it writes beside its stream grows by the requests, and is small enough to be kept for a run.
#[test]
fn the_telemetry_is_as_large_as_the_document_says() {
    each_of(&["gemini"], |name| {
        for (scenario, requests) in [("answer", 1), ("steps", 6)] {
            let rig = Rig::new(name);
            let ran = rig.run(&Run {
                sandboxed: true,
                ..Run::act(&format!("SCENARIO={scenario}"))
            });
            let each = ran.aside / requests;
            assert!(
                (50_000..300_000).contains(&each),
                "{name} {scenario} {each} {ran:?}"
            );
        }
    });
}
