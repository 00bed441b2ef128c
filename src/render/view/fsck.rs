//! What `fsck` found.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    render::{View, counted, one_line},
    upkeep::fsck::{Kind, Report},
};

/// The state of the ledger.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FsckView {
    /// Whether nothing is wrong.
    clean: bool,
    /// How many tasks were looked at.
    tasks_checked: usize,
    /// How many zones were looked at.
    zones_checked: usize,
    /// How many objects were looked at.
    objects_checked: usize,
    /// What is wrong.
    problems: Vec<ProblemLine>,
    /// What was put right.
    repaired: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ProblemLine {
    /// What kind of damage it is.
    kind: Kind,
    /// The ref that it is about.
    #[serde(rename = "ref")]
    name: String,
    /// What is wrong, in words.
    what: String,
    /// The next step.
    next: String,
    /// Whether `fsck --repair` makes it again from what is whole.
    derived: bool,
}

impl FsckView {
    /// The documented form.
    pub fn of(report: Report, repaired: Vec<String>) -> Self {
        let problems: Vec<_> = report
            .problems
            .into_iter()
            .map(|problem| ProblemLine {
                kind: problem.kind,
                name: problem.name,
                what: problem.what,
                next: problem.next,
                derived: problem.remedy.is_some(),
            })
            .collect();
        Self {
            clean: problems.is_empty(),
            tasks_checked: report.tasks,
            zones_checked: report.zones,
            objects_checked: report.objects,
            problems,
            repaired,
        }
    }
}

impl View for FsckView {
    fn plain(&self) -> String {
        let mut text: String = self
            .repaired
            .iter()
            .map(|done| format!("✓ {}\n", one_line(done)))
            .collect();
        for problem in &self.problems {
            text.push_str(&format!(
                "✗ {}: {}\n  next: {}\n",
                one_line(&problem.name),
                one_line(&problem.what),
                one_line(&problem.next)
            ));
        }
        let (tasks, zones, objects) = (self.tasks_checked, self.zones_checked, self.objects_checked);
        let state = match self.problems.len() {
            0 => "whole".to_owned(),
            n => counted(n, "problem"),
        };
        let seen = [(tasks, "task"), (zones, "zone"), (objects, "object")];
        let seen = seen.map(|(count, what)| counted(count, what)).join(", ");
        text.push_str(&format!("{seen}: {state}\n"));
        text
    }
}
