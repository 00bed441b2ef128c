//! What commands answer: one value for the plain form and for `--json`. In JSON outcomes are words, absent means
//! not applicable, `null` means unknown, and every document has `"format": 1`.

mod audit;
mod crew;
mod diffstat;
mod doctor;
mod env;
mod fsck;
mod gc;
mod landed;
mod log;
mod needs;
mod redacted;
mod rolled;
mod sites;
mod status;
mod task;

use serde::Serialize;

pub use audit::{AuditView, AuditedAttempt, SignedCommit};
pub use crew::{CrewLine, CrewList, SiteList, ZoneLine, ZoneList};
pub use diffstat::diff_stat;
pub use doctor::{BrainList, DoctorView, Finding};
pub use env::EnvView;
pub use fsck::FsckView;
pub use gc::GcView;
pub use landed::LandedView;
pub use log::{LogView, log_line};
pub use needs::{DismissedView, NeedsLine, NeedsList, Shown};
pub use redacted::RedactedView;
pub use rolled::RolledBackView;
pub use sites::{AdoptedView, HoldingList, StrangerLine};
pub use status::{RunningLine, StatusView, WaitingLine, damage};
pub use task::{EndedList, TaskDetail, TaskLine, TaskList};

use super::View;
use crate::{
    guard::trust::{Grant, in_shell},
    task::{CloneName, Explain, FORMAT, TaskId},
};

/// An error.
#[derive(Debug, Serialize)]
pub struct ErrorView {
    format: u32,
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    class: crate::task::Class,
    exit_code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl ErrorView {
    /// The documented form of an error.
    pub fn of(error: &dyn Explain) -> Self {
        let class = error.class();
        let error = ErrorBody {
            class,
            exit_code: class.exit_code(),
            message: error.to_string(),
            hint: error.hint(),
        };
        Self {
            format: FORMAT,
            error,
        }
    }
}

/// A task that was just queued.
#[derive(Debug, Serialize)]
pub struct DispatchedView {
    /// Version of the document.
    pub format: u32,
    /// The task.
    pub task: TaskId,
    /// Who does it.
    pub clone: CloneName,
    /// Its zone's branch.
    pub branch: String,
    /// Whether the clone is new.
    pub enrolled: bool,
    /// Tasks of the clone before it.
    pub behind: Vec<TaskId>,
}

impl View for DispatchedView {
    fn plain(&self) -> String {
        format!("{}\n", self.task)
    }
}

fn indent_by(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// What is trusted on this machine.
#[derive(Debug, Serialize)]
pub struct TrustView {
    /// Version of the document.
    pub format: u32,
    /// The agreements.
    pub trusted: Vec<Grant>,
}

impl View for TrustView {
    fn plain(&self) -> String {
        let mut text = String::new();
        for grant in &self.trusted {
            text.push_str(&format!("{}\n", grant.repository));
            for words in &grant.commands {
                text.push_str(&format!("  {}\n", in_shell(words)));
            }
        }
        text
    }
}
