//! What becomes of a task whose attempt died: pure.
//!
//! What a task's brain did counts towards `limits.attempts`: it was killed while its runner lived, or what it left
//! broke its runner. A kill of the runner or a crash of the machine is no fault of the task's, so it is tried again
//! after ever longer pauses; but what a task does can take the machine down, so that has an end too, [`KILLS`] times
//! as late.

use std::time::Duration;

use crate::{
    config::Resume,
    task::{Attempt, Death, LONGEST_PAUSE},
};

/// How many kills of its runner count as much as one death of its brain.
const KILLS: u32 = 3;

/// An attempt that died.
#[derive(Debug, Clone, Default)]
pub(super) struct Dead {
    death: Death,
    /// By what its brain did or suffered, with its runner alive.
    by_brain: bool,
}

/// What is known.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent observation"
)]
pub(super) struct Facts {
    /// Someone asked to stop it.
    pub(super) cancel: bool,
    /// A person said that it shall go on.
    pub(super) asked: bool,
    /// And that it shall begin anew, whatever is left.
    pub(super) anew: bool,
    pub(super) policy: Resume,
    /// Somebody else changed what the clone works with since the last checkpoint: its files, branch or HEAD, the
    /// configuration or hooks of the repository.
    pub(super) external: bool,
    /// What cannot be mended without a person.
    pub(super) broken: Option<String>,
    /// The attempts that died, in order.
    pub(super) deaths: Vec<Dead>,
    /// How many may by what their brain did.
    pub(super) limit: u32,
    /// Its pause is over.
    pub(super) rested: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The next attempt, now.
    GoOn,
    /// The next attempt, later.
    Later(Duration),
    /// A person decides; this is why.
    Hold(String),
    /// It has failed; this is why.
    GiveUp(String),
    /// It is cancelled.
    Cancel,
}

/// Decides. The person's word counts first, then what speaks against another attempt, then the policy.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.cancel {
        return Decision::Cancel;
    }
    if let Some(why) = facts.broken.as_ref().filter(|_| !facts.anew) {
        return Decision::Hold(why.clone());
    }
    if facts.asked {
        return Decision::GoOn;
    }
    if let Some(why) = worn_out(&facts.deaths, facts.limit) {
        return Decision::GiveUp(why);
    }
    match facts.policy {
        Resume::Never => Decision::GiveUp("its attempt died (resume: never)".to_owned()),
        Resume::Ask => Decision::Hold("its attempt died (resume: ask)".to_owned()),
        Resume::Auto if facts.external => {
            Decision::Hold("somebody else changed things since its attempt died".to_owned())
        }
        Resume::Auto => match pause(count(facts.deaths.len())) {
            Some(pause) if !facts.rested => Decision::Later(pause),
            _ => Decision::GoOn,
        },
    }
}

/// Why there is no use in another attempt.
fn worn_out(deaths: &[Dead], limit: u32) -> Option<String> {
    let (own, killed) = begun(deaths);
    if own >= limit {
        return Some(format!("died in {own} attempts, the limit (limits.attempts)"));
    }
    if killed >= limit.saturating_mul(KILLS) {
        return Some(format!(
            "its runner was killed in {killed} attempts, {KILLS} times the limit (limits.attempts): \
             perhaps what it does takes the machine down"
        ));
    }
    let call = stuck(deaths)?;
    Some(format!(
        "died twice at the same tool call ({call}) with no new commit or file in between"
    ))
}

/// The tool at which the brain of the last two attempts died alike, the last without having brought anything new.
fn stuck(deaths: &[Dead]) -> Option<&str> {
    let [.., before, last] = deaths else { return None };
    let call = last.death.last_call.as_deref()?;
    let alike = before.death.last_call.as_deref() == Some(call) && !last.death.fresh;
    (alike && before.by_brain && last.by_brain).then(|| call.split(' ').next().unwrap_or(call))
}

/// How many died by what their brain did, and how many under their brain. Before it began, nothing but the machine
/// has kept an attempt from beginning.
fn begun(deaths: &[Dead]) -> (u32, u32) {
    let begun = || deaths.iter().filter(|dead| dead.death.began);
    let own = begun().filter(|dead| dead.by_brain).count();
    (count(own), count(begun().count() - own))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How long to wait after so many deaths; not at all after the first, then twice as long each time.
fn pause(deaths: u32) -> Option<Duration> {
    let more = deaths.checked_sub(2)?;
    let pause = Duration::from_secs(2).saturating_mul(2_u32.saturating_pow(more));
    Some(pause.min(LONGEST_PAUSE))
}

/// The deaths of a task's attempts since a person last had a say.
pub(super) fn deaths(attempts: &[Attempt]) -> Vec<Dead> {
    let asked = attempts.iter().rposition(|attempt| attempt.asked);
    let since = attempts.get(asked.unwrap_or(0)..).unwrap_or_default();
    let dead = |attempt: &Attempt| {
        let death = attempt.died.clone()?;
        let by_brain = death.began && (attempt.exit.is_some() || attempt.broke.is_some());
        Some(Dead { death, by_brain })
    };
    since.iter().filter_map(dead).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn death(call: &str, fresh: bool) -> Dead {
        Dead {
            death: Death {
                began: true,
                fresh,
                last_call: Some(call.to_owned()),
                open: false,
            },
            by_brain: true,
        }
    }

    fn kill(call: &str) -> Dead {
        Dead {
            by_brain: false,
            ..death(call, false)
        }
    }

    fn facts(deaths: Vec<Dead>) -> Facts {
        Facts {
            deaths,
            limit: 3,
            ..Facts::default()
        }
    }

    #[test]
    fn the_first_death_is_nothing_and_the_third_is_the_end() {
        assert_eq!(decide(&facts(vec![death("Bash 1", false)])), Decision::GoOn);
        let twice = facts(vec![death("Bash 1", false), death("Bash 2", false)]);
        assert_eq!(decide(&twice), Decision::Later(Duration::from_secs(2)));
        let rested = Facts {
            rested: true,
            ..twice
        };
        assert_eq!(decide(&rested), Decision::GoOn);
        let thrice = facts((0..3).map(|n| death(&format!("Bash {n}"), true)).collect());
        assert!(matches!(decide(&thrice), Decision::GiveUp(_)));
        let asked = Facts {
            asked: true,
            ..thrice
        };
        assert_eq!(decide(&asked), Decision::GoOn);
    }

    #[test]
    fn what_never_began_is_tried_without_end_and_ever_more_seldom() {
        let unborn = facts(vec![Dead::default(); 40]);
        assert_eq!(decide(&unborn), Decision::Later(Duration::from_mins(10)));
    }

    #[test]
    fn kills_of_the_runner_are_tried_again_ever_more_seldom_and_end_at_last() {
        let after = |kills| decide(&facts(vec![kill("Bash 1"); kills]));
        assert_eq!(after(1), Decision::GoOn);
        let pauses: Vec<_> = (2..9).map(after).collect();
        let doubled = (1..8).map(|n| Decision::Later(Duration::from_secs(1 << n)));
        assert_eq!(pauses, doubled.collect::<Vec<_>>());
        assert!(matches!(after(9), Decision::GiveUp(why) if why.contains("killed in 9 attempts")));
        // They do not bring nearer what the brain's own deaths lead to.
        let mut mixed = vec![kill("Bash 1"); 8];
        mixed.extend([death("Bash 1", false), kill("Bash 1")]);
        mixed.remove(0);
        assert!(matches!(decide(&facts(mixed)), Decision::Later(_)));
    }

    #[test]
    fn what_counts_is_what_the_brain_did_since_a_person_asked() {
        let attempt = |asked, exit: Option<&str>, broke: Option<&str>| Attempt {
            asked,
            exit: exit.map(str::to_owned),
            broke: broke.map(str::to_owned),
            died: Some(death("Bash 1", false).death),
            ..Attempt::default()
        };
        let attempts = [
            attempt(false, Some("SIGKILL"), None),
            attempt(true, Some("SIGKILL"), None),
            attempt(false, None, None),
            attempt(false, None, Some("its index cannot be read")),
        ];
        assert_eq!(begun(&deaths(&attempts)), (2, 1));
        assert_eq!(begun(&deaths(&attempts[..1])), (1, 0));
    }

    #[test]
    fn dying_twice_in_one_place_stops_unless_something_was_done() {
        let stuck = facts(vec![death("Bash 1", true), death("Bash 1", false)]);
        assert!(matches!(decide(&stuck), Decision::GiveUp(why) if why.contains("Bash")));
        let moved = facts(vec![death("Bash 1", false), death("Bash 1", true)]);
        assert!(matches!(decide(&moved), Decision::Later(_)));
        let silent = facts(vec![Dead::default(), Dead::default()]);
        assert!(matches!(decide(&silent), Decision::Later(_)));
        let killed = facts(vec![kill("Bash 1"), kill("Bash 1")]);
        assert!(matches!(decide(&killed), Decision::Later(_)));
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let policy = prop_oneof![Just(Resume::Auto), Just(Resume::Ask), Just(Resume::Never)];
        let death = (any::<[bool; 3]>(), prop::option::of("[ab]")).prop_map(
            |([began, fresh, by_brain], last_call)| Dead {
                death: Death {
                    began,
                    fresh,
                    last_call,
                    open: false,
                },
                by_brain: began && by_brain,
            },
        );
        let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (flags, policy, prop::collection::vec(death, 0..6), 1..5_u32).prop_map(
            |((cancel, asked, external, rested), policy, deaths, limit)| Facts {
                cancel,
                asked,
                anew: false,
                policy,
                external,
                broken: None,
                deaths,
                limit,
                rested,
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_happens_the_rules_hold(facts in any_facts()) {
            let decision = decide(&facts);
            // What was cancelled never runs again, whoever asks.
            prop_assert_eq!(facts.cancel, decision == Decision::Cancel);
            let unasked = !facts.cancel && !facts.asked;
            if unasked && decision == Decision::GoOn {
                prop_assert!(facts.policy == Resume::Auto && !facts.external);
                prop_assert!(worn_out(&facts.deaths, facts.limit).is_none());
                prop_assert!(facts.deaths.len() < 2 || facts.rested);
            }
            if facts.asked && !facts.cancel {
                prop_assert_eq!(decision, Decision::GoOn);
            }
        }
    }
}
