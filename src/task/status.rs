//! The state machine of a task.

use std::fmt;

use super::explain;

/// Where a task is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Waits for its turn.
    Queued,
    /// Waits for a rate limit, a budget or disk space to come back.
    Parked,
    /// An attempt is under way.
    Running,
    /// The brain has ended; commits, branch and notes are being brought home.
    Finishing,
    /// Held by a person.
    Paused,
    /// Asked to stop; the brain has its grace.
    Cancelling,
    /// The attempt died; resume or retry may start the next.
    Interrupted,
    /// Over, well.
    Done,
    /// Over, not well.
    Failed,
    /// Over, because someone said so.
    Cancelled,
    /// Never run: a task that it waits for was not done.
    Skipped,
}

/// What happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A runner claimed it, for the first or the next attempt.
    Start,
    /// Must wait for a limit.
    Park,
    /// The limit is over.
    Unpark,
    /// A task before it was not done.
    Skip,
    /// Someone wants it stopped.
    Cancel,
    /// A person holds it.
    Pause,
    /// A person lets it go on.
    Continue,
    /// The brain has ended and its effects are known.
    End,
    /// All is brought home, and well.
    Succeed,
    /// All is brought home, and not well.
    Fail,
    /// All is brought home after a cancel.
    Stopped,
    /// The runner died.
    Die,
    /// A person wants it tried once more.
    Again,
    /// A person takes it off the list of what needs them.
    Dismiss,
}

/// A move that the state machine does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a {from} task cannot {event}")]
pub struct IllegalMove {
    /// Where the task is.
    pub from: Status,
    /// What was tried.
    pub event: Event,
}

explain!(IllegalMove: Refused, "git khlone show");

impl Status {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] where the machine has no such move.
    pub fn next(self, event: Event) -> Result<Self, IllegalMove> {
        use Event as E;
        use Status as S;
        let next = match (self, event) {
            (S::Queued | S::Interrupted, E::Start) | (S::Paused, E::Continue) => S::Running,
            (S::Queued | S::Running | S::Finishing, E::Park) => S::Parked,
            (S::Parked, E::Unpark) | (S::Interrupted | S::Cancelled | S::Failed, E::Again) => S::Queued,
            (S::Queued | S::Parked, E::Skip) => S::Skipped,
            (S::Queued | S::Parked | S::Interrupted, E::Cancel)
            | (S::Cancelling | S::Finishing, E::Stopped) => S::Cancelled,
            (S::Running | S::Paused, E::Cancel) => S::Cancelling,
            (S::Running, E::Pause) => S::Paused,
            (S::Running | S::Cancelling, E::End) => S::Finishing,
            (S::Finishing, E::Succeed) => S::Done,
            (S::Queued | S::Running | S::Finishing | S::Interrupted, E::Fail) => S::Failed,
            (S::Running | S::Finishing | S::Cancelling | S::Paused, E::Die) => S::Interrupted,
            (
                from @ (S::Queued
                | S::Parked
                | S::Running
                | S::Finishing
                | S::Paused
                | S::Cancelling
                | S::Interrupted
                | S::Done
                | S::Failed
                | S::Cancelled
                | S::Skipped),
                event,
            ) => return Err(IllegalMove { from, event }),
        };
        Ok(next)
    }

    /// Whether nothing will happen to it any more by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Skipped)
    }

    /// Whether a runner holds it, or should.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Finishing | Self::Paused | Self::Cancelling
        )
    }

    /// Whether it waits for a start.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Parked)
    }

    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Parked => "parked",
            Self::Running => "running",
            Self::Finishing => "finishing",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Park => "be parked",
            Self::Unpark => "be unparked",
            Self::Skip => "be skipped",
            Self::Cancel => "be cancelled",
            Self::Pause => "be paused",
            Self::Continue => "be continued",
            Self::End => "end",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Stopped => "be stopped",
            Self::Die => "die",
            Self::Again => "be tried again",
            Self::Dismiss => "be dismissed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Status; 11] = [
        Status::Queued,
        Status::Parked,
        Status::Running,
        Status::Finishing,
        Status::Paused,
        Status::Cancelling,
        Status::Interrupted,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
        Status::Skipped,
    ];

    #[test]
    fn done_and_skipped_are_final() {
        for event in [
            Event::Start,
            Event::Cancel,
            Event::Fail,
            Event::Die,
            Event::Succeed,
            Event::Park,
        ] {
            assert!(Status::Done.next(event).is_err());
            assert!(Status::Skipped.next(event).is_err());
        }
    }

    #[test]
    fn only_a_claim_starts_a_run() {
        for from in ALL {
            // What is cancelled runs only once someone has asked for it anew, also when its runner is on its way.
            let expected = matches!(from, Status::Queued | Status::Interrupted);
            assert_eq!(from.next(Event::Start) == Ok(Status::Running), expected, "{from}");
        }
    }
}
