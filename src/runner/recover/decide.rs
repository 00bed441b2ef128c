//! What becomes of a task whose attempt died: pure.

use std::time::Duration;

use crate::{
    config::Resume,
    task::{self, Death, Task},
};

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
    /// Somebody else changed something since the last checkpoint.
    pub(super) external: bool,
    /// What cannot be mended without a person.
    pub(super) broken: Option<String>,
    /// The attempts that died, in order.
    pub(super) deaths: Vec<Death>,
    /// How many may.
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
    let begun = begun(&facts.deaths);
    if begun >= facts.limit {
        return Decision::GiveUp(format!("died in {begun} attempts, the limit (limits.attempts)"));
    }
    if let Some(call) = stuck(&facts.deaths) {
        return Decision::GiveUp(format!(
            "died twice at the same tool call ({call}) with no new commit or file in between"
        ));
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

/// The tool at which the last two attempts died alike, the last without having brought anything new.
fn stuck(deaths: &[Death]) -> Option<&str> {
    let [.., before, last] = deaths else { return None };
    let call = last.last_call.as_deref()?;
    let alike = before.last_call.as_deref() == Some(call) && !last.fresh;
    alike.then(|| call.split(' ').next().unwrap_or(call))
}

/// How many of them its brain had a part in. Before that, nothing but the machine has kept it from beginning.
fn begun(deaths: &[Death]) -> u32 {
    count(deaths.iter().filter(|death| death.began).count())
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How long to wait after so many deaths; not at all after the first.
fn pause(deaths: u32) -> Option<Duration> {
    Some(task::pause(Duration::from_secs(5), deaths.checked_sub(2)?))
}

/// The deaths of a task's attempts since a person last had a say.
pub(super) fn deaths(task: &Task) -> Vec<Death> {
    task.attempts
        .iter()
        .filter_map(|attempt| attempt.died.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn death(call: &str, fresh: bool) -> Death {
        Death {
            began: true,
            fresh,
            last_call: Some(call.to_owned()),
            open: false,
        }
    }

    fn facts(deaths: Vec<Death>) -> Facts {
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
        assert_eq!(decide(&twice), Decision::Later(Duration::from_secs(5)));
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
        let unborn = facts(vec![Death::default(); 40]);
        assert_eq!(decide(&unborn), Decision::Later(Duration::from_mins(10)));
    }

    #[test]
    fn dying_twice_in_one_place_stops_unless_something_was_done() {
        let stuck = facts(vec![death("Bash 1", true), death("Bash 1", false)]);
        assert!(matches!(decide(&stuck), Decision::GiveUp(why) if why.contains("Bash")));
        let moved = facts(vec![death("Bash 1", false), death("Bash 1", true)]);
        assert!(matches!(decide(&moved), Decision::Later(_)));
        let silent = facts(vec![Death::default(), Death::default()]);
        assert!(matches!(decide(&silent), Decision::Later(_)));
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let policy = prop_oneof![Just(Resume::Auto), Just(Resume::Ask), Just(Resume::Never)];
        let death =
            (any::<bool>(), any::<bool>(), prop::option::of("[ab]")).prop_map(|(began, fresh, last_call)| {
                Death {
                    began,
                    fresh,
                    last_call,
                    open: false,
                }
            });
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
                prop_assert!(begun(&facts.deaths) < facts.limit);
                prop_assert!(stuck(&facts.deaths).is_none());
                prop_assert!(facts.deaths.len() < 2 || facts.rested);
            }
            if facts.asked && !facts.cancel {
                prop_assert_eq!(decision, Decision::GoOn);
            }
        }
    }
}
