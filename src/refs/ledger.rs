//! Tasks in git: one ref each, `refs/khlone/tasks/<id>`, an annotated tag of a tree.

use std::io;

use git2::{ErrorCode, ObjectType, Oid};

use super::{
    Damaged, Kind, ObjectSink, Pack, RefError, Repo, Site, TreeEdit, damaged::remembered, mend_by_records,
    names, tag, update_ref, zones::ZoneError,
};
use crate::task::{
    FORMAT, FormatError, IllegalMove, Move, Status, Task, TaskId, TaskPrefix, Transition, ZoneId, explain,
    parse_versioned,
};

/// How often a compare-and-swap is tried against other writers.
pub(super) const TRIES: usize = 64;

/// The next step with a task that is another site's.
pub const ADOPT: &str =
    "git khlone sites adopt    # if this repository was moved; git khlone sites names the owner";

/// The tasks and zones of one site.
#[derive(Debug)]
pub struct Ledger<'a> {
    pub(super) repo: &'a Repo,
    pub(super) site: &'a Site,
}

/// A task as it stands in git.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The task.
    pub task: Task,
    /// The tag that its ref points at: the value to swap against.
    pub tag: Oid,
    /// The tree of all its files.
    pub tree: Oid,
}

/// A task that does not exist yet.
#[derive(Debug)]
pub struct NewTask {
    /// `task.json`; its `seq`, `prompt_sha` and `updated` are set when it is created.
    pub task: Task,
    /// `prompt.md`.
    pub prompt: String,
    /// `config.json`: the configuration that it runs under, fixed when it was dispatched.
    pub config: serde_json::Value,
}

/// A change of a task: the document and the files beside it.
#[derive(Debug)]
pub struct Update<'a> {
    /// The document, to be changed in place.
    pub task: &'a mut Task,
    /// Files of the task's tree to write, graft or remove.
    pub edit: &'a mut TreeEdit,
    moves: Vec<(Status, Status, String)>,
    is_aside: bool,
}

impl Update<'_> {
    /// Makes a move, with the reason for the task's history; each state that it passes through is a line there.
    ///
    /// # Errors
    /// [`IllegalMove`] where the machine has no such move.
    pub fn transition(&mut self, to: Move, reason: impl Into<String>) -> Result<(), IllegalMove> {
        let mut from = self.task.status;
        let reason = reason.into();
        for status in self.task.make(to)? {
            self.moves.push((from, status, reason.clone()));
            from = status;
        }
        Ok(())
    }

    /// Leaves the time of its last change as it is: what is written down is no part of its own life.
    pub fn aside(&mut self) {
        self.is_aside = true;
    }

    /// Writes a line to the task's history without moving it.
    pub fn remark(&mut self, what: impl Into<String>) {
        let stays = self.task.status;
        self.moves.push((stays, stays, what.into()));
    }
}

/// A ledger that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No such task.
    #[error("there is no task `{0}` here")]
    NoTask(String),
    /// No such zone.
    #[error("there is no zone `{0}` here")]
    NoZone(ZoneId),
    /// A prefix of several.
    #[error("`{prefix}` is the beginning of several tasks: {}", .ids.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it could be.
        ids: Vec<String>,
    },
    /// The state machine has no such move.
    #[error("{id}: {source}")]
    Illegal {
        /// The task.
        id: TaskId,
        /// The move.
        source: IllegalMove,
    },
    /// Another attempt has taken over.
    #[error(
        "{id} is in generation {current} now; this attempt of generation {ours} changes nothing any more"
    )]
    Fenced {
        /// The task.
        id: TaskId,
        /// The ledger's generation.
        current: u64,
        /// The attempt's.
        ours: u64,
    },
    /// Another site's or machine's.
    #[error("{0} belongs to another copy of this repository and is not run here")]
    Owner(TaskId),
    /// A ref of ours cannot be read.
    #[error("{} cannot be read: {}", .0.name, .0.what)]
    Damaged(Damaged),
    /// A task's ref is gone, and the site's folder remembers it.
    #[error("the ref of {0} is gone; it was deleted, by `git fetch --prune` in a mirror say")]
    Lost(String),
    /// A document is newer or broken.
    #[error("{name}: {source}")]
    Format {
        /// The ref.
        name: String,
        /// Why.
        source: FormatError,
    },
    /// The ref did not move.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// A zone's document is wrong.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// git cannot read.
    #[error("the ledger cannot be read: {0}")]
    Git(#[from] git2::Error),
    /// Another git removes packs faster than they can be read.
    #[error("another git packs this repository{}: {said}", .running.map_or_else(String::new, |pid| format!(" (git gc, process {pid})")))]
    Swept {
        /// The process of a `git gc`.
        running: Option<u32>,
        /// What was found gone.
        said: String,
    },
    /// The disk refuses.
    #[error("the ledger cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl LedgerError {
    /// The disk does not give refs.
    pub(super) fn unreadable(source: io::Error) -> Self {
        Self::Git(git2::Error::from_str(&source.to_string()))
    }
}

explain! {
    LedgerError {
        transparent { Format.source, Ref, Zone }
        NotFound {
            NoTask => "git khlone list tasks",
            NoZone => "git khlone list zones",
        }
        Usage { Ambiguous => "git khlone list tasks" }
        Refused {
            Illegal { id, .. } | Fenced { id, .. } => format!("git khlone show {id}"),
            Owner => ADOPT,
        }
        Failed {
            Damaged(damaged) => damaged.next.clone(),
            Lost(id) => format!("git fetch COPY 'refs/khlone/*:refs/khlone/*'    # from a copy that has {id}"),
            Swept { running, .. } => match running {
                Some(pid) => format!("ps -p {pid}    # once that has ended, the same command again"),
                None => "ps -C git    # once that has ended, the same command again".to_owned(),
            },
            Git => "git fsck",
            Io(error) if error.kind() == io::ErrorKind::PermissionDenied =>
                "ls -ld \"$(git rev-parse --git-common-dir)\"/{.,khlone,objects,refs}",
            Io,
        }
    }
}

impl<'a> Ledger<'a> {
    /// The ledger of a site.
    pub fn new(repo: &'a Repo, site: &'a Site) -> Self {
        Self { repo, site }
    }

    /// The repository it stands in.
    pub fn repo(&self) -> &'a Repo {
        self.repo
    }

    /// The site it belongs to.
    pub fn site(&self) -> &'a Site {
        self.site
    }

    /// The one task that a prefix means.
    ///
    /// # Errors
    /// [`LedgerError::NoTask`], [`LedgerError::Ambiguous`].
    pub fn resolve(&self, prefix: &TaskPrefix) -> Result<TaskId, LedgerError> {
        let wanted = format!("{}{prefix}", names::TASKS);
        let found = self.tags_below(&wanted)?;
        let mut ids: Vec<TaskId> = found.into_iter().map(|(id, _)| id).collect();
        if ids.is_empty() {
            // One that is damaged has a name, too.
            let named = self.ref_names(&wanted)?.into_iter();
            ids.extend(named.filter_map(|name| name.strip_prefix(names::TASKS)?.parse().ok()));
        }
        match ids.as_slice() {
            [id] => Ok(id.clone()),
            [] => match remembered(self.site, &prefix.to_string()).as_slice() {
                [id] if self.lost_tasks() > 0 => Err(LedgerError::Lost(id.clone())),
                _ => Err(LedgerError::NoTask(prefix.to_string())),
            },
            _ => {
                let ids = ids.iter().map(ToString::to_string).collect();
                Err(LedgerError::Ambiguous {
                    prefix: prefix.to_string(),
                    ids,
                })
            }
        }
    }

    /// A task as it stands now.
    ///
    /// # Errors
    /// [`LedgerError::NoTask`] if there is none, [`LedgerError::Format`] if it cannot be read.
    pub fn task(&self, id: &TaskId) -> Result<Stored, LedgerError> {
        let name = names::task_ref(id);
        let look = || {
            let tag = self.repo.ref_target(&name);
            tag.map_err(|error| self.damage(&name, error.into()))
        };
        let records = || mend_by_records(self.repo, &self.site.layout().kept_packed_refs());
        let tag = match look() {
            // A brain without a sandbox may just have seen to that.
            Ok(None) | Err(_) if records().is_ok_and(|mended| mended) => look()?,
            tag => tag?,
        };
        let tag = tag.ok_or_else(|| LedgerError::NoTask(id.to_string()))?;
        let read = || {
            let tree = self
                .repo
                .git()
                .find_object(tag, None)?
                .peel(ObjectType::Tree)?
                .id();
            Ok::<_, LedgerError>((tree, self.file_at(tree, "task.json")?.unwrap_or_default()))
        };
        let (tree, bytes) = read().map_err(|error| self.damage(&name, error))?;
        let mut task: Task =
            parse_versioned("task.json", &bytes).map_err(|source| LedgerError::Format { name, source })?;
        task.mend();
        Ok(Stored { task, tag, tree })
    }

    /// What git says of a ref of ours that it cannot read, with the ref's name.
    pub(super) fn damage(&self, name: &str, error: LedgerError) -> LedgerError {
        match error {
            LedgerError::Git(error) => LedgerError::Damaged(self.told(name, error.message().to_owned())),
            other => other,
        }
    }

    /// A file of a task's tree; `None` if there is none.
    ///
    /// # Errors
    /// If git cannot read.
    pub fn file(&self, stored: &Stored, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.file_at(stored.tree, path)?)
    }

    /// The id of a folder of a task's tree; `None` if there is none.
    ///
    /// # Errors
    /// If git cannot read.
    pub fn folder(&self, stored: &Stored, path: &str) -> Result<Option<Oid>, LedgerError> {
        self.folder_in(stored.tree, path)
    }

    /// The id of a folder below a tree; `None` if there is none.
    ///
    /// # Errors
    /// If git cannot read.
    pub fn folder_in(&self, tree: Oid, path: &str) -> Result<Option<Oid>, LedgerError> {
        let tree = self.repo.git().find_tree(tree)?;
        match tree.get_path(std::path::Path::new(path)) {
            Ok(entry) => Ok(Some(entry.id())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A file below a tree; `None` if there is none.
    ///
    /// # Errors
    /// If git cannot read.
    pub fn file_in(&self, tree: Oid, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.file_at(tree, path)?)
    }

    /// The transcript of attempt `n`, its segments joined; `None` if it has none yet.
    ///
    /// # Errors
    /// If git cannot read.
    pub fn transcript(&self, stored: &Stored, n: u32) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(folder) = self.folder(stored, &format!("attempts/{n}/transcript"))? else {
            return Ok(None);
        };
        let mut all = Vec::new();
        // Segments are numbered with leading zeros, so git's order is theirs.
        for segment in &self.repo.git().find_tree(folder)? {
            all.extend_from_slice(self.repo.git().find_blob(segment.id())?.content());
        }
        Ok(Some(all))
    }

    pub(super) fn file_at(&self, tree: Oid, path: &str) -> Result<Option<Vec<u8>>, git2::Error> {
        let tree = self.repo.git().find_tree(tree)?;
        match tree.get_path(std::path::Path::new(path)) {
            Ok(entry) => Ok(Some(self.repo.git().find_blob(entry.id())?.content().to_vec())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a new task, queued: when this returns, the task survives anything.
    ///
    /// # Errors
    /// If it cannot be written, or its id is taken.
    pub fn create(&self, new: NewTask, by: &str) -> Result<Stored, LedgerError> {
        let NewTask {
            mut task,
            prompt,
            config,
        } = new;
        task.seq = self.next_seq()?;
        task.follows = task.follows.map(|seq| seq.min(task.seq));
        task.status = Status::Queued;
        task.prompt_sha = Kind::Blob.hash(prompt.as_bytes())?.to_string();
        let first = Transition {
            time: task.updated,
            from: None,
            to: Status::Queued,
            by: by.to_owned(),
            generation: task.generation,
            reason: String::new(),
        };
        let mut edit = TreeEdit::default();
        edit.file("prompt.md", prompt);
        edit.json("config.json", &config)?;
        if let Some(tree) = task.with_changes.as_ref().and_then(|tree| tree.parse().ok()) {
            edit.graft("with-changes", tree);
        }
        edit.file("history.jsonl", history_line(&first)?);
        let mut pack = Pack::begin(self.site)?;
        let (tag, tree) = self.write(&mut pack, &task, &mut edit, None)?;
        update_ref(self.repo, &names::task_ref(&task.id), None, tag)?;
        Ok(Stored { task, tag, tree })
    }

    /// The next number in the site's order of arrival.
    ///
    /// # Errors
    /// If the counter is lost and git cannot read, or the disk refuses.
    pub fn next_seq(&self) -> Result<u64, LedgerError> {
        let highest = |heads: Vec<super::TaskHead>| heads.iter().map(|head| head.seq).max().unwrap_or(0);
        let open = highest(self.open_heads()?);
        self.site.next_seq(open, || Ok(highest(self.heads()?)))
    }

    /// Changes a task: reads it, lets `change` have its way, and swaps the ref; again from the start if someone
    /// else was faster. A change of status is written to the history.
    ///
    /// # Errors
    /// What `change` returns, or that it could not be written; nothing has changed then.
    pub fn update<E: From<LedgerError>>(
        &self,
        id: &TaskId,
        by: &str,
        mut change: impl FnMut(&mut Update<'_>) -> Result<(), E>,
    ) -> Result<Stored, E> {
        let mut pack = Pack::begin(self.site).map_err(LedgerError::from)?;
        self.update_with(&mut pack, id, by, &mut change)
    }

    /// As [`Ledger::update`], together with the objects that are already in `pack`.
    ///
    /// # Errors
    /// As [`Ledger::update`].
    pub fn update_with<E: From<LedgerError>>(
        &self,
        pack: &mut Pack,
        id: &TaskId,
        by: &str,
        mut change: impl FnMut(&mut Update<'_>) -> Result<(), E>,
    ) -> Result<Stored, E> {
        for round in 0.. {
            let old = self.task(id)?;
            let mut task = old.task.clone();
            let mut edit = TreeEdit::default();
            let mut update = Update {
                task: &mut task,
                edit: &mut edit,
                moves: Vec::new(),
                is_aside: false,
            };
            change(&mut update)?;
            let (mut moves, is_aside) = (std::mem::take(&mut update.moves), update.is_aside);
            if !is_aside {
                task.updated = now().max(old.task.updated);
            }
            if moves.is_empty() && task.generation != old.task.generation {
                moves.push((task.status, task.status, String::new()));
            }
            if !moves.is_empty() {
                let mut history = self.file(&old, "history.jsonl")?.unwrap_or_default();
                for (from, to, reason) in moves {
                    let line = Transition {
                        time: task.updated,
                        from: Some(from),
                        to,
                        by: by.to_owned(),
                        generation: task.generation,
                        reason,
                    };
                    history.extend(history_line(&line).map_err(LedgerError::from)?);
                }
                edit.file("history.jsonl", history);
            }
            let (tag, tree) = self.write(pack, &task, &mut edit, Some(old.tree))?;
            match update_ref(self.repo, &names::task_ref(id), Some(old.tag), tag) {
                Ok(()) => return Ok(Stored { task, tag, tree }),
                Err(RefError::Moved { .. }) if round < TRIES => {}
                Err(error) => return Err(LedgerError::from(error).into()),
            }
        }
        unreachable!("the loop returns")
    }

    fn write(
        &self,
        pack: &mut Pack,
        task: &Task,
        edit: &mut TreeEdit,
        base: Option<Oid>,
    ) -> Result<(Oid, Oid), LedgerError> {
        debug_assert_eq!(task.format, FORMAT);
        edit.json("task.json", task)?;
        let tree = edit.apply(self.repo, base, pack)?;
        let tag = pack.put(Kind::Tag, &tag::task_tag(task, tree))?;
        pack.publish()?;
        Ok((tag, tree))
    }
}

fn history_line(line: &Transition) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// The time for display, seconds since the epoch. Order never depends on it.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
