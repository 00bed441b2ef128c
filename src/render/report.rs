//! What a watcher of one task sees, in the form that was asked for.

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Story, clock, money, one_line, tokens};
use crate::{
    brain::{Figures, Record},
    daemon::Told,
    query::Document,
    task::{CloneName, Outcome, Status, Task, TaskId, ZoneId},
    zone::{Waits, owners::short_site},
};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Compact lines for people.
    Lines,
    /// One document a line: whose event it is, and the offset to go on from.
    Json,
    /// The events as they are stored.
    Raw,
}

/// Shows one task's events.
#[derive(Debug)]
pub struct Reporter {
    form: Form,
    story: Story,
    task: TaskId,
    zone: ZoneId,
    branch: String,
    clone: CloneName,
    figures: Figures,
}

/// A line of `watch --json`: an event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventLine<'a> {
    /// The task.
    task: &'a TaskId,
    /// The zone's id.
    zone: &'a ZoneId,
    /// The zone's branch.
    branch: &'a str,
    /// Who does it.
    clone: &'a CloneName,
    /// The attempt, from 1.
    attempt: u32,
    /// Where the next event begins.
    offset: u64,
    /// The event, as `schema/event.json` has it.
    #[schemars(with = "Record")]
    event: &'a Value,
}

/// A line of `watch --json`: where the task is now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateLine<'a> {
    /// The task.
    task: &'a TaskId,
    /// The zone's id.
    zone: &'a ZoneId,
    /// The zone's branch.
    branch: &'a str,
    /// Who does it.
    clone: &'a CloneName,
    /// Where it is in its life.
    status: Status,
    /// How the last attempt came out; `null` before it has.
    outcome: Option<Outcome>,
}

impl Reporter {
    /// Shows the events of `task`, told of as `who`, in lines of at most `width` columns.
    pub fn new(task: &Task, who: String, form: Form, width: Option<usize>) -> Self {
        Self {
            form,
            story: Story::new(who, width, TimeZone::system()),
            task: task.id.clone(),
            clone: task.clone.clone(),
            zone: task.zone.clone(),
            branch: task.branch.clone(),
            figures: Figures::default(),
        }
    }

    /// The lines of some events.
    pub fn events(&mut self, events: &[Told]) -> String {
        events.iter().map(|told| self.event(told)).collect()
    }

    fn event(&mut self, told: &Told) -> String {
        let record: Option<Record> = serde_json::from_value(told.event.clone()).ok();
        if let Some(record) = &record {
            self.figures.count(&record.event);
        }
        match self.form {
            Form::Lines => record.map(|record| self.story.tell(&record)).unwrap_or_default(),
            Form::Raw => format!("{}\n", told.event),
            Form::Json => json_line(&EventLine {
                task: &self.task,
                clone: &self.clone,
                zone: &self.zone,
                branch: &self.branch,
                attempt: told.end.attempt,
                offset: told.end.offset,
                event: &told.event,
            }),
        }
    }

    /// Another attempt begins.
    pub fn attempt(&mut self, n: u32) -> String {
        self.figures = Figures::default();
        self.turn(Status::Running, None, &format!("attempt {n}"))
    }

    /// The task is under way, among others that are watched.
    pub fn begin(&mut self, title: &str) -> String {
        self.turn(Status::Running, None, title)
    }

    /// The task has ended.
    pub fn end(&mut self, status: Status, outcome: Option<Outcome>) -> String {
        let word = outcome.map_or(status.as_str(), Outcome::told);
        self.turn(status, outcome, word)
    }

    /// What was begun and will not be ended.
    pub fn finish(&mut self) -> String {
        self.story.finish()
    }

    fn turn(&mut self, status: Status, outcome: Option<Outcome>, text: &str) -> String {
        match self.form {
            Form::Lines => self
                .story
                .turn(Timestamp::now().as_millisecond(), status, outcome, text),
            Form::Raw => String::new(),
            Form::Json => json_line(&StateLine {
                task: &self.task,
                clone: &self.clone,
                zone: &self.zone,
                branch: &self.branch,
                status,
                outcome,
            }),
        }
    }

    /// What it has come to, for the line that moves.
    pub fn summary(&self) -> String {
        let figures = &self.figures;
        let mut parts = vec![self.clone.to_string(), format!("{} tools", figures.tools)];
        parts.push(format!("{} files", figures.files.len()));
        if let Some(output) = figures.usage.output {
            parts.push(format!("{} out", tokens(output)));
        }
        parts.extend(figures.cost.map(money));
        parts.join(" · ")
    }
}

fn json_line(line: &impl Serialize) -> String {
    let text = serde_json::to_string(&Document::of(line)).unwrap_or_default();
    format!("{}\n", super::plain_json(&text))
}

/// What a task waits for, in words.
pub fn waits(waits: &Waits) -> String {
    match waits {
        Waits::Limit { until: Some(until) } => format!("parked until {}, at a limit", until_clock(*until)),
        Waits::Limit { until: None } => "parked, at a limit".to_owned(),
        Waits::Recovery { until, reason } => until.map_or_else(
            || "recovering".to_owned(),
            |until| format!("tries again at {}: {}", until_clock(until), one_line(reason)),
        ),
        Waits::After { task } => format!("waits for {task} to be done"),
        Waits::Behind { tasks: 1, first } => format!("queued behind {first}"),
        Waits::Behind { tasks, first } => format!("queued behind {first} and {} more", tasks - 1),
        Waits::Machine { places } => {
            format!("queued, waits for one of the machine's {places} places (limits.running)")
        }
        Waits::Provider { provider, key, until } => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", until_clock(until)));
            let key = key.as_ref().map_or_else(String::new, |key| format!(" ({key})"));
            format!("queued, waits for {provider}{until}{key}")
        }
        Waits::Owner { site } => format!(
            "belongs to site {}, does not run here; git khlone sites",
            short_site(site)
        ),
        Waits::Turn => "waits for a place to run".to_owned(),
    }
}

/// The hour, and the day where it is another.
fn until_clock(until: i64) -> String {
    let zone = TimeZone::system();
    let Ok(time) = Timestamp::from_second(until) else {
        return String::new();
    };
    let time = time.to_zoned(zone.clone());
    if time.date() == Timestamp::now().to_zoned(zone.clone()).date() {
        return clock(until.saturating_mul(1000), &zone);
    }
    time.strftime("%a %d %b %H:%M").to_string()
}
