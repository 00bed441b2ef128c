//! The annotated tag that a task's or zone's ref points at: its subject is the state in one line, its trailers are
//! what lists and the scheduler read, so that a listing costs one object a task.

use git2::Oid;

use crate::task::{CloneName, Mode, Outcome, QueuePosition, Status, Task, TaskId, ZoneId};

/// What a task's tag says of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskHead {
    /// The task.
    pub id: TaskId,
    /// Where it is in its life.
    pub status: Status,
    /// How its last attempt came out.
    pub outcome: Option<Outcome>,
    /// What it may do.
    pub mode: Mode,
    /// Its zone.
    pub zone: ZoneId,
    /// Its clone.
    pub clone: CloneName,
    /// Its place in the order of arrival.
    pub seq: u64,
    /// Higher runs earlier.
    pub priority: i32,
    /// Last change, seconds since the epoch.
    pub updated: i64,
    /// The site that owns it.
    pub site_uuid: String,
    /// The first line of its prompt.
    pub title: String,
    /// What its brain asked when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// A person took it off the list of what needs them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dismissed: bool,
    /// The task whose question it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<TaskId>,
    /// The tasks of its clone with a lower `seq` were over when it was dispatched; 0 where that is unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub follows: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TaskHead {
    /// Where it stands in its clone's queue.
    pub fn queue_position(&self) -> QueuePosition<'_> {
        QueuePosition::new(self.status, self.priority, self.seq, &self.id)
    }

    /// What the tag of `task` has to say.
    pub fn of(task: &Task) -> Option<Self> {
        parse_head(&task_tag(task, Oid::ZERO_SHA1))
    }

    /// Reads the bytes of a task's tag; `None` if it is not one of ours.
    pub fn parse(tag: &[u8]) -> Option<Self> {
        parse_head(tag)
    }
}

/// The tag object of a task.
pub(super) fn task_tag(task: &Task, tree: Oid) -> Vec<u8> {
    let state = task
        .outcome
        .filter(|_| task.status.is_over())
        .map_or(task.status.as_str(), Outcome::as_str);
    let mut text = tag_head(task.id.as_str(), tree, task.updated);
    text.push_str(&format!(
        "{state}: {} {} ({})\n\n",
        task.mode.as_str(),
        task.title,
        task.clone
    ));
    let mut trailer = |name: &str, value: &str| text.push_str(&format!("Khlone-{name}: {value}\n"));
    trailer("Status", task.status.as_str());
    if let Some(outcome) = task.outcome {
        trailer("Outcome", outcome.as_str());
    }
    trailer("Mode", task.mode.as_str());
    trailer("Zone", task.zone.as_str());
    trailer("Clone", &task.clone.to_string());
    trailer("Seq", &task.seq.to_string());
    trailer("Priority", &task.priority.to_string());
    trailer("Updated", &task.updated.to_string());
    trailer("Site", &task.owner.site_uuid);
    if let Some(question) = &task.question {
        trailer("Question", question);
    }
    if task.dismissed.is_some() {
        trailer("Dismissed", "yes");
    }
    if let Some(id) = &task.reply_to {
        trailer("Reply-To", id.as_str());
    }
    if let Some(follows) = task.follows {
        trailer("Follows", &follows.to_string());
    }
    trailer("Title", &task.title);
    text.into_bytes()
}

/// The tag object of a zone.
pub(super) fn zone_tag(zone: &ZoneId, branch: &str, tree: Oid, updated: i64) -> Vec<u8> {
    let mut text = tag_head(zone.as_str(), tree, updated);
    text.push_str(&format!("zone of {branch}\n"));
    text.into_bytes()
}

/// The tag object of a saved state.
pub(super) fn undo_tag(n: u64, verb: &str, tree: Oid, at: i64) -> Vec<u8> {
    let mut text = tag_head(&format!("undo-{n}"), tree, at);
    text.push_str(&format!("before {verb}\n"));
    text.into_bytes()
}

fn tag_head(name: &str, tree: Oid, time: i64) -> String {
    format!("object {tree}\ntype tree\ntag {name}\ntagger git-khlone <git-khlone@localhost> {time} +0000\n\n")
}

/// Reads the trailers of a task's tag; `None` if it is not one of ours.
pub(super) fn parse_head(message: &[u8]) -> Option<TaskHead> {
    let message = std::str::from_utf8(message).ok()?;
    let id = message
        .lines()
        .find_map(|line| line.strip_prefix("tag "))?
        .parse()
        .ok()?;
    let trailers: Vec<(&str, &str)> = message
        .lines()
        .filter_map(|line| line.strip_prefix("Khlone-")?.split_once(": "))
        .collect();
    let value = |name: &str| {
        trailers
            .iter()
            .find(|(it, _)| *it == name)
            .map(|(_, value)| *value)
    };
    let word = |text: &str| serde_json::Value::String(text.to_owned());
    let status: Status = serde_json::from_value(word(value("Status")?)).ok()?;
    let outcome = value("Outcome").and_then(|text| serde_json::from_value(word(text)).ok());
    Some(TaskHead {
        id,
        status,
        outcome: status.outcome(outcome),
        mode: serde_json::from_value(word(value("Mode")?)).ok()?,
        zone: value("Zone")?.to_owned().try_into().ok()?,
        clone: value("Clone")?.parse().ok()?,
        seq: value("Seq")?.parse().ok()?,
        priority: value("Priority")?.parse().ok()?,
        updated: value("Updated")?.parse().ok()?,
        site_uuid: value("Site")?.to_owned(),
        title: value("Title").unwrap_or_default().to_owned(),
        question: value("Question").map(ToOwned::to_owned),
        dismissed: value("Dismissed").is_some(),
        reply_to: value("Reply-To").and_then(|id| id.parse().ok()),
        follows: value("Follows")
            .and_then(|seq| seq.parse().ok())
            .unwrap_or_default(),
    })
}
