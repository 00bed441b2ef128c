//! The status of a site on one screen.

use serde::Serialize;

use super::{
    super::{Table, View},
    crew::CrewLine,
    doctor::brain_table,
    indent_by,
    task::{TaskLine, row},
};

use crate::brain::Readiness;

/// The status of a site on one screen.
#[derive(Debug, Serialize)]
pub struct StatusView {
    /// Version of the document.
    pub format: u32,
    /// Failed, or finished and not landed.
    pub needs_you: Vec<TaskLine>,
    /// Running now.
    pub under_way: Vec<TaskLine>,
    /// Queued or parked.
    pub waiting: Vec<TaskLine>,
    /// The clones.
    pub crew: Vec<CrewLine>,
    /// The brains; only where there is no clone yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brains: Vec<Readiness>,
}

/// So many lines of a part of the status.
const PART: usize = 6;

impl View for StatusView {
    fn plain(&self) -> String {
        if self.crew.is_empty() {
            return format!(
                "{EXAMPLES}\nbrains\n{}",
                indent_by(&brain_table(&self.brains), "  ")
            );
        }
        let mut text = String::new();
        let parts = [
            ("needs you", &self.needs_you),
            ("under way", &self.under_way),
            ("waiting", &self.waiting),
        ];
        for (name, tasks) in parts.iter().filter(|(_, tasks)| !tasks.is_empty()) {
            let mut table = Table::default();
            for task in tasks.iter().rev().take(PART) {
                table.styled(row(task));
            }
            text.push_str(&format!("{name}\n{}", indent_by(&table.render(), "  ")));
            if tasks.len() > PART {
                text.push_str(&format!(
                    "  … {} more: git khlone list tasks\n",
                    tasks.len() - PART
                ));
            }
        }
        let mut table = Table::default();
        for clone in &self.crew {
            let doing = clone
                .busy
                .as_ref()
                .map_or("idle".to_owned(), |task| format!("on {}", &task.as_str()[..5]));
            table.row([
                clone.name.to_string(),
                format!("@{}", clone.brain),
                doing,
                clone.standing(),
            ]);
        }
        text.push_str(&format!("crew\n{}", indent_by(&table.render(), "  ")));
        text
    }
}

const EXAMPLES: &str = "\
No tasks here yet. For example:

  git khlone act \"add a test for the parser\"      # in the background, on a branch of its own
  git khlone ask \"what does this project do?\" --await
  git khlone act --who @shell --await 'printf hello > greeting.txt'
";
