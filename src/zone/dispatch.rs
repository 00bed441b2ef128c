//! From a prompt to a queued task: enrol the clone, respect the queue's limit, write the task. Nothing here
//! depends on the size of the repository.

use std::{collections::BTreeMap, fs, io, os::unix::fs::DirBuilderExt, path::Path, time::Duration};

use super::{Admitted, CrewError, Order, Pick, Place, crew::pick, waiting::ahead};
use crate::{
    brain::BrainError,
    guard::secrets::redact::Redactor,
    process::FileLock,
    refs::{
        Crew, Ledger, LedgerError, NewTask, Site, Stored, StoredZone, TaskHead, Zone, branch_ref,
        clone_branch, has_room, now,
    },
    task::{BrainName, CloneName, FORMAT, Status, Task, TaskId, explain},
    worktree::create::{CreateError, refuse_unfit},
};

/// How long others may take to count and add.
const PATIENCE: Duration = Duration::from_secs(5);

/// An order under the settings that count there.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// What is to be done.
    pub(super) order: &'a Order<'a>,
    /// Where, and how it will be kept.
    pub(super) admitted: &'a Admitted<'a>,
    /// Whom to choose from.
    pub(super) pick: Pick<'a>,
    /// Tasks that must be done before.
    pub(super) after: Vec<TaskId>,
    /// What goes into its `config.json`.
    pub(super) config: serde_json::Value,
}

/// A task that is in the ledger now.
#[derive(Debug)]
pub struct Dispatched {
    /// The task.
    pub stored: Stored,
    /// Its clone was not there before.
    pub enrolled: bool,
    /// Unfinished tasks of the same clone before it, in their order.
    pub behind: Vec<TaskId>,
    /// The clone has unfinished tasks of another copy of the repository, which do not run here.
    pub strangers: bool,
}

/// A task that was not dispatched; nothing is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The address leads to nobody.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// The clone cannot start.
    #[error(transparent)]
    Brain(#[from] BrainError),
    /// Its worktree is not where it can begin.
    #[error(transparent)]
    Worktree(#[from] CreateError),
    /// Too many wait.
    #[error("{clone} has {most} tasks waiting, the limit (limits.queue)")]
    QueueFull {
        /// The clone.
        clone: CloneName,
        /// The limit.
        most: usize,
    },
    /// Nothing to do.
    #[error("the prompt is empty")]
    Empty,
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

explain! {
    DispatchError {
        transparent { Crew, Brain, Worktree, Ledger }
        Refused {
            QueueFull { clone, .. } => format!(
                "git khlone act --who {}++ \"what is to be done\"    # or raise limits.queue in khlone.yml",
                clone.role
            ),
        }
        Usage { Empty => "git khlone act \"what is to be done\"" }
    }
}

/// Writes the task into the ledger, queued, enrolling its clone if needed. `ready` looks at the chosen brain
/// before anything is written.
///
/// # Errors
/// [`DispatchError`]; no task exists then.
pub(super) fn dispatch(
    ledger: &Ledger<'_>,
    mut request: Request<'_>,
    ready: impl Fn(&BrainName) -> Result<(), DispatchError>,
) -> Result<Dispatched, DispatchError> {
    let (order, admitted) = (request.order, request.admitted);
    let place = admitted.place;
    if order.prompt.trim().is_empty() {
        return Err(DispatchError::Empty);
    }
    let crew = ledger
        .zone(&place.zone)?
        .map(|zone| zone.crew)
        .unwrap_or_default();
    let _any = any(ledger, &mut request)?;
    let (_, brain) = pick(&crew, &request.pick)?;
    ready(&brain)?;
    let (member, enrolled) = enrol(ledger, &request)?;
    let lock = ledger.site().layout().queue_lock(&place.zone, &member.name);
    let _turn = turn(ledger.site(), &lock).map_err(LedgerError::from)?;
    let (open, others): (Vec<_>, Vec<_>) = open(ledger, place, &member.name)?
        .into_iter()
        .partition(|head| head.site_uuid == ledger.site().owner().site_uuid);
    if let Some(path) = member.path.as_ref().filter(|_| open.is_empty()) {
        // With a task under way it may stand otherwise when this one begins.
        let sees_all = admitted.protection.bwrap.is_none();
        refuse_unfit(ledger.repo(), Path::new(path), &member.branch, sees_all)?;
    }
    let follows = open.iter().map(|head| head.seq).min().unwrap_or(u64::MAX);
    let waiting = open.iter().filter(|head| head.status != Status::Interrupted);
    let most = admitted.config.limits.queue.get() as usize;
    if waiting.count() >= most {
        return Err(DispatchError::QueueFull {
            clone: member.name,
            most,
        });
    }
    let task = Task {
        follows: Some(follows),
        ..new_task(ledger, &request, &member)
    };
    let stored = ledger.create(
        NewTask {
            task,
            prompt: order.prompt.clone(),
            config: request.config,
        },
        "cli",
    )?;
    let ahead = ahead(&stored.task, &open).into_iter();
    Ok(Dispatched {
        enrolled,
        behind: ahead.map(|head| head.id.clone()).collect(),
        strangers: !others.is_empty(),
        stored,
    })
}

fn enrol(ledger: &Ledger<'_>, request: &Request<'_>) -> Result<(Crew, bool), DispatchError> {
    let (order, config) = (request.order, &request.admitted.config);
    let place = request.admitted.place;
    let created = now();
    let fresh = Zone {
        format: FORMAT,
        id: place.zone.clone(),
        branch: place.branch.clone(),
        base: None,
        created,
        unknown: serde_json::Map::new(),
    };
    ledger.update_zone(&place.zone, Some(&fresh), |stored: &mut StoredZone| {
        let (name, brain) = pick(&stored.crew, &request.pick)?;
        if let Some(member) = stored.crew.get(&name) {
            return Ok((member.clone(), false));
        }
        let member = Crew {
            format: FORMAT,
            role: name.role.clone(),
            branch: clone_branch(config.branch.prefix.as_str(), &place.zone, &name),
            model: order
                .model
                .clone()
                .or_else(|| config.model_of(&name.role, &brain)),
            brain,
            path: None,
            session: None,
            session_folder: None,
            full: None,
            port: None,
            created,
            unknown: serde_json::Map::new(),
            name: name.clone(),
        };
        has_room(ledger.repo(), &branch_ref(&member.branch)).map_err(LedgerError::from)?;
        stored.crew.insert(name, member.clone());
        Ok((member, true))
    })
}

/// One caller at a time counts a clone's queue and adds to it. A caller that waits in vain goes on: the limit is
/// there against floods, and is not worth standing still for.
fn turn(site: &Site, lock: &Path) -> io::Result<Option<FileLock>> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(site.layout().clone_locks())?;
    FileLock::wait_for(lock, PATIENCE)
}

/// For `any`: what each clone has to do. Two that look for a free clone at once must not find the same.
fn any(ledger: &Ledger<'_>, request: &mut Request<'_>) -> Result<Option<FileLock>, LedgerError> {
    if !request.pick.who.is_some_and(|who| who.any) {
        return Ok(None);
    }
    let turn = turn(
        ledger.site(),
        &ledger.site().layout().any_lock(&request.admitted.place.zone),
    )?;
    request.pick.busy = busy(ledger, request.admitted.place)?;
    Ok(turn)
}

/// How many tasks of each clone of the place are not over.
fn busy(ledger: &Ledger<'_>, place: &Place) -> Result<BTreeMap<CloneName, usize>, LedgerError> {
    let mut busy = BTreeMap::new();
    let heads = ledger.open_heads()?.into_iter();
    for head in heads.filter(|head| head.zone == place.zone) {
        *busy.entry(head.clone).or_default() += 1;
    }
    Ok(busy)
}

/// The clone's tasks that are not over.
fn open(ledger: &Ledger<'_>, place: &Place, clone: &CloneName) -> Result<Vec<TaskHead>, LedgerError> {
    let mut heads = ledger.open_heads()?;
    heads.retain(|head| head.zone == place.zone && head.clone == *clone);
    Ok(heads)
}

fn new_task(ledger: &Ledger<'_>, request: &Request<'_>, member: &Crew) -> Task {
    let (order, admitted) = (request.order, request.admitted);
    let created = now();
    Task {
        format: FORMAT,
        id: order.id.clone(),
        mode: order.mode,
        status: Status::Queued,
        outcome: None,
        reasons: Vec::new(),
        question: None,
        dismissed: None,
        zone: admitted.place.zone.clone(),
        branch: admitted.place.branch.clone(),
        clone: member.name.clone(),
        role: member.role.clone(),
        brain: member.brain.clone(),
        model: order.model.clone().or_else(|| member.model.clone()),
        prompt_sha: String::new(),
        title: title(&order.prompt),
        skill: None,
        priority: order.rank.priority(),
        seq: 0,
        after: request.after.clone(),
        reply_to: order.reply_to.clone(),
        follows: None,
        with_changes: order.with_changes.map(|tree| tree.to_string()),
        folder: order.folder.clone(),
        new_session: order.new_session,
        protection: Some(admitted.protection.clone()),
        owner: ledger.site().owner().clone(),
        generation: 0,
        import: None,
        next: None,
        landed: None,
        hold: None,
        cancel: false,
        parked_until: None,
        attempts: Vec::new(),
        usage: None,
        cost: None,
        created,
        updated: created,
        unknown: serde_json::Map::new(),
    }
}

/// The first line that says something, at most 72 characters, without control characters and known secrets: it stands
/// in lists, and may become the subject of a commit.
fn title(prompt: &str) -> String {
    const WIDTH: usize = 72;
    let line = prompt
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let clean: String = line
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let clean = Redactor::default().redact(&clean).0;
    if clean.chars().count() <= WIDTH {
        return clean.into_owned();
    }
    let cut: String = clean.chars().take(WIDTH - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Characters that would reorder or hide text on a terminal.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn titles_are_one_clean_line() {
        assert_eq!(title("\n  fix \u{1b}[31mit\u{202e}\nmore"), "fix [31mit");
        assert_eq!(title(&"x".repeat(100)).chars().count(), 72);
        let key = format!("use AKIA{} for it", "ABCDEFGHIJKLMNOP");
        assert_eq!(title(&key), "use [redacted:aws-access-key] for it");
    }
}
