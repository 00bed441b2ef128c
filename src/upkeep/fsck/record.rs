//! One task: its tag, its tree, its documents, its history.

use super::{Kind, Known, Problem, Remedy, Walk};
use crate::{
    config::Config,
    refs::{Ledger, Oid, TaskHead},
    task::{Effects, Event, FormatError, Status, Task, TaskId, Transition, parse_versioned},
    worktree::receipt::ReceiptDocument,
};

/// Every event of the state machine.
const EVENTS: [Event; 13] = [
    Event::Start,
    Event::Park,
    Event::Unpark,
    Event::Skip,
    Event::Cancel,
    Event::Pause,
    Event::Continue,
    Event::End,
    Event::Succeed,
    Event::Fail,
    Event::Stopped,
    Event::Die,
    Event::Again,
];

/// What an attempt has left in its task's tree.
pub(super) struct AttemptFiles {
    pub(super) n: u32,
    /// It has taken its receipt before.
    pub(super) began: bool,
    /// What it changed, once it is known.
    pub(super) effects: Option<Effects>,
}

/// Reads the task behind a ref as far as it goes, and says what is wrong with it.
pub(super) fn read(
    ledger: &Ledger<'_>,
    (name, id): (&str, &str),
    oid: Oid,
    walk: &mut Walk<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Known> {
    let git = ledger.repo().git();
    let Ok(id) = id.parse::<TaskId>() else {
        let next = format!("git update-ref -d {name}");
        problems.push(Problem::new(Kind::Stray, name, "is no task's name", next));
        return None;
    };
    let tag = git.find_tag(oid).ok();
    let Some(tree) = tag.and_then(|tag| tag.target().ok()?.into_tree().ok()) else {
        problems.push(Problem::new(
            Kind::Ref,
            name,
            format!("{oid} is no tag of a tree"),
            "git fsck",
        ));
        return None;
    };
    problems.extend(walk.tree(name, tree.id()));
    let mut docs = Docs {
        ledger,
        name,
        tree: tree.id(),
        problems,
    };
    let mut task: Task = docs.versioned("task.json")?;
    task.mend();
    docs.identity(&id, oid, &task);
    docs.inputs(&task);
    let by_runner = docs.history(&task) && task.status.is_over();
    docs.state(&task);
    let attempts = task
        .attempts
        .iter()
        .map(|attempt| docs.attempt(attempt.n))
        .collect();
    Some(Known {
        task,
        attempts,
        by_runner,
    })
}

struct Docs<'a, 'b> {
    ledger: &'a Ledger<'a>,
    name: &'b str,
    tree: Oid,
    problems: &'b mut Vec<Problem>,
}

impl Docs<'_, '_> {
    fn say(&mut self, kind: Kind, what: impl Into<String>, path: &str) {
        let next = format!("git show {}:{path}", self.name);
        self.problems.push(Problem::new(kind, self.name, what, next));
    }

    /// A file of the tree; what cannot be read at all, the walk has named.
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.ledger.file_in(self.tree, path).ok().flatten()
    }

    fn versioned<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        let Some(bytes) = self.file(path) else {
            self.say(Kind::Document, format!("{path} is not there"), "");
            return None;
        };
        let document = parse_versioned("its document", &bytes);
        if let Err(error) = &document {
            let next = match error {
                FormatError::Newer { .. } => "install the newer git-khlone that wrote it".to_owned(),
                FormatError::Broken { .. } | FormatError::Unversioned(_) => {
                    format!("git show {}:{path}", self.name)
                }
            };
            let what = format!("{path}: {error}");
            self.problems
                .push(Problem::new(Kind::Document, self.name, what, next));
        }
        document.ok()
    }

    /// Name, owner and tag agree with the document.
    fn identity(&mut self, id: &TaskId, tag: Oid, task: &Task) {
        if task.id != *id {
            self.say(Kind::Name, format!("holds the task {}", task.id), "task.json");
            return;
        }
        if task.owner.site_uuid.is_empty() || task.owner.machine.is_empty() {
            self.say(Kind::Owner, "belongs to no site, so nobody runs it", "task.json");
        }
        let odb = self.ledger.repo().git().odb();
        let said = odb.and_then(|odb| Ok(TaskHead::parse(odb.read(tag)?.data())));
        if said.ok().flatten() != TaskHead::of(task) {
            let remedy = Remedy::Tag(id.clone());
            let what = "its tag says other things than its task.json";
            self.problems
                .push(Problem::derived(Kind::Tag, self.name, what, remedy));
        }
    }

    /// Prompt and settings.
    fn inputs(&mut self, task: &Task) {
        let prompt = self
            .file("prompt.md")
            .map(|bytes| crate::refs::Kind::Blob.hash(&bytes));
        match prompt {
            Some(Ok(sha)) if sha.to_string() == task.prompt_sha => {}
            Some(_) => self.say(
                Kind::Document,
                "prompt.md is not the prompt it was given",
                "prompt.md",
            ),
            None => self.say(Kind::Document, "prompt.md is not there", ""),
        }
        let config = self.file("config.json").unwrap_or_default();
        if let Err(error) = serde_json::from_slice::<Config>(&config) {
            self.say(Kind::Document, format!("config.json: {error}"), "config.json");
        }
    }

    /// True if a runner wrote its last line.
    fn history(&mut self, task: &Task) -> bool {
        let bytes = self.file("history.jsonl").unwrap_or_default();
        match follow(&bytes, task) {
            Ok(by) => by == "runner",
            Err(what) => {
                self.say(Kind::History, what, "history.jsonl");
                false
            }
        }
    }

    fn state(&mut self, task: &Task) {
        if let Some(what) = contradiction(task) {
            self.say(Kind::State, what, "task.json");
        }
    }

    fn attempt(&mut self, n: u32) -> AttemptFiles {
        let path = |file: &str| format!("attempts/{n}/{file}");
        let has = |docs: &Self, file: &str| docs.file(&path(file)).is_some();
        let began = has(self, "receipt-before.json");
        let mut effects = None;
        if began && let Some(before) = self.versioned(&path("receipt-before.json")) {
            self.snapshot(&path("before"), &before);
        }
        if has(self, "effects.json") {
            effects = self.versioned(&path("effects.json"));
        }
        if has(self, "receipt-after.json")
            && let Some(after) = self.versioned(&path("receipt-after.json"))
        {
            self.snapshot(&path("after"), &after);
        }
        AttemptFiles { n, began, effects }
    }

    /// A receipt's snapshot is the tree beside it.
    fn snapshot(&mut self, path: &str, receipt: &ReceiptDocument) {
        let found = self.ledger.folder_in(self.tree, path).ok().flatten();
        if found.is_none_or(|tree| tree.to_string() != receipt.tree) {
            self.say(
                Kind::Document,
                format!("{path} is not the snapshot of its receipt"),
                path,
            );
        }
    }
}

/// Follows a history along the state graph to where the task stands; gives who wrote the last line.
fn follow(history: &[u8], task: &Task) -> Result<String, String> {
    let mut last: Option<(Status, u64)> = None;
    let mut by = String::new();
    for (at, line) in history.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let at = at + 1;
        let step: Transition =
            serde_json::from_slice(line).map_err(|error| format!("line {at} of its history: {error}"))?;
        let from = last.map(|(status, _)| status);
        if step.from != from {
            return Err(format!(
                "line {at} of its history does not follow from the line before"
            ));
        }
        let raised = last.is_none_or(|(_, generation)| generation < step.generation);
        let legal = match step.from {
            None => step.to == Status::Queued,
            Some(from) if from == step.to => raised,
            Some(from) => EVENTS.into_iter().any(|event| from.next(event) == Ok(step.to)),
        };
        if !legal || last.is_some_and(|(_, generation)| generation > step.generation) {
            let from = from.map_or("nothing", Status::as_str);
            return Err(format!(
                "line {at} of its history: no task goes from {from} to {}",
                step.to
            ));
        }
        last = Some((step.to, step.generation));
        by = step.by;
    }
    match last {
        None => Err("it has no history".to_owned()),
        Some(end) if end == (task.status, task.generation) => Ok(by),
        Some((status, generation)) => Err(format!(
            "its history ends {status} in generation {generation}, but the task is {} in generation {}",
            task.status, task.generation
        )),
    }
}

/// What in a task's document cannot be true together.
fn contradiction(task: &Task) -> Option<String> {
    let numbers = task.attempts.iter().map(|attempt| attempt.n);
    if !numbers.eq(1..=u32::try_from(task.attempts.len()).unwrap_or(u32::MAX)) {
        return Some("its attempts are not numbered 1, 2, 3 …".to_owned());
    }
    if task.generation < task.attempts.len() as u64 {
        return Some(format!(
            "it is in generation {} after {} attempts",
            task.generation,
            task.attempts.len()
        ));
    }
    task.contradiction()
}
