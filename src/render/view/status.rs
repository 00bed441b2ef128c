//! The status of a site on one screen: what needs you first, then what runs with its live figures, what waits and
//! for what, the crew, and what it costs.

use super::{
    super::{Table, View, bytes, counted, cut, elapsed, money, one_line, terminal::columns, waits},
    crew::{doing, named, standing},
    doctor::brain_table,
    indent_by, needs,
    shown::{Naming, Shown},
    sites::stranger,
    task::{row, since},
};
use crate::{
    brain::{Readiness, State, TRIAL, Trouble},
    query::{RunningLine, StatusView, TaskLine, WaitingLine},
    refs::Damaged,
    zone::Waits,
};

/// So many lines of a part of the status.
const PART: usize = 6;
/// So many clones.
const CREW: usize = 16;
/// Less disk than this is not worth a line.
const WORTH_TELLING: u64 = 100 << 20;
/// What stands before a second line.
const BELOW: &str = "         ";

impl View for Shown<'_, StatusView> {
    fn plain(&self) -> String {
        let (view, naming) = (self.answer, Naming::of(self.names));
        let damaged = damages(view);
        if view.crew.is_empty() && damaged.is_empty() && view.stored_tasks == 0 {
            return format!(
                "{}\nbrains\n{}",
                examples(&view.brains),
                indent_by(&brain_table(&view.brains), "  ")
            );
        }
        let running = view.running.iter().map(|line| {
            let age = line.elapsed.map_or_else(|| since(&line.task), elapsed);
            (&line.task, age, figures(line))
        });
        let waiting = view
            .waiting
            .iter()
            .map(|line| (&line.task, since(&line.task), why(line)));
        let strangers = view.other_sites.iter();
        let strangers = strangers.map(|line| format!("✗ {}\n  next: {}\n", stranger(line), line.next));
        let mut text: String = strangers.collect();
        text.push_str(&damaged);
        text.push_str(&needs_part(view, &naming));
        text.push_str(&part("under way", running, &naming));
        text.push_str(&part("waiting", waiting, &naming));
        text.push_str(&crew_part(view));
        let disk = Some(view.disk.bytes)
            .filter(|bytes| *bytes >= WORTH_TELLING)
            .map(|count| {
                let over = if view.disk.complete { "" } else { "over " };
                format!("disk {over}{}", bytes(count))
            });
        let today = view.cost_today.map(|cost| format!("today {}", money(cost)));
        let last: Vec<_> = today.into_iter().chain(disk).collect();
        if !last.is_empty() {
            text.push_str(&format!("{}\n", last.join(" · ")));
        }
        text
    }
}

/// A damaged ref, with what can be done.
pub fn damage(damaged: &Damaged) -> String {
    format!(
        "✗ {} cannot be read: {}\n  next: {}\n",
        damaged.name, damaged.what, damaged.next
    )
}

fn figures(line: &RunningLine) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let tools = usize::try_from(line.tool_calls).unwrap_or(usize::MAX);
    let mut parts = vec![count(tools, "tool"), count(line.files_touched, "file")];
    if line.attempt > 1 {
        parts.insert(0, format!("attempt {}", line.attempt));
    }
    parts.extend(line.held_up.as_ref().map(|held| {
        let what = if held.by == Trouble::Limit {
            "at a limit"
        } else {
            "cannot reach its provider"
        };
        format!("{what}, try {}", held.tries)
    }));
    parts.extend(line.cost.map(money));
    parts.extend(line.last_said.as_deref().map(one_line));
    parts.join(" · ")
}

fn why(line: &WaitingLine) -> String {
    let mut parts: Vec<_> = line.waits.iter().map(waits).collect();
    // A pause has its cause in its own words.
    let is_said = |reason: &&String| !matches!(&line.waits, Some(Waits::Recovery { reason: said, .. }) if said == *reason);
    let reasons = line.reasons.iter().filter(is_said);
    parts.extend(reasons.map(|reason| one_line(reason)));
    parts.join(" · ")
}

fn needs_part(view: &StatusView, naming: &Naming<'_>) -> String {
    if view.needs_you.is_empty() {
        return String::new();
    }
    let shown = needs::lines(view.needs_you.iter().take(PART), naming);
    format!("needs you\n{shown}{}", more(view.needs_you.len(), "needs"))
}

/// What cannot be read, and what is gone.
fn damages(view: &StatusView) -> String {
    let mut text: String = view.damaged.iter().map(damage).collect();
    if view.lost_tasks > 0 {
        text.push_str(&format!(
            "✗ the refs of git-khlone are gone, and {} of its tasks are remembered: a fetch with --prune into a mirror \
             deletes them\n  next: git fetch COPY 'refs/khlone/*:refs/khlone/*'\n",
            view.lost_tasks
        ));
    }
    text
}

/// The clones, or how many tasks there are without one.
fn crew_part(view: &StatusView) -> String {
    if view.crew.is_empty() && view.stored_tasks > 0 {
        let tasks = counted(view.stored_tasks, "task");
        return format!("no clone is here; {tasks}: git khlone list tasks, and git khlone undo --list\n");
    }
    format!("crew\n{}", crew_table(view))
}

/// The clones, those that do something first.
fn crew_table(view: &StatusView) -> String {
    let mut crew: Vec<_> = view.crew.iter().collect();
    if crew.len() > CREW {
        crew.sort_by_key(|clone| (clone.task.is_none(), clone.queued == 0));
    }
    let several = view.crew.iter().any(|clone| clone.zone != view.crew[0].zone);
    let mut table = Table::default();
    for clone in crew.iter().take(CREW) {
        table.row([
            named(clone, several),
            format!("@{}", clone.brain),
            doing(clone),
            standing(clone),
        ]);
    }
    let mut text = table.render_below("  ");
    if crew.len() > CREW {
        text.push_str(&format!("  … {} more: git khlone list crew\n", crew.len() - CREW));
    }
    text
}

/// What is left out of a part.
fn more(count: usize, list: &str) -> String {
    match count.saturating_sub(PART) {
        0 => String::new(),
        more => format!("  … {more} more: git khlone list {list}\n"),
    }
}

/// A part of the status: its tasks, each with what there is to say of it below.
fn part<'a>(
    name: &str,
    tasks: impl ExactSizeIterator<Item = (&'a TaskLine, String, String)>,
    naming: &Naming<'_>,
) -> String {
    let count = tasks.len();
    if count == 0 {
        return String::new();
    }
    let (mut table, mut below) = (Table::default(), Vec::new());
    for (task, since, more) in tasks.take(PART) {
        let mut cells = row(task, naming);
        cells[3].0 = since;
        table.styled(cells);
        below.push(more);
    }
    let mut text = format!("{name}\n");
    for (line, more) in table.render_below("  ").lines().zip(below) {
        text.push_str(&format!("{line}\n"));
        if !more.is_empty() {
            text.push_str(&format!("{}\n", cut(&format!("{BELOW}{more}"), columns())));
        }
    }
    text.push_str(&more(count, "tasks"));
    text
}

/// What there is to say where there is nothing yet: what works here comes first.
fn examples(brains: &[Readiness]) -> String {
    let works =
        |line: &Readiness| line.name != "shell" && matches!(line.state, State::Ready | State::Unknown);
    let trial = format!("  {TRIAL}\n");
    if brains.iter().any(works) {
        format!("No tasks here yet. For example:\n\n{EXAMPLES}{trial}")
    } else {
        format!(
            "No tasks here yet, and no coding CLI that could do one: the commands below\n\
             install it or sign in. Without any, a prompt may be a shell script:\n\n{trial}\nWith one, for example:\n\n{EXAMPLES}"
        )
    }
}

const EXAMPLES: &str = "  git khlone act \"add a test for the parser\"      # in the background
  git khlone ask \"what does this project do?\" --await
";

#[cfg(test)]
mod tests;
