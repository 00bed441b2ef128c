//! The outcome of an attempt, judged from evidence: events, exit and effects, never from the exit code alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Class, Event};

/// How an attempt came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Done,
    /// Well, and an act that changed nothing.
    NoOp,
    /// The brain said or showed that it failed.
    Failed,
    /// Refused tools kept it from its work.
    Denied,
    /// Died, or a sequencer was under way, with files changed.
    Partial,
    /// HEAD ended somewhere that is no descendant of the clone's branch.
    Moved,
    /// Something outside the clone's worktree was written.
    Foreign,
    /// The clone's branch moved on the host meanwhile.
    Diverged,
    /// A setup command failed.
    Setup,
    /// The brain worked in another session than the one asked for.
    Session,
    /// The runner or the sandbox broke.
    Crashed,
    /// The account is of no use: not signed in, refused, or without money; or the brain is missing.
    Auth,
    /// A rate or usage limit.
    Limited,
    /// Someone stopped it.
    Cancelled,
    /// Ran too long, or was silent too long.
    Timeout,
}

impl Outcome {
    /// The event that ends a finishing task with this outcome.
    pub fn event(self) -> Event {
        match self {
            Self::Done | Self::NoOp => Event::Succeed,
            Self::Cancelled => Event::Stopped,
            Self::Failed
            | Self::Denied
            | Self::Partial
            | Self::Moved
            | Self::Foreign
            | Self::Diverged
            | Self::Setup
            | Self::Session
            | Self::Crashed
            | Self::Auth
            | Self::Timeout => Event::Fail,
            // It goes on by itself once the limit is over.
            Self::Limited => Event::Park,
        }
    }

    /// The exit code class of a command that waited for the task; `None` is exit 0.
    pub fn class(self) -> Option<Class> {
        match self {
            Self::Done | Self::NoOp => None,
            Self::Failed
            | Self::Denied
            | Self::Partial
            | Self::Moved
            | Self::Foreign
            | Self::Diverged
            | Self::Setup
            | Self::Session
            | Self::Crashed => Some(Class::Failed),
            Self::Auth => Some(Class::Brain),
            Self::Limited => Some(Class::Refused),
            Self::Cancelled => Some(Class::Cancelled),
            Self::Timeout => Some(Class::Timeout),
        }
    }

    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NoOp => "no-op",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Partial => "partial",
            Self::Moved => "moved",
            Self::Foreign => "foreign",
            Self::Diverged => "diverged",
            Self::Setup => "setup",
            Self::Session => "session",
            Self::Crashed => "crashed",
            Self::Auth => "auth",
            Self::Limited => "limited",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }

    /// The word for it, for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::NoOp => "no changes",
            Self::Timeout => "timed out",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of an ended attempt. Several may hold at once; [`judge`] says which one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent observation"
)]
pub struct Evidence {
    /// The task is an act (an ask that changes nothing is no no-op).
    pub act: bool,
    /// Someone asked for a stop.
    pub cancelled: bool,
    /// The time or silence limit ran out.
    pub timed_out: bool,
    /// A setup command failed.
    pub setup_failed: bool,
    /// The runner could not start or follow the brain.
    pub crashed: bool,
    /// The brain says it is not signed in, or is missing.
    pub auth_failed: bool,
    /// The brain ended on a rate or usage limit.
    pub limited: bool,
    /// The brain worked in a session other than the one asked for.
    pub wrong_session: bool,
    /// The brain's own verdict: `Some(true)` a good result event, `Some(false)` a bad one, `None` none.
    pub result: Option<bool>,
    /// It ended by itself with exit code 0.
    pub exit_ok: bool,
    /// It was killed by a signal that was not ours.
    pub killed: bool,
    /// How many tool calls were refused.
    pub denials: u32,
    /// The last tool call was refused.
    pub last_denied: bool,
    /// Files or commits of the clone differ.
    pub changed: bool,
    /// A merge, rebase, cherry-pick or revert is under way in the worktree.
    pub sequencer: bool,
    /// Files were left uncommitted on purpose (too large, too many), or commits were refused.
    pub left_out: bool,
    /// HEAD is no descendant of the clone's branch.
    pub moved: bool,
    /// Something outside the clone's worktree was written.
    pub foreign: bool,
    /// The clone's branch moved on the host.
    pub diverged: bool,
}

/// The outcome that the evidence proves; the first that holds, most serious first.
pub fn judge(e: &Evidence) -> Outcome {
    // Foreign writes outrank everything: they are a breach, however the run ended.
    let failed = !e.exit_ok || e.result != Some(true);
    let ladder = [
        (e.foreign, Outcome::Foreign),
        (!e.act && e.changed, Outcome::Foreign),
        (e.cancelled, Outcome::Cancelled),
        (e.timed_out, Outcome::Timeout),
        (e.setup_failed, Outcome::Setup),
        (e.crashed, Outcome::Crashed),
        (e.wrong_session, Outcome::Session),
        (e.auth_failed, Outcome::Auth),
        (e.limited && failed, Outcome::Limited),
        (e.sequencer && e.changed, Outcome::Partial),
        (e.left_out, Outcome::Partial),
        (e.moved, Outcome::Moved),
        (e.diverged, Outcome::Diverged),
        (e.killed && e.changed, Outcome::Partial),
        (failed, Outcome::Failed),
        (
            e.denials > 0 && (e.last_denied || (e.act && !e.changed)),
            Outcome::Denied,
        ),
        (e.act && !e.changed, Outcome::NoOp),
    ];
    ladder
        .iter()
        .find(|(holds, _)| *holds)
        .map_or(Outcome::Done, |(_, outcome)| *outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Evidence {
        Evidence {
            act: true,
            result: Some(true),
            exit_ok: true,
            changed: true,
            ..Evidence::default()
        }
    }

    #[test]
    fn exit_zero_alone_proves_nothing() {
        assert_eq!(judge(&good()), Outcome::Done);
        assert_eq!(
            judge(&Evidence {
                result: None,
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judge(&Evidence {
                result: Some(false),
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judge(&Evidence {
                changed: false,
                ..good()
            }),
            Outcome::NoOp
        );
    }

    #[test]
    fn denials_count_only_where_they_mattered() {
        assert_eq!(judge(&Evidence { denials: 2, ..good() }), Outcome::Done);
        assert_eq!(
            judge(&Evidence {
                denials: 1,
                last_denied: true,
                ..good()
            }),
            Outcome::Denied
        );
        assert_eq!(
            judge(&Evidence {
                denials: 1,
                changed: false,
                ..good()
            }),
            Outcome::Denied
        );
    }

    #[test]
    fn an_ask_that_changed_something_is_foreign() {
        assert_eq!(judge(&Evidence { act: false, ..good() }), Outcome::Foreign);
        assert_eq!(
            judge(&Evidence {
                act: false,
                changed: false,
                ..good()
            }),
            Outcome::Done
        );
    }
}
