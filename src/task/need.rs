//! What a task needs a person for. Pure: the list of the status, the count in a prompt and notifications all come from
//! here.

use serde::{Deserialize, Serialize};

use super::{Mode, Outcome, Status};

/// What a task needs a person for, the most urgent first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// It goes no further without a person: it is on hold, its account is of no use, or its tools were refused.
    Blocked,
    /// It failed.
    Failed,
    /// It changed nothing, and asks something.
    Question,
    /// It is done, and its work is to be landed.
    Land,
}

impl Need {
    /// What a task in this state needs, so far as its state tells. `asked` is whether its brain ended with a question.
    pub fn of(
        mode: Mode,
        (status, outcome): (Status, Option<Outcome>),
        on_hold: bool,
        asked: bool,
    ) -> Option<Self> {
        match (status, outcome) {
            _ if on_hold => Some(Self::Blocked),
            (Status::Failed, Some(Outcome::Auth | Outcome::Denied)) => Some(Self::Blocked),
            (Status::Failed, _) => Some(Self::Failed),
            (Status::Done, Some(Outcome::NoOp)) if asked => Some(Self::Question),
            (Status::Done, Some(Outcome::NoOp)) => None,
            (Status::Done, _) if mode == Mode::Act => Some(Self::Land),
            (
                Status::Done
                | Status::Queued
                | Status::Parked
                | Status::Running
                | Status::Finishing
                | Status::Paused
                | Status::Cancelling
                | Status::Interrupted
                | Status::Cancelled
                | Status::Skipped,
                _,
            ) => None,
        }
    }

    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Question => "question",
            Self::Land => "land",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_no_further_comes_first_and_answers_need_nobody() {
        let act = |status, outcome| Need::of(Mode::Act, (status, Some(outcome)), false, true);
        let mut needs = [
            act(Status::Done, Outcome::Done),
            act(Status::Done, Outcome::NoOp),
            act(Status::Failed, Outcome::Partial),
            act(Status::Failed, Outcome::Auth),
        ];
        needs.reverse();
        assert!(
            needs.iter().all(Option::is_some) && needs.is_sorted(),
            "{needs:?}"
        );
        assert_eq!(
            Need::of(Mode::Act, (Status::Done, Some(Outcome::NoOp)), false, false),
            None
        );
        assert_eq!(
            Need::of(Mode::Ask, (Status::Done, Some(Outcome::Done)), false, true),
            None
        );
        assert_eq!(
            Need::of(Mode::Ask, (Status::Interrupted, None), true, false),
            Some(Need::Blocked)
        );
    }
}
