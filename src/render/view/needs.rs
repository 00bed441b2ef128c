//! What needs a person, one line a task with what it says below.

use anstyle::Style;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Table, View, cut, one_line, terminal::columns},
    shown::{Naming, Shown},
    task::row,
};
use crate::{
    query::{Listed, NeedsLine, NeedsList},
    task::{Need, TaskId},
};

/// What stands before a second line.
const BELOW: &str = "         ";

/// What there is to say of a task that needs a person.
fn below(line: &NeedsLine) -> String {
    let mut parts = Vec::new();
    match line.blocks {
        0 => {}
        1 => parts.push("1 task waits for it".to_owned()),
        many => parts.push(format!("{many} tasks wait for it")),
    }
    parts.extend(line.says.as_deref().map(one_line));
    parts.join(" · ")
}

fn cells(line: &NeedsLine, naming: &Naming<'_>) -> [(String, Style); 5] {
    let mut cells = row(&line.task, naming);
    if line.need == Need::Question {
        "asks".clone_into(&mut cells[1].0);
    }
    cells
}

/// The lines, at most so many, each with what it says below.
pub(super) fn lines<'a>(needs: impl Iterator<Item = &'a NeedsLine>, naming: &Naming<'_>) -> String {
    let (mut table, mut said) = (Table::default(), Vec::new());
    for line in needs {
        table.styled(cells(line, naming));
        said.push(below(line));
    }
    let mut text = String::new();
    for (line, more) in table.render_below("  ").lines().zip(said) {
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

impl View for Shown<'_, NeedsList> {
    fn plain(&self) -> String {
        lines(self.answer.needs_you.iter(), &Naming::of(self.names))
    }
}

impl View for Shown<'_, Listed> {
    fn plain(&self) -> String {
        let names = self.names;
        match self.answer {
            Listed::Tasks(tasks) => Shown::new(tasks, names).plain(),
            Listed::Needs(needs) => Shown::new(needs, names).plain(),
            Listed::Crew(crew) => crew.plain(),
            Listed::Zones(zones) => zones.plain(),
            Listed::Sites(sites) => sites.plain(),
            Listed::Brains(brains) => brains.plain(),
        }
    }
}
