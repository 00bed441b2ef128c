//! `task.json` and its parts. Every document carries `format`; unknown fields survive a rewrite.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{BrainName, CloneName, Landed, Outcome, Retry, RoleName, Status, TaskId, ZoneId, explain};

/// The version of every document that this build writes and the newest it reads.
pub const FORMAT: u32 = 1;

/// What a task may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Must change nothing.
    Ask,
    /// May change its own worktree.
    Act,
}

impl Mode {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Act => "act",
        }
    }
}

/// Which site on which machine schedules and recovers a task; nobody else may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Owner {
    /// The site's own id.
    pub site_uuid: String,
    /// The machine's id.
    pub machine: String,
}

/// Tokens of one attempt or of a whole task; absent counts are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// Fresh input tokens, cached ones not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Output tokens, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Input tokens read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
}

/// One run of a brain for a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attempt {
    /// From 1.
    pub n: u32,
    /// The brain's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What the session has used in all, as its brain counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_total: Option<Value>,
    /// The runner's process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// How the brain's process ended: `0`, `1`, `SIGKILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The sandbox tier it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The brain's command line; prompts are never in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// Names of the environment variables that the brain got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_names: Vec<String>,
    /// Names of the user's variables that it did not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_dropped: Vec<String>,
    /// What it could reach of the network: `open`, `none` or `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// With `network: allow`, the hosts that it reached, with their ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// And those that it was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_hosts: Vec<String>,
    /// How many secrets of which kind were taken out of what is kept of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redacted: BTreeMap<String, u64>,
    /// Tokens of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// US dollars of this attempt, as the brain says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Tool calls that were refused.
    #[serde(default)]
    pub denials: u32,
    /// How it went about a task that was tried before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// Its provider asked for patience until then, seconds since the epoch; the brain tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_until: Option<i64>,
    /// What kept it from its work, where that decides what comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// What a person does before it is tried again: the command that signs in, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The model that it worked with, as the brain names it, else as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Lines of its brain's that look like JSON and could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// A person asked for it, after those before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// Why its runner could not go on with it, where neither a kill nor a shortage of the machine's says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<String>,
    /// It died, and this was found of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Death>,
    /// Recovery of it did not come to its end yet, and is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Retry>,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What keeps an attempt from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// Nobody is signed in, or the account may not do this.
    Login,
    /// The account has no money left.
    Credit,
    /// The session has no room left for more; the next attempt opens a new one.
    Full,
    /// The provider could not be reached.
    Offline,
    /// One of a later git-khlone.
    #[serde(other)]
    Other,
}

/// How an attempt goes about a task that was tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// In the same session, told what happened.
    Resume,
    /// In a new session, with the work tree as it stands.
    Retry,
}

/// What recovery found of an attempt that died.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Death {
    /// Its brain had been started.
    pub began: bool,
    /// It left commits or files that were not there before it.
    pub fresh: bool,
    /// Its last tool call: the tool and a hash of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_call: Option<String>,
    /// What it left is written down and not brought home yet: its branch and notes are still to come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// A branch that must follow the task's end; recovery redoes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Import {
    /// The full ref name.
    #[serde(rename = "ref")]
    pub name: String,
    /// Where it must stand before.
    pub old: String,
    /// Where it must stand after.
    pub new: String,
}

/// `task.json`: all that is known of a task besides its prompt, history and attempts' files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Task {
    /// Version of the document.
    pub format: u32,
    /// The task's id.
    pub id: TaskId,
    /// What it may do.
    pub mode: Mode,
    /// Where it is in its life.
    pub status: Status,
    /// How the last attempt came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The evidence for the outcome, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What its brain asked when it ended, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// When a person took it off the list of what needs them, seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<i64>,
    /// The zone's id.
    pub zone: ZoneId,
    /// The zone's branch.
    pub branch: String,
    /// Who does it.
    pub clone: CloneName,
    /// The clone's role.
    pub role: RoleName,
    /// The clone's brain.
    pub brain: BrainName,
    /// The brain's model, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The git blob id of `prompt.md`.
    pub prompt_sha: String,
    /// The first line of the prompt, for lists.
    pub title: String,
    /// The skill it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// Higher runs earlier.
    #[serde(default)]
    pub priority: i32,
    /// The site's order of arrival.
    pub seq: u64,
    /// Tasks that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskId>,
    /// The task whose question it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<TaskId>,
    /// The tasks of its clone with a lower `seq` were over when it was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    /// The tree of the user's uncommitted files to start from (`--with-changes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_changes: Option<String>,
    /// The folder of the work tree that its brain starts in, relative to the top; at the top without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Start a new session even where the last could go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_session: bool,
    /// The protection that it was dispatched with; a runner gives it no less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// Who schedules and recovers it.
    pub owner: Owner,
    /// Grows with each claim; a runner with an older one changes nothing any more.
    #[serde(default)]
    pub generation: u64,
    /// The branch move that finishing must complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// How the next attempt shall go about it, where a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<How>,
    /// How its commits last came into the zone's branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed: Option<Landed>,
    /// Why an interrupted task waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Someone asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// When a parked or interrupted task may go on, seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_until: Option<i64>,
    /// Every run so far.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Tokens of all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// US dollars of all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Seconds since the epoch.
    pub created: i64,
    /// Seconds since the epoch.
    pub updated: i64,
    /// Fields of later minor versions.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// How a brain is kept in its worktree, as decided at dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Protection {
    /// The sandbox tier, as in an attempt.
    pub tier: String,
    /// The bubblewrap that worked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bwrap: Option<String>,
}

/// One line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Transition {
    /// Seconds since the epoch.
    pub time: i64,
    /// State before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Status>,
    /// State after.
    pub to: Status,
    /// Who did it: `cli`, `daemon`, `runner`.
    pub by: String,
    /// The task's generation after it.
    pub generation: u64,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Written by a later git-khlone.
    #[error("{what} has format {found}; this git-khlone reads up to {FORMAT}")]
    Newer {
        /// Which document.
        what: &'static str,
        /// Its version.
        found: u64,
    },
    /// Not a document at all.
    #[error("{what} cannot be read: {source}")]
    Broken {
        /// Which document.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A document without its version.
    #[error("{0} has no format number")]
    Unversioned(&'static str),
}

explain! {
    FormatError {
        Refused { Newer => "git khlone --version    # install the newer one that wrote it" }
        Failed { Broken, Unversioned }
    }
}

/// Reads a versioned document: its `format` first, then its shape.
///
/// # Errors
/// [`FormatError`] if it is newer than this build, has no version, or is broken.
pub fn parse_versioned<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    let broken = |source| FormatError::Broken { what, source };
    let value: Value = serde_json::from_slice(bytes).map_err(broken)?;
    match value.get("format").and_then(Value::as_u64) {
        None => Err(FormatError::Unversioned(what)),
        Some(found) if found > u64::from(FORMAT) => Err(FormatError::Newer { what, found }),
        Some(_) => serde_json::from_value(value).map_err(broken),
    }
}

/// A command, with what would do instead behind it.
fn or(first: String, others: &[String]) -> String {
    format!("{first}    # or {}", others.join(", or "))
}

fn with(one: String, more: Option<String>) -> Vec<String> {
    std::iter::once(one).chain(more).collect()
}

impl Task {
    /// The attempt under way, or the last one.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The command by which a person goes on with it, where it waits for one, with the others behind `#`.
    pub fn next_step(&self) -> Option<String> {
        let command = |verb: &str| format!("git khlone {verb} {}", self.id);
        let (resume, retry) = (command("resume"), command("retry"));
        match self.status {
            Status::Interrupted if self.hold.is_some() => {
                Some(or(resume, &[command("retry --fresh"), command("cancel")]))
            }
            Status::Failed if !self.attempts.is_empty() => {
                let last = self.last_attempt();
                let remedy = last.and_then(|last| last.remedy.as_deref());
                let obstacle = last.and_then(|last| last.obstacle);
                // An ask has changed nothing.
                let rollback = (self.mode == Mode::Act).then(|| command("rollback"));
                Some(match (obstacle, remedy) {
                    (Some(Obstacle::Credit), Some(remedy)) => format!("{resume}    # first {remedy}"),
                    (_, Some(remedy)) => format!("{remedy} && {resume}"),
                    (Some(Obstacle::Full), None) => or(retry, &with(resume, rollback)),
                    (_, None) => or(resume, &with(retry, rollback)),
                })
            }
            _ => None,
        }
    }

    /// Whether nothing will happen to it any more unless a person says so.
    pub fn is_settled(&self) -> bool {
        self.status.is_over() || self.hold.is_some()
    }

    /// Whether recovery is done with the last attempt, which died.
    pub fn is_recovered(&self) -> bool {
        let death = self.last_attempt().and_then(|last| last.died.as_ref());
        death.is_some_and(|death| !death.open)
    }

    /// The tries to recover the last attempt, while it is interrupted and they have not come to an end.
    pub fn recovery(&self) -> Option<&Retry> {
        let last = self.last_attempt().and_then(|last| last.recovery.as_ref());
        last.filter(|_| self.status == Status::Interrupted)
    }

    /// When it goes on by itself, seconds since the epoch: after a limit, a death, or a recovery that failed.
    pub fn rests_until(&self) -> Option<i64> {
        match self.status {
            Status::Interrupted => {
                let pause = self.parked_until.filter(|_| self.is_recovered());
                self.recovery().map(|retry| retry.until).or(pause)
            }
            _ => self.parked_until,
        }
    }

    /// The first of the attempts that the last one goes on with: those that died and were resumed.
    pub fn first_of_last(&self) -> u32 {
        let resumed = self
            .attempts
            .iter()
            .rev()
            .take_while(|it| it.how == Some(How::Resume));
        let last = self.last_attempt().map_or(1, |last| last.n);
        resumed
            .last()
            .map_or(last, |first| first.n.saturating_sub(1).max(1))
    }
}
