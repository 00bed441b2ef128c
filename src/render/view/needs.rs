//! What needs a person, one line a task with what it says below.

use anstyle::Style;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{ShortIds, Table, View, cut, one_line, terminal::columns},
    task::row,
};
use crate::{
    query::{Listed, Names, NeedsLine, NeedsList},
    task::{Need, TaskId},
};

/// What stands before a second line.
const BELOW: &str = "         ";

/// An answer with the names that its tasks have for people.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Shown<'a, T> {
    pub(super) answer: &'a T,
    #[serde(skip)]
    pub(super) names: &'a Names,
}

impl<'a, T> Shown<'a, T> {
    /// An answer of the site that `names` are of.
    pub fn new(answer: &'a T, names: &'a Names) -> Self {
        Self { answer, names }
    }
}

/// How tasks of a site are shown: by ids that can be typed, and with their zone where there are several.
#[derive(Debug)]
pub(super) struct Naming<'a> {
    ids: ShortIds<'a>,
    names: &'a Names,
}

impl<'a> Naming<'a> {
    pub(super) fn of(names: &'a Names) -> Self {
        Self {
            ids: ShortIds::of(&names.tasks),
            names,
        }
    }

    pub(super) fn short(&self, task: &TaskId) -> String {
        self.ids.short(task)
    }

    /// The branch of a zone, where there are several.
    pub(super) fn branch(&self, zone: &str) -> Option<&'a str> {
        let branches = Some(&self.names.branches).filter(|branches| branches.len() > 1)?;
        let mut named = branches.iter().filter(|(id, _)| id.as_str() == zone);
        named.next().map(|(_, branch)| branch.as_str())
    }
}

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
