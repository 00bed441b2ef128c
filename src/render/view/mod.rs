//! What commands answer: one value for the plain form and for `--json`. In JSON outcomes are words, absent means
//! not applicable, `null` means unknown, and every document has `"format": 1`.

mod audit;
mod crew;
mod diff;
mod diffstat;
mod doctor;
mod done;
mod env;
mod fsck;
mod gc;
mod landed;
mod log;
mod needs;
mod redacted;
mod rolled;
mod shown;
mod sites;
mod status;
mod task;

use schemars::JsonSchema;
use serde::Serialize;

pub use audit::{AuditView, AuditedAttempt, SignedCommit};
pub use diffstat::diff_stat;
pub use doctor::{DoctorView, Finding};
pub use done::{
    LogLines, MovedView, PathView, StartedList, StartedSite, StartedView, StoppedView, TrustedView,
    UninstalledView, UnitView, UpdatedView,
};
pub use fsck::FsckView;
pub use gc::GcView;
pub use landed::LandedView;
pub use needs::DismissedView;
pub use redacted::RedactedView;
pub use rolled::RolledBackView;
pub use shown::Shown;
pub use sites::{AdoptedView, HoldingList, stranger};
pub use status::damage;
pub use task::EndedList;

use super::View;
use crate::{
    guard::trust::{Grant, in_shell},
    task::{CloneName, Explain, TaskId, ZoneId},
};

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorView {
    /// What went wrong.
    error: ErrorBody,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ErrorBody {
    /// Its kind; each has its exit code.
    class: crate::task::Class,
    /// The exit code of the command.
    exit_code: u8,
    /// The cause, in words.
    message: String,
    /// The next step; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl ErrorView {
    /// The documented form of an error.
    pub fn of(error: &dyn Explain) -> Self {
        let class = error.class();
        let error = ErrorBody {
            class,
            exit_code: class.exit_code(),
            message: error.to_string(),
            next: error.hint(),
        };
        Self { error }
    }
}

/// A task that was just queued.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DispatchedView {
    /// The task.
    pub task: TaskId,
    /// The zone's id.
    pub zone: ZoneId,
    /// The zone's branch.
    pub branch: String,
    /// Who does it.
    pub clone: CloneName,
    /// Whether the clone is new.
    pub new_clone: bool,
    /// The tasks of the clone that go before it.
    pub queued_behind: Vec<TaskId>,
}

impl View for DispatchedView {
    fn plain(&self) -> String {
        format!("{}\n", self.task)
    }
}

fn indent_by(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// `trust --list`: what is trusted on this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrustList {
    /// The agreements.
    pub grants: Vec<Grant>,
}

impl View for TrustList {
    fn plain(&self) -> String {
        let mut text = String::new();
        for grant in &self.grants {
            text.push_str(&format!("{}\n", grant.repository));
            for words in &grant.commands {
                text.push_str(&format!("  {}\n", in_shell(words)));
            }
        }
        text
    }
}
