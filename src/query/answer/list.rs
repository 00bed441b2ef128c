//! Lists: of tasks, of what needs a person, of brains and sites.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{Needed, is_none},
    crew::{CrewList, ZoneList},
};
use crate::{
    brain::Readiness,
    refs::TaskHead,
    task::{CloneName, Need, Outcome, Status, Task, TaskId},
    zone::sites::Known,
};

/// One line of a list of tasks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskLine {
    /// Its id.
    pub task: TaskId,
    /// Where it is in its life.
    pub status: Status,
    /// How its last attempt came out; absent before it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// `ask` or `act`.
    pub mode: String,
    /// The zone's id.
    pub zone: String,
    /// Who does it.
    pub clone: CloneName,
    /// The site's order of arrival.
    pub seq: u64,
    /// When it last changed, seconds since the epoch.
    pub updated: i64,
    /// The first line of the prompt.
    pub title: String,
}

impl TaskLine {
    /// The line of a task.
    pub fn of(head: &TaskHead) -> Self {
        Self {
            task: head.id.clone(),
            status: head.status,
            outcome: head.outcome,
            mode: head.mode.as_str().to_owned(),
            zone: head.zone.to_string(),
            clone: head.clone.clone(),
            seq: head.seq,
            updated: head.updated,
            title: head.title.clone(),
        }
    }
}

/// Tasks, in order of arrival.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<TaskLine>,
}

/// A task that needs a person.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NeedsLine {
    /// Which.
    #[serde(flatten)]
    pub task: TaskLine,
    /// What for.
    pub need: Need,
    /// So many tasks of its clone wait for it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub blocks: usize,
    /// Its question, or why it is blocked or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// The command to answer it with.
    pub next: String,
}

impl NeedsLine {
    /// The line of a task; its document where more than its head is wanted.
    pub fn new(needed: &Needed<'_>, task: Option<&Task>) -> Self {
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
            task: TaskLine::of(needed.head),
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
}

/// All that needs a person.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NeedsList {
    /// The most urgent first.
    pub needs_you: Vec<NeedsLine>,
}

/// Brains.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BrainList {
    /// The brains.
    pub brains: Vec<Readiness>,
}

/// A site of this machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteLine {
    /// Its id.
    pub site: String,
    /// Its main work tree, or the bare repository.
    pub path: String,
    /// Its common git folder.
    pub git_dir: String,
}

impl From<Known> for SiteLine {
    fn from(known: Known) -> Self {
        Self {
            site: known.site_uuid,
            path: known.path.display().to_string(),
            git_dir: known.common.display().to_string(),
        }
    }
}

/// Sites.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteList {
    /// The sites.
    pub sites: Vec<SiteLine>,
}

/// Any of the lists; each is told by the name of its one field.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Listed {
    /// Tasks.
    Tasks(TaskList),
    /// What needs a person.
    Needs(NeedsList),
    /// Clones.
    Crew(CrewList),
    /// Zones.
    Zones(ZoneList),
    /// Sites.
    Sites(SiteList),
    /// Brains.
    Brains(BrainList),
}
