//! What `fsck` found.

use serde::Serialize;

use crate::{
    render::{View, counted, one_line},
    task::FORMAT,
    upkeep::fsck::{Kind, Report},
};

/// The state of the ledger.
#[derive(Debug, Serialize)]
pub struct FsckView {
    format: u32,
    clean: bool,
    tasks: usize,
    zones: usize,
    objects: usize,
    problems: Vec<ProblemLine>,
    repaired: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ProblemLine {
    kind: Kind,
    #[serde(rename = "ref")]
    name: String,
    what: String,
    next: String,
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
            format: FORMAT,
            clean: problems.is_empty(),
            tasks: report.tasks,
            zones: report.zones,
            objects: report.objects,
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
        let (tasks, zones, objects) = (self.tasks, self.zones, self.objects);
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
