//! What needs a person, one line a task with what it says below.

use std::collections::BTreeMap;

use anstyle::Style;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{ShortIds, Table, View, cut, one_line, terminal::columns},
    task::{TaskLine, row},
};
use crate::{
    query::Needed,
    refs::{StoredZone, TaskHead},
    task::{Need, Task, TaskId, ZoneId},
};

/// What stands before a second line.
const BELOW: &str = "         ";

/// How tasks of a site are shown: by ids that can be typed, and with their zone where there are several.
#[derive(Debug)]
pub struct Shown<'a> {
    ids: ShortIds<'a>,
    branches: BTreeMap<&'a ZoneId, &'a str>,
}

impl<'a> Shown<'a> {
    /// Of all tasks and zones of a site.
    pub fn of(heads: &'a [TaskHead], zones: &'a [StoredZone]) -> Self {
        let branches = zones
            .iter()
            .map(|zone| (&zone.zone.id, zone.zone.branch.as_str()));
        Self {
            ids: ShortIds::of(heads.iter().map(|head| &head.id)),
            branches: branches.collect(),
        }
    }

    /// The line of a task.
    pub fn line(&self, head: &TaskHead) -> TaskLine {
        let line = TaskLine::new(head, &self.ids);
        match self.branches.get(&head.zone) {
            Some(branch) if self.branches.len() > 1 => line.in_zone(branch),
            _ => line,
        }
    }
}

/// A task that needs a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NeedsLine {
    #[serde(flatten)]
    task: TaskLine,
    /// What for.
    need: Need,
    /// So many tasks of its clone wait for it.
    #[serde(skip_serializing_if = "is_none")]
    blocks: usize,
    /// Its question, or why it is blocked or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    /// The command to answer it with.
    next: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl NeedsLine {
    /// The line of a task; its document where more than its head is wanted.
    pub fn new(needed: &Needed<'_>, task: Option<&Task>, shown: &Shown<'_>) -> Self {
        let (id, need) = (&needed.head.id, needed.need);
        let why = task.and_then(|task| task.hold.clone().or_else(|| task.reasons.first().cloned()));
        let next = match need {
            Need::Question => format!("git khlone reply {id} TEXT"),
            Need::Land => format!("git khlone land {id}"),
            Need::Blocked | Need::Failed => task
                .and_then(Task::next_step)
                .unwrap_or_else(|| format!("git khlone show {id}")),
        };
        Self {
            task: shown.line(needed.head),
            need,
            blocks: needed.blocks,
            says: if need == Need::Question || need == Need::Land {
                needed.head.question.clone()
            } else {
                why
            },
            next,
        }
    }

    /// What there is to say of it.
    fn below(&self) -> String {
        let mut parts = Vec::new();
        match self.blocks {
            0 => {}
            1 => parts.push("1 task waits for it".to_owned()),
            many => parts.push(format!("{many} tasks wait for it")),
        }
        parts.extend(self.says.as_deref().map(one_line));
        parts.join(" · ")
    }

    fn cells(&self) -> [(String, Style); 5] {
        let mut cells = row(&self.task);
        if self.need == Need::Question {
            "asks".clone_into(&mut cells[1].0);
        }
        cells
    }
}

/// The lines, at most so many, each with what it says below.
pub(super) fn lines<'a>(needs: impl Iterator<Item = &'a NeedsLine>) -> String {
    let (mut table, mut below) = (Table::default(), Vec::new());
    for line in needs {
        table.styled(line.cells());
        below.push(line.below());
    }
    let mut text = String::new();
    for (line, more) in table.render_below("  ").lines().zip(below) {
        text.push_str(&format!("{line}\n"));
        if !more.is_empty() {
            text.push_str(&format!("{}\n", cut(&format!("{BELOW}{more}"), columns())));
        }
    }
    text
}

/// Tasks that were taken off the list, or put back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DismissedView {
    /// Which.
    pub tasks: Vec<TaskId>,
    /// Whether they were put back.
    pub put_back: bool,
}

impl View for DismissedView {
    fn plain(&self) -> String {
        String::new()
    }
}

/// All that needs a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NeedsList {
    /// The most urgent first.
    pub needs_you: Vec<NeedsLine>,
}

impl View for NeedsList {
    fn plain(&self) -> String {
        lines(self.needs_you.iter())
    }
}
